"""What the router reads from a chat request: its length, what it asks for, how hard it seems."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.settings import load_settings
from core.router_request import estimate_tokens, read_request

LIMITS = load_settings(environ={}).router.limits.request


def body(text: Any, **more: Any) -> dict[str, Any]:
    """A request of one message."""
    return {"messages": [{"role": "user", "content": text}], **more}


def test_tokens_are_estimated_from_bytes() -> None:
    """A quarter of the bytes, rounded up, and four for each message."""
    assert estimate_tokens(["a" * 400], 4) == 104
    assert estimate_tokens(["a", ""], 4) == 1 + 4 + 0 + 4
    assert estimate_tokens(["語" * 40], 4) == 30 + 4  # three bytes each


def test_a_limit_that_nobody_named_is_said_to_be_assumed() -> None:
    """OpenAI's newer name for it counts before the older."""
    unsaid = read_request(body("x"), LIMITS)
    assert (unsaid.requested_tokens, unsaid.requested_assumed) == (256, True)
    said = read_request(body("x", max_tokens=7, max_completion_tokens=9), LIMITS)
    assert (said.requested_tokens, said.requested_assumed) == (9, False)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What is the capital of France?", ()),
        ("It costs $5 today and $10 tomorrow; is that so?", ()),
        ("Compare them.", ("reasoning",)),
        ("```python\nprint(1)\n```", ("code",)),
        ("Is $x^2 = 4$ so?", ("maths",)),
        ("1. this\n2. that\n3. more", ("tasks",)),
    ],
)
def test_each_sign_of_a_hard_question_gives_points_with_its_reason(
    text: str, names: tuple[str, ...]
) -> None:
    """And what is plain gives none."""
    found = read_request(body(text), LIMITS)
    assert tuple(p.name for p in found.points) == names
    assert all(p.why for p in found.points)
    assert bool(found.score) == bool(names)


def test_long_conversations_and_wanted_forms_count() -> None:
    """Only what people said; a system prompt is the same for all."""
    turns = [{"role": "user", "content": "go on"}, {"role": "assistant", "content": "prove it"}]
    talk = read_request({"messages": turns * 7, "tools": [{}]}, LIMITS)
    assert {p.name for p in talk.points} == {"turns", "structure"}
    form = read_request(body("x", response_format={"type": "json_object"}), LIMITS)
    assert [p.name for p in form.points] == ["structure"]
    assert not read_request(body("x", response_format={"type": "text"}), LIMITS).points


def test_parts_that_are_no_text_are_told_and_not_counted() -> None:
    """A picture has tokens that nobody here can estimate."""
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {}}]
    found = read_request(body(parts), LIMITS)
    assert found.unread_parts == 1
    assert found.prompt_tokens == read_request(body("What is it?"), LIMITS).prompt_tokens


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages.0"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        (body("x", max_tokens=0), "max_tokens"),
        (body("x", max_tokens=True), "max_tokens"),
        (body("x", max_tokens=1.5), "max_tokens"),
    ],
)
def test_what_is_no_chat_request_is_refused_by_its_field(wrong: dict[str, Any], said: str) -> None:
    """The message names it."""
    with pytest.raises(ValueError, match=said):
        read_request(wrong, LIMITS)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
messages = st.lists(st.fixed_dictionaries({"role": st.text(max_size=5), "content": json}))


@settings(max_examples=50)
@given(st.fixed_dictionaries({"messages": messages | json}, optional={"max_tokens": json}))
def test_any_json_is_measured_or_refused(found: dict[str, Any]) -> None:
    """The score lies between 0 and 1, and at least one token is expected."""
    try:
        seen = read_request(found, LIMITS)
    except ValueError:
        return
    assert 0 <= seen.score <= 1
    assert seen.requested_tokens >= 1
    assert seen.prompt_tokens >= 4


@pytest.mark.parametrize("piece", ["$=", "\n", "a = ", "{ ", "1. ", "```", "\\frac", "a^"])
def test_a_long_text_of_signs_is_looked_at_once(piece: str) -> None:
    """None of the patterns goes over a text again and again, which would take minutes here."""
    read_request(body(piece * 50_000), LIMITS)
