"""Lists of policies, channels and alerts: Monitoring's filters, sort orders and pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar, cast

from google.protobuf import json_format

from emulator.wire.codec import plain
from emulator.wire.errors import invalid
from emulator.wire.filters import compile_filter, snake
from emulator.wire.paging import page

T = TypeVar("T")
_TIME: Final = re.compile(r'"(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))"')
# The functions of Monitoring's list filters, as the shared filters say the same.
_FUNCTIONS: Final = (
    (re.compile(r'!=\s*monitoring\.regex\.full_match\(("(?:[^"\\]|\\.)*")\)'), r"!~ \1"),
    (re.compile(r'=\s*monitoring\.regex\.full_match\(("(?:[^"\\]|\\.)*")\)'), r"~ \1"),
    (re.compile(r'=\s*starts_with\("([^"*]*)"\)'), r'= "\1*"'),
    (re.compile(r'=\s*ends_with\("([^"*]*)"\)'), r'= "*\1"'),
    (re.compile(r'=\s*has_substring\("([^"*]*)"\)'), r'= "*\1*"'),
)
_ORDER: Final = re.compile(r"(-?)\s*([A-Za-z_][\w.\-]*)(?:\s+(asc|desc))?")


def tree_of(message: Any) -> dict[str, Any]:
    """A message as JSON; times as Unix seconds, so that filters can compare them."""
    return cast(dict[str, Any], _seconds(json_format.MessageToDict(plain(message))))


def _seconds(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _seconds(v) for k, v in cast(dict[str, Any], node).items()}
    if isinstance(node, list):
        return [_seconds(item) for item in cast(list[Any], node)]
    if isinstance(node, str) and _TIME.fullmatch(f'"{node}"'):
        return _epoch(node)
    return node


def _epoch(text: str) -> float | str:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return text


def select(
    items: Sequence[T], text: str, order: str, tree: Callable[[T], Mapping[str, Any]] = tree_of
) -> list[T]:
    """The items that the filter lets through, in that order.

    Raises:
        ApiError: INVALID_ARGUMENT: no filter or no order.
    """
    for pattern, replacement in _FUNCTIONS:
        text = pattern.sub(replacement, text)
    accepts = compile_filter(_TIME.sub(lambda m: str(_epoch(m[1])), text))
    trees = [(item, tree(item)) for item in items]
    found = [(item, t) for item, t in trees if accepts(t)]
    for field, descending in reversed(_order(order, items)):
        found.sort(key=lambda pair, f=field: _rank(pair[1], f), reverse=descending)
    return [item for item, _ in found]


def _order(text: str, items: Sequence[Any]) -> list[tuple[str, bool]]:
    first = items[:1] if text else ()
    known = {field.name for item in first for field in plain(item).DESCRIPTOR.fields}
    found: list[tuple[str, bool]] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        match = _ORDER.fullmatch(part)
        if match is None or (known and snake(match[2]).partition(".")[0] not in known):
            raise invalid(f'Field orderBy had an invalid value of "{text}".', field="order_by")
        found.append((match[2], match[1] == "-" or match[3] == "desc"))
    return found


def _rank(tree: Mapping[str, Any], path: str) -> tuple[int, float, str]:
    value: Any = tree
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return 0, 0.0, ""
        head, *tail = part.split("_")
        mapping = cast(Mapping[str, Any], value)
        value = mapping.get(part, mapping.get(head + "".join(t.title() for t in tail)))
    if isinstance(value, bool | int | float):
        return 1, float(value), ""
    return (0, 0.0, "") if value is None else (2, 0.0, str(value))


def paged(request: Any, items: Sequence[T], *, scope: str, default: int) -> tuple[list[T], str]:
    """One page of a list request's items."""
    return page(
        items, request.page_size, request.page_token, scope=scope, default=default, most=1000
    )
