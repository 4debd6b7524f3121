"""Label and field selectors, as lists and watches take them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from emulator.apis.kubernetes.resources import EVENTS, Kind
from emulator.apis.kubernetes.status import bad_request

Labels = Mapping[str, str]
_SET: Final = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^()]*)\)$")
_COMPARE: Final = re.compile(r"^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$")
_EXISTS: Final = re.compile(r"^(!?)\s*([^\s=!()]+)$")
# Commas separate requirements, but not inside the brackets of `in (a,b)`.
_COMMA: Final = re.compile(r",(?![^(]*\))")


def label_selector(text: str) -> Callable[[Labels], bool]:
    """A test of labels.

    Raises:
        StatusError: 400, the text is no selector.
    """
    tests = [_label_test(part.strip()) for part in _COMMA.split(text) if part.strip()]
    return lambda labels: all(test(labels) for test in tests)


def _label_test(part: str) -> Callable[[Labels], bool]:
    if found := _SET.match(part):
        key, negative = found[1], found[2] == "notin"
        values = {value.strip() for value in found[3].split(",")}
        return lambda labels: (labels.get(key) in values) is not negative
    if found := _COMPARE.match(part):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(part):
        key, negative = found[2], bool(found[1])
        return lambda labels: (key in labels) is not negative
    raise bad_request(f"unable to parse requirement: {part!r} is no label selector")


def field_selector(text: str, kind: Kind) -> Callable[[Mapping[str, Any]], bool]:
    """A test of an object's fields.

    Raises:
        StatusError: 400, the text is no selector or the kind does not support the field.
    """
    tests: list[tuple[str, bool, str]] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        found = _COMPARE.match(part)
        if not found:
            raise bad_request(f"invalid selector: {part!r}; can't understand it")
        field, operator, value = found.groups()
        known = ("metadata.name", *(["metadata.namespace"] if kind.namespaced else []))
        if field not in (*known, *kind.fields):
            raise bad_request(f"field label not supported: {field}")
        tests.append((field, operator == "!=", value))
    return lambda body: all(
        (_field(body, field, kind) == value) is not negative for field, negative, value in tests
    )


def _field(body: Mapping[str, Any], path: str, kind: Kind) -> str:
    if kind is EVENTS and path == "source":
        path = "source.component"
    node: Any = body
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    if isinstance(node, bool):
        return str(node).lower()
    if node is None:
        return "false" if path == "spec.unschedulable" else ""
    return str(node)
