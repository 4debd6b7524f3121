"""The language of subscriptions' filters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.apis.pubsub.filters import compile_filter
from emulator.wire.errors import ApiError

_KEYS = st.sampled_from(["a", "b", "iana.org/lang", 'odd "key"', "AND"])
_VALUES = st.text(max_size=6)
Filter = tuple[str, Any]  # a filter, and what it means


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def _leaves(draw: st.DrawFn) -> Filter:
    key, value = draw(_KEYS), draw(_VALUES)
    kind = draw(st.integers(0, 3))
    name = key if key in "ab" and draw(st.booleans()) else _quoted(key)
    written = (f"attributes:{name}", f"attributes.{name} = {_quoted(value)}",
               f"attributes.{name}!={_quoted(value)}",
               f"hasPrefix(attributes.{name}, {_quoted(value)})")[kind]  # fmt: skip
    means = (lambda a: key in a, lambda a: a.get(key) == value, lambda a: a.get(key) != value,
             lambda a: key in a and a[key].startswith(value))[kind]  # fmt: skip
    return written, means


def _compound(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    def negated(one: Filter) -> Filter:
        return f"NOT ({one[0]})", lambda a: not one[1](a)

    def joined(parts: list[Filter], word: str) -> Filter:
        text = f" {word} ".join(f"({p[0]})" for p in parts)
        together = all if word == "AND" else any
        return text, lambda a: together(p[1](a) for p in parts)

    several = st.lists(inner, min_size=1, max_size=3)
    return inner.map(negated) | st.builds(joined, several, st.sampled_from(["AND", "OR"]))


@settings(max_examples=150, deadline=None)
@given(st.recursive(_leaves(), _compound, max_leaves=5).filter(lambda f: len(f[0].encode()) <= 256),
       st.dictionaries(_KEYS, _VALUES, max_size=4))  # fmt: skip
def test_filters_mean_what_they_say(written: Filter, attributes: dict[str, str]) -> None:
    """Any expression of the language, on any attributes."""
    assert compile_filter(written[0])(attributes) == written[1](attributes)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='ab=!:."()AND ORT-,\\', max_size=30))
def test_nonsense_is_refused_or_understood(text: str) -> None:
    """No text breaks the reader."""
    try:
        fits = compile_filter(text)
    except ApiError:
        return
    assert fits({}) in (True, False)


@pytest.mark.parametrize("text", [
    'attributes.a = "1" AND attributes.b = "2" OR attributes:c', "attributes:a AND", "NOT",
    'hasSuffix(attributes.a, "x")', 'data = "x"', "attributes.a = 1", 'attributes.AND = "x"',
    "attributes:" + "a" * 256,
])  # fmt: skip
def test_what_is_no_filter(text: str) -> None:
    """Mixed operators without parentheses, other functions, fields and values; too long ones."""
    with pytest.raises(ApiError, match="filter"):
        compile_filter(text)
