"""Subscriptions' filters: expressions over a message's attributes, read once, asked per message.

attributes:key                        the attribute is there
attributes.key = "v"   != "v"         its value; != holds for messages without it as well
hasPrefix(attributes.key, "v")        how its value begins
NOT, -, AND, OR, ( )                  AND and OR side by side need parentheses
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from emulator.wire.errors import ApiError, invalid

Fits = Callable[[Mapping[str, str]], bool]
MOST_BYTES: Final = 256
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<word>[A-Za-z_][\w-]*)|(?P<sign>!=|[=:.,()-]))",
    re.DOTALL,
)
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})
_DEEPEST: Final = 50


def compile_filter(text: str) -> Fits:
    """A function that tells whether a message with these attributes passes.

    Raises:
        ApiError: INVALID_ARGUMENT: it is too long or no expression.
    """
    if not text:
        return lambda _attributes: True
    if len(text.encode()) > MOST_BYTES:
        raise invalid(
            f"The filter is too long: it may have {MOST_BYTES} bytes at most.", field="filter"
        )
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the tokens, one method per level."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._place = 0
        self._depth = 0
        position = 0
        text = text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise _refusal(f"unexpected character '{text[position:].lstrip()[:1]}'")
            kind = str(found.lastgroup)
            self._tokens.append((kind, found[kind]))
            position = found.end()

    def whole(self) -> Fits:
        """The expression, which nothing may follow."""
        found = self._expression()
        if self._place < len(self._tokens):
            raise _refusal(f"unexpected '{self._tokens[self._place][1]}'")
        return found

    def _expression(self) -> Fits:
        terms = [self._term()]
        joined = ""
        while (word := self._peek()) in (("word", "AND"), ("word", "OR")):
            if joined and word[1] != joined:
                raise _refusal("AND and OR in one expression need parentheses")
            joined = word[1]
            self._place += 1
            terms.append(self._term())
        if len(terms) == 1:
            return terms[0]
        together = all if joined == "AND" else any
        return lambda attributes: together(term(attributes) for term in terms)

    def _term(self) -> Fits:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _refusal("it is nested too deeply")
        try:
            if self._peek() in (("word", "NOT"), ("sign", "-")):
                self._place += 1
                inner = self._term()
                return lambda attributes: not inner(attributes)
            if self._peek() == ("sign", "("):
                self._place += 1
                inner = self._expression()
                self._take("sign", ")")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Fits:
        kind, word = self._next()
        if (kind, word) == ("word", "hasPrefix"):
            self._take("sign", "(")
            self._take("word", "attributes")
            self._take("sign", ".")
            key = self._key()
            self._take("sign", ",")
            prefix = self._text()
            self._take("sign", ")")
            return lambda attributes: (
                attributes.get(key, "").startswith(prefix) and (key in attributes)
            )
        if (kind, word) != ("word", "attributes"):
            raise _refusal(f"unexpected '{word}'")
        sign = self._next()
        if sign == ("sign", ":"):
            key = self._key()
            return lambda attributes: key in attributes
        if sign != ("sign", "."):
            raise _refusal(f"unexpected '{sign[1]}'")
        key, relation = self._key(), self._next()
        value = self._text()
        if relation == ("sign", "="):
            return lambda attributes: attributes.get(key) == value
        if relation == ("sign", "!="):
            return lambda attributes: attributes.get(key) != value
        raise _refusal(f"unexpected '{relation[1]}'")

    def _key(self) -> str:
        kind, word = self._next()
        if kind == "text":
            return _unquoted(word)
        if kind != "word" or word in _KEYWORDS:
            raise _refusal(f"'{word}' is no attribute's name")
        return word

    def _text(self) -> str:
        kind, word = self._next()
        if kind != "text":
            raise _refusal(f"'{word}' is no text in quotation marks")
        return _unquoted(word)

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("", "")

    def _next(self) -> tuple[str, str]:
        found = self._peek()
        if not found[0]:
            raise _refusal("it ends too early")
        self._place += 1
        return found

    def _take(self, kind: str, word: str) -> None:
        found = self._next()
        if found != (kind, word):
            raise _refusal(f"'{word}' is expected, not '{found[1]}'")


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _refusal(why: str) -> ApiError:
    return invalid(f"Invalid filter: {why}.", field="filter")
