"""Logging's query language: a text becomes a predicate over an entry in its JSON form.

Unlike the list filters of other APIs (wire/filters.py), OR binds closer than AND, texts compare
without regard to case, severities and times have an order, and a bare word searches every field.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from emulator.wire.errors import ApiError, invalid

Predicate = Callable[[Mapping[str, Any]], bool]

SEVERITIES: Final = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT",
                     "EMERGENCY")  # fmt: skip
LONGEST: Final = 20_000
_DEEPEST: Final = 50
_TOKEN: Final = re.compile(
    r"""\s*(?:--[^\n]*(?:\n|$)|(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<op>=~|!~|!=|<=|>=|[=<>:(),])|(?P<minus>-(?=[A-Za-z"(_]))|(?P<word>[^\s"'()=<>:!,]+))""",
)
_COMPARE: Final = {"=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"}
_FIELDS: Final = frozenset(
    ["logName", "resource", "protoPayload", "textPayload", "jsonPayload", "timestamp",
     "receiveTimestamp", "severity", "insertId", "httpRequest", "labels", "operation", "trace",
     "spanId", "traceSampled", "sourceLocation", "split"]
)  # fmt: skip
_Token = tuple[str, str]


def compile_query(text: str, field: str = "filter") -> Predicate:
    """The predicate of a query; an empty one takes everything.

    Raises:
        ApiError: INVALID_ARGUMENT: not of the language, or an unknown field.
    """
    if len(text) > LONGEST:
        raise invalid(f"The filter must not be longer than {LONGEST} characters.", field=field)
    tokens = list(_tokens(text, field))
    if not tokens:
        return lambda _entry: True
    parser = _Parser(tokens, text, field)
    found = parser.all_of()
    if parser.rest:
        raise parser.bad(f"unexpected {parser.rest[0][1]!r}")
    return found


def _tokens(text: str, field: str) -> Iterator[_Token]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise invalid(f"Unparseable filter: unexpected {text[position : position + 20]!r}",
                          field=field)  # fmt: skip
        position = match.end()
        if match.lastgroup:
            yield match.lastgroup, match[match.lastgroup]


class _Parser:
    def __init__(self, tokens: list[_Token], text: str, field: str) -> None:
        self.rest = tokens
        self._text, self._field, self._depth = text, field, 0

    def bad(self, why: str) -> ApiError:
        return invalid(f"Unparseable filter: {why} in {self._text[:200]!r}", field=self._field)

    def all_of(self) -> Predicate:
        parts = [self._any_of()]
        while self.rest and self.rest[0] != ("op", ")"):
            self._take("word", "AND")
            parts.append(self._any_of())
        return parts[0] if len(parts) == 1 else lambda e: all(p(e) for p in parts)

    def _any_of(self) -> Predicate:
        parts = [self._one()]
        while self._take("word", "OR"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda e: any(p(e) for p in parts)

    def _one(self) -> Predicate:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self.bad("nested too deeply")
        try:
            if self._take("word", "NOT") or self._take("minus", "-"):
                inner = self._one()
                return lambda e: not inner(e)
            if self._take("op", "("):
                inside = self.all_of()
                self._expect(")")
                return inside
            return self._restriction()
        finally:
            self._depth -= 1

    def _restriction(self) -> Predicate:
        kind, text = self._next("a term")
        if kind == "op" or (kind == "word" and text in ("AND", "OR", "NOT")):
            raise self.bad(f"unexpected {text!r}")
        if kind == "word" and self.rest and self.rest[0] == ("op", "("):
            return self._function(text)
        path = _unquoted(kind, text)
        # labels."a/b" comes as the word `labels.` and the quoted text behind it.
        keys = [path] if kind == "quoted" else [k for k in path.split(".") if k]
        while kind == "word" and text.endswith(".") and self.rest and self.rest[0][0] == "quoted":
            keys.append(_unquoted(*self._next("a field")))
            if self.rest and self.rest[0][0] == "word" and self.rest[0][1].startswith("."):
                text = self._next("a field")[1]
                keys += [k for k in text.split(".") if k]
                continue
            break
        if not self.rest or self.rest[0][0] != "op" or self.rest[0][1] not in _COMPARE:
            return _anywhere(path)
        if not keys:
            raise self.bad(f"no field in {path!r}")
        return self._values(self._check(keys), self._next("an operator")[1])

    def _check(self, keys: list[str]) -> list[str]:
        first = camel(keys[0])
        if first not in _FIELDS:
            raise self.bad(f"unknown field {keys[0]!r}")
        return [first, *keys[1:]]

    def _values(self, keys: list[str], operator: str) -> Predicate:
        """The right side: one value, or several in brackets joined by AND and OR."""
        if not self._take("op", "("):
            return self._comparison(keys, operator, *self._next("a value"))
        groups = [[self._comparison(keys, operator, *self._next("a value"))]]
        while not self._take("op", ")"):
            if self._take("word", "OR"):
                groups[-1].append(self._comparison(keys, operator, *self._next("a value")))
            else:
                self._take("word", "AND")
                groups.append([self._comparison(keys, operator, *self._next("a value"))])
        return lambda e: all(any(p(e) for p in group) for group in groups)

    def _comparison(self, keys: list[str], operator: str, kind: str, text: str) -> Predicate:
        if kind == "op":
            raise self.bad(f"unexpected {text!r}")
        if kind == "minus":
            text = text + self._next("a value")[1]
        wanted = _unquoted(kind, text)
        if operator in ("=~", "!~"):
            try:
                pattern = re.compile(wanted)
            except re.error as error:
                raise self.bad(f"bad regular expression {wanted!r}") from error
            hit = operator == "=~"
            return lambda e: any(bool(pattern.search(_text(v))) for v in _found(e, keys)) == hit
        compare = _comparer(keys, operator, wanted, quoted=kind == "quoted")
        if compare is None:
            raise self.bad(f"{'.'.join(keys)} cannot be compared with {wanted!r}")
        if operator == "!=":
            return lambda e: not any(compare(v) for v in _found(e, keys))
        return lambda e: any(compare(v) for v in _found(e, keys))

    def _function(self, name: str) -> Predicate:
        self._expect("(")
        arguments: list[str] = []
        while not self._take("op", ")"):
            arguments.append(_unquoted(*self._next("an argument")))
            self._take("op", ",")
        if name.lower() == "log_id" and len(arguments) == 1:
            ending = "/logs/" + arguments[0].replace("/", "%2F")
            return lambda e: str(e.get("logName", "")).endswith(ending)
        if name.upper() == "SEARCH" and len(arguments) in (1, 2):
            words = [_anywhere(w) for w in arguments[-1].split()]
            return lambda e: all(w(e) for w in words)
        if name == "ip_in_net" and len(arguments) == 2:
            return _in_network(self._check(arguments[0].split(".")), arguments[1], self)
        raise self.bad(f"unknown function {name!r}")

    def _next(self, wanted: str) -> _Token:
        if not self.rest:
            raise self.bad(f"{wanted} is missing at the end")
        return self.rest.pop(0)

    def _take(self, kind: str, text: str) -> bool:
        if self.rest and self.rest[0] == (kind, text):
            del self.rest[0]
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._take("op", mark):
            raise self.bad(f"{mark!r} is missing")


def _unquoted(kind: str, text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "quoted" else text


def camel(name: str) -> str:
    """protobuf's spelling of a name in JSON's."""
    head, *tail = name.split("_")
    return head + "".join(t.title() for t in tail)


def _found(entry: Any, keys: list[str]) -> list[Any]:
    """The values at a path; through lists, each of theirs."""
    values = [entry]
    for key in keys:
        inner: list[Any] = []
        for value in values:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, Mapping):
                    found = item.get(key, item.get(camel(key)))
                    if found is not None:
                        inner.append(found)
        values = inner
    if not values and keys == ["severity"]:
        return ["DEFAULT"]
    return [v for value in values for v in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _anywhere(text: str) -> Predicate:
    wanted = text.lower()

    def search(value: Any) -> bool:
        if isinstance(value, Mapping):
            return any(search(v) for v in value.values())
        if isinstance(value, list):
            return any(search(v) for v in value)
        return wanted in _text(value).lower()

    return search


def _comparer(
    keys: list[str], operator: str, wanted: str, *, quoted: bool
) -> Callable[[Any], bool] | None:
    if operator == ":":
        if wanted == "*" and not quoted:
            return lambda _value: True
        return _anywhere(wanted)
    rank: Callable[[Any], Any]
    if keys == ["severity"]:
        if wanted.upper() not in SEVERITIES:
            return None
        rank = _severity
    elif keys in (["timestamp"], ["receiveTimestamp"]):
        if _time(wanted) is None:
            return None
        rank = _time
    elif operator in ("=", "!="):
        return lambda value: _equal(value, wanted)
    else:
        rank = _number if _number(wanted) is not None else _lower
    right = rank(wanted)

    def compare(value: Any) -> bool:
        left = rank(value)
        if left is None:
            return False
        return {
            "=": left == right, "!=": left == right, "<": left < right, "<=": left <= right,
            ">": left > right, ">=": left >= right,
        }[operator]  # fmt: skip

    return compare


def _equal(value: Any, wanted: str) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value == _number(wanted)
    return _text(value).lower() == wanted.lower()


def _severity(value: Any) -> int | None:
    name = str(value).upper()
    return SEVERITIES.index(name) if name in SEVERITIES else None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _lower(value: Any) -> str:
    return _text(value).lower()


def _time(value: Any) -> datetime | None:
    """A moment; a date alone is its beginning. Without an offset it is in UTC."""
    text = str(value)
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return found if found.tzinfo else datetime.fromisoformat(f"{found.isoformat()}+00:00")


def _in_network(keys: list[str], network: str, parser: _Parser) -> Predicate:
    try:
        subnet = ipaddress.ip_network(network, strict=False)
    except ValueError as error:
        raise parser.bad(f"bad network {network!r}") from error

    def inside(value: Any) -> bool:
        try:
            return ipaddress.ip_address(str(value)) in subnet
        except ValueError:
            return False

    return lambda entry: any(inside(v) for v in _found(entry, keys))
