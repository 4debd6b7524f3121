"""List filters as the APIs write them: `name=x`, `labels.tier:small AND (a=1 OR NOT b=2)`, `~`.

Covers comparisons (=, !=, :, <, <=, >, >=, eq, ne), AND, OR, NOT, - and brackets (AIP-160 and
compute's older form). Functions are refused. Monitoring's filters are another language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from emulator.wire.errors import ApiError, invalid

Predicate = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op>!=|<=|>=|!~|[=<>:~()])"""
    r"""|(?P<word>[^\s"'()=<>:!~]+))"""
)
_COMPARE = {"=", "!=", ":", "<", "<=", ">", ">=", "eq", "ne", "~", "!~"}


def compile_filter(text: str, fields: Collection[str] | None = None) -> Predicate:
    """A predicate over a resource as a mapping (keys in JSON's or protobuf's spelling).

    Args:
        fields: what may be compared, in protobuf's spelling; None for everything.

    Raises:
        ApiError: INVALID_ARGUMENT: not of the grammar, or another field.
    """
    if not text.strip():
        return lambda _item: True
    parser = _Parser(_tokens(text), text, fields)
    predicate = parser.any_of()
    if parser.rest:
        raise parser.bad()
    return predicate


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise invalid(f"Invalid list filter expression: {text!r}", field="filter")
        kind = str(match.lastgroup)
        value = match[kind]
        if kind == "quoted":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.append((kind, value))
        position = match.end()
    return found


class _Parser:
    def __init__(
        self, tokens: list[tuple[str, str]], text: str, fields: Collection[str] | None
    ) -> None:
        self.rest = tokens
        self._text = text
        self._fields = fields
        self._depth = 0

    def bad(self) -> ApiError:
        return invalid(f"Invalid list filter expression: {self._text!r}", field="filter")

    def any_of(self) -> Predicate:
        parts = [self.all_of()]
        while self._take("word", "OR"):
            parts.append(self.all_of())
        return lambda item: any(p(item) for p in parts)

    def all_of(self) -> Predicate:
        parts = [self.one()]
        while self.rest and self.rest[0] not in (("op", ")"), ("word", "OR")):
            self._take("word", "AND")
            parts.append(self.one())
        return lambda item: all(p(item) for p in parts)

    def one(self) -> Predicate:
        if self._take("word", "NOT"):
            inner = self.one()
            return lambda item: not inner(item)
        if self._take("op", "("):
            self._depth += 1
            if self._depth > 50:
                raise self.bad()
            inside = self.any_of()
            if not self._take("op", ")"):
                raise self.bad()
            self._depth -= 1
            return inside
        return self._comparison()

    def _comparison(self) -> Predicate:
        if len(self.rest) < 3:
            raise self.bad()
        (_, path), (_, operator), (kind, value) = self.rest[:3]
        if operator not in _COMPARE or kind == "op":
            raise self.bad()
        if self._fields is not None and snake(path.partition(".")[0]) not in self._fields:
            raise self.bad()
        del self.rest[:3]
        if operator in ("eq", "ne", "~", "!~"):
            return _regex(path, value, negate=operator in ("ne", "!~"), parser=self)
        return lambda item: _compare(_lookup(item, path), operator, value)

    def _take(self, kind: str, value: str) -> bool:
        if self.rest and self.rest[0] == (kind, value):
            del self.rest[0]
            return True
        return False


def _regex(path: str, pattern: str, *, negate: bool, parser: _Parser) -> Predicate:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise parser.bad() from error
    return lambda item: bool(compiled.fullmatch(str(_lookup(item, path)))) != negate


def _lookup(item: Mapping[str, Any], path: str) -> Any:
    value: Any = item
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        mapping = cast(Mapping[str, Any], value)
        value = mapping.get(part, mapping.get(_camel(part), mapping.get(snake(part))))
    return value


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(t.title() for t in tail)


def snake(name: str) -> str:
    """A field's name as protobuf spells it."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _compare(found: Any, operator: str, wanted: str) -> bool:
    if operator == "!=":
        return not _equal(found, wanted)
    if operator == "=":
        return _equal(found, wanted)
    if operator == ":":
        return _has(found, wanted)
    try:
        left, right = float(found), float(wanted)
    except (TypeError, ValueError):
        return False
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[
        operator
    ]


def _equal(found: Any, wanted: str) -> bool:
    if isinstance(found, bool):
        return str(found).lower() == wanted.lower()
    text = "" if found is None else str(found)
    if "*" in wanted:
        return re.fullmatch(".*".join(re.escape(p) for p in wanted.split("*")), text) is not None
    return text == wanted


def _has(found: Any, wanted: str) -> bool:
    if wanted == "*":
        return found not in (None, "")
    if isinstance(found, Mapping):
        return wanted in found
    if isinstance(found, list | tuple):
        return any(str(v) == wanted for v in cast(list[Any], found))
    text = "" if found is None else str(found).lower()
    return _equal(text, wanted.lower()) if "*" in wanted else wanted.lower() in text
