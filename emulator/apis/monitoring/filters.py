"""Cloud Monitoring's filter language: text → tree → which series of a table it selects.

Comparisons of metric.type, resource.type, metric.labels.X, resource.labels.X and
metadata.{user,system}_labels.X, joined by AND, OR, NOT, parentheses or mere juxtaposition (AND);
right sides may be starts_with(), ends_with(), has_substring(), one_of() and
monitoring.regex.full_match().
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from emulator.apis.monitoring.columns import Table

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator>!=|>=|<=|=|:|>|<)
      | (?P<mark>[(),.])
      | (?P<word>[^\s"'()=!<>:,.]+)
    )""",
    re.X,
)
_FUNCTIONS: Final = (
    "starts_with", "ends_with", "has_substring", "one_of", "monitoring.regex.full_match",
)  # fmt: skip
_DEPTH: Final = 60


class FilterError(ValueError):
    """A text that is no filter; the message says where it fails."""


class Node(Protocol):
    """A filter or a part of one."""

    def select(self, table: Table, fixed: Mapping[str, str]) -> np.ndarray:
        """Which series it lets through, as booleans (series,).

        `fixed` holds what all series share: "metric.type", "resource.type", "project".
        """
        ...


@dataclass(frozen=True, slots=True)
class Everything:
    """The empty filter."""

    def select(self, table: Table, fixed: Mapping[str, str]) -> np.ndarray:
        return np.ones(table.size, dtype=bool)


@dataclass(frozen=True, slots=True)
class Both:
    """AND (all) or OR (any)."""

    parts: tuple[Node, ...]
    every: bool

    def select(self, table: Table, fixed: Mapping[str, str]) -> np.ndarray:
        found = [part.select(table, fixed) for part in self.parts]
        return np.all(found, axis=0) if self.every else np.any(found, axis=0)


@dataclass(frozen=True, slots=True)
class Not:
    """NOT."""

    part: Node

    def select(self, table: Table, fixed: Mapping[str, str]) -> np.ndarray:
        return ~self.part.select(table, fixed)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison; `field` as columns.py names it, or "metric.type", "resource.type".

    `values` are the right side's texts: one, or those of one_of().
    """

    field: str
    operator: str
    function: str
    values: tuple[str, ...]

    def select(self, table: Table, fixed: Mapping[str, str]) -> np.ndarray:
        if self.field in fixed:
            return np.full(table.size, self.accepts(fixed[self.field]))
        column = table.columns.get(self.field)
        if column is None:
            return np.full(table.size, self.accepts(""))
        verdicts = np.array([self.accepts(v) for v in column.values], dtype=bool)
        return verdicts[column.codes]

    def accepts(self, text: str) -> bool:
        """Whether a label with this text passes."""
        if self.operator in ("<", ">", "<=", ">="):
            return _ordered(text, self.operator, self.values[0])
        if self.operator == ":":
            return self.values[0].lower() in text.lower()
        return self._matches(text) is (self.operator == "=")

    def _matches(self, text: str) -> bool:
        value = self.values[0]
        tests: dict[str, Callable[[], bool]] = {
            "": lambda: text == value,
            "starts_with": lambda: text.startswith(value),
            "ends_with": lambda: text.endswith(value),
            "has_substring": lambda: value in text,
            "one_of": lambda: text in self.values,
            "monitoring.regex.full_match": lambda: re.fullmatch(value, text) is not None,
        }
        return tests[self.function]()


def _ordered(text: str, operator: str, value: str) -> bool:
    try:
        left, right = float(text), float(value)
    except ValueError:
        return False
    return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[
        operator
    ]


def parse(text: str) -> Node:
    """The filter's tree; the empty text selects everything.

    Raises:
        FilterError: it does not follow the grammar.
    """
    reader = _Reader(text)
    if reader.done:
        return Everything()
    found = _either(reader, 0)
    if not reader.done:
        raise reader.error()
    return found


def metric_type(node: Node, field: str = "metric.type") -> str:
    """The one value that the filter restricts the field to; "" when it names none or several."""
    if isinstance(node, Comparison):
        exact = node.operator == "=" and len(node.values) == 1 and node.function in ("", "one_of")
        return node.values[0] if node.field == field and exact else ""
    if isinstance(node, Both):
        named = {metric_type(part, field) for part in node.parts}
        if node.every:
            named -= {""}
        return named.pop() if len(named) == 1 else ""
    return ""


class _Reader:
    """Tokens of a filter, one after another."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise FilterError(f"syntax error at line 1, column {position + 1}")
            kind = found.lastgroup or ""
            self.tokens.append((kind, found[kind], found.start(kind)))
            position = found.end()
        self.at = 0

    @property
    def done(self) -> bool:
        """Whether all is read."""
        return self.at >= len(self.tokens)

    def peek(self, offset: int = 0) -> tuple[str, str]:
        """Kind and text of a coming token; ("", "") at the end."""
        if self.at + offset >= len(self.tokens):
            return "", ""
        return self.tokens[self.at + offset][:2]

    def take(self) -> tuple[str, str]:
        """The next token."""
        found = self.peek()
        self.at += 1
        return found

    def expect(self, mark: str) -> None:
        """Read exactly this mark."""
        if self.peek()[1] != mark:
            raise self.error()
        self.at += 1

    def error(self) -> FilterError:
        """The grammar is broken at the next token."""
        if self.done:
            return FilterError("syntax error at the end of the filter")
        _, token, start = self.tokens[self.at]
        return FilterError(f"syntax error at line 1, column {start + 1}, token '{token}'")


def _is_word(reader: _Reader, word: str) -> bool:
    return reader.peek() == ("word", word)


def _either(reader: _Reader, depth: int) -> Node:
    if depth > _DEPTH:
        raise FilterError("the filter is nested too deeply")
    parts = [_all(reader, depth)]
    while _is_word(reader, "OR"):
        reader.take()
        parts.append(_all(reader, depth))
    return parts[0] if len(parts) == 1 else Both(tuple(parts), every=False)


def _all(reader: _Reader, depth: int) -> Node:
    parts = [_single(reader, depth)]
    while not reader.done and not _is_word(reader, "OR") and reader.peek()[1] != ")":
        if _is_word(reader, "AND"):
            reader.take()
        parts.append(_single(reader, depth))
    return parts[0] if len(parts) == 1 else Both(tuple(parts), every=True)


def _single(reader: _Reader, depth: int) -> Node:
    if _is_word(reader, "NOT"):
        reader.take()
        if depth > _DEPTH:
            raise FilterError("the filter is nested too deeply")
        return Not(_single(reader, depth + 1))
    if reader.peek() == ("mark", "("):
        reader.take()
        found = _either(reader, depth + 1)
        reader.expect(")")
        return found
    return _comparison(reader)


def _comparison(reader: _Reader) -> Node:
    field = _field(reader)
    kind, operator = reader.peek()
    if kind != "operator":
        raise reader.error()
    reader.take()
    function, values = _right_side(reader)
    if function and operator not in ("=", "!="):
        raise FilterError(f"{function}() stands only behind = and !=")
    if function == "monitoring.regex.full_match":
        try:
            re.compile(values[0])
        except re.error as error:
            raise FilterError(f"bad regular expression: {error}") from error
    return Comparison(field, operator, function, values)


def _path(reader: _Reader) -> list[str]:
    parts: list[str] = []
    while True:
        kind, token = reader.peek()
        if kind not in ("word", "string"):
            raise reader.error()
        reader.take()
        parts.append(_unquote(token) if kind == "string" else token)
        if reader.peek() != ("mark", "."):
            return parts
        reader.take()


def _field(reader: _Reader) -> str:
    start = reader.at
    try:
        return field_name(_path(reader))
    except KeyError as error:
        reader.at = start
        raise FilterError(f"unknown field {error.args[0]!r}") from error


def field_name(parts: list[str]) -> str:
    """["metric", "labels", "x"] → "metric.x", as columns.py names it.

    Raises:
        KeyError: there is no such field.
    """
    whole = ".".join(parts)
    if whole in ("metric.type", "resource.type", "project"):
        return whole
    group, rest = parts[0], parts[1:]
    if group in ("metric", "resource") and rest[:1] in (["label"], ["labels"]) and rest[1:]:
        return f"{group}.{'.'.join(rest[1:])}"
    if group == "metadata" and rest[:1] in (["user_labels"], ["user_label"]) and rest[1:]:
        return f"user.{'.'.join(rest[1:])}"
    if group == "metadata" and rest[:1] in (["system_labels"], ["system_label"]) and rest[1:]:
        return f"system.{'.'.join(rest[1:])}"
    raise KeyError(whole)


def split_field(text: str) -> str:
    """A group-by field as columns.py names it; quoted label names may hold dots.

    Raises:
        FilterError: there is no such field.
    """
    reader = _Reader(text)
    found = _field(reader)
    if not reader.done:
        raise reader.error()
    return found


def _right_side(reader: _Reader) -> tuple[str, tuple[str, ...]]:
    kind, token = reader.peek()
    if kind == "string":
        reader.take()
        return "", (_unquote(token),)
    name = ".".join(_path(reader))
    if reader.peek() != ("mark", "("):
        return "", (name,)
    if name not in _FUNCTIONS:
        raise FilterError(f"unknown function {name!r}")
    reader.take()
    values: list[str] = []
    while True:
        kind, token = reader.take()
        if kind not in ("string", "word"):
            reader.at -= 1
            raise reader.error()
        values.append(_unquote(token) if kind == "string" else token)
        if reader.peek()[1] != ",":
            break
        reader.take()
    reader.expect(")")
    if name != "one_of" and len(values) != 1:
        raise FilterError(f"{name}() takes one text")
    return name, tuple(values)


def _unquote(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.S)
