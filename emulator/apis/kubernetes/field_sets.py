"""Sets of fields as managedFields keep them (FieldsV1), and the merge that server-side apply does.

A set is a tree: `f:name` for a field, `k:{...}` for an element of a list with keys, `v:...` for one
of a set; `.` says that the node itself is owned.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from emulator.apis.kubernetes.schema import Schema, resolved

FieldSet = dict[str, Any]
Path = tuple[str, ...]


def children(schema: Schema, value: Any) -> Iterator[tuple[str, Schema, Any]]:
    """(path element, schema, value) of what an owner may own apart; nothing for what is whole."""
    outer, schema = schema, resolved(schema)
    granular = schema.get("x-kubernetes-map-type") != "atomic"
    granular = granular and outer.get("x-kubernetes-map-type") != "atomic"
    if isinstance(value, dict) and granular:
        properties = schema.get("properties") or {}
        rest = schema.get("additionalProperties")
        for key, inner in value.items():
            below = properties.get(key) or (rest if isinstance(rest, dict) else {})
            yield f"f:{key}", below, inner
    elif isinstance(value, list):
        kind = outer.get("x-kubernetes-list-type")
        items = schema.get("items") or {}
        if kind == "map":
            for element in value:
                yield key_of(outer, element), items, element
        elif kind == "set":
            for element in value:
                yield f"v:{json.dumps(element)}", {}, element


def key_of(schema: Schema, element: Any) -> str:
    """The path element of one list element."""
    names = schema["x-kubernetes-list-map-keys"]
    if not isinstance(element, dict):
        return "k:{}"
    found = {name: element[name] for name in sorted(names) if name in element}
    if "protocol" in names:
        found.setdefault("protocol", "TCP")
    return "k:" + json.dumps(found, separators=(",", ":"), sort_keys=True)


def leaves(schema: Schema, value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """(path, value) of every field that can be owned: leaves, and elements of keyed lists."""
    below = list(children(schema, value))
    if not below:
        if path:
            yield path, value
        return
    if path and path[-1].startswith("k:"):
        yield (*path, "."), None
    for element, inner_schema, inner in below:
        yield from leaves(inner_schema, inner, (*path, element))


def tree(paths: Iterator[Path] | set[Path] | list[Path]) -> FieldSet:
    """FieldsV1 of those paths."""
    built: FieldSet = {}
    for path in sorted(paths):
        node = built
        for element in path:
            node = node.setdefault(element, {})
    return built


def paths_of(fields: Any, path: Path = ()) -> set[Path]:
    """The paths in FieldsV1."""
    if not isinstance(fields, dict) or not fields:
        return {path} if path else set()
    found: set[Path] = set()
    for key, inner in fields.items():
        found |= paths_of(inner, (*path, str(key)))
    return found


def shown(path: Path) -> str:
    """A path as conflicts name it: .spec.template.spec.containers[name="x"].image."""
    text = ""
    for element in path:
        if element.startswith("f:"):
            text += f".{element[2:]}"
        elif element.startswith("k:"):
            keys: dict[str, Any] = json.loads(element[2:])
            text += "[" + ",".join(f"{k}={json.dumps(v)}" for k, v in keys.items()) + "]"
        elif element.startswith("v:"):
            text += f"[={element[2:]}]"
    return text


def merge(schema: Schema, current: Any, wanted: Any) -> Any:
    """The current value with all that is wanted put in; lists by their keys."""
    outer, schema = schema, resolved(schema)
    atomic = "atomic" in (
        schema.get("x-kubernetes-map-type"), outer.get("x-kubernetes-map-type")
    )  # fmt: skip
    if isinstance(wanted, dict) and isinstance(current, dict) and not atomic:
        properties = schema.get("properties") or {}
        rest = schema.get("additionalProperties")
        result = dict(current)
        for key, inner in wanted.items():
            below = properties.get(key) or (rest if isinstance(rest, dict) else {})
            result[key] = merge(below, current.get(key), inner)
        return result
    if isinstance(wanted, list) and isinstance(current, list):
        kind = outer.get("x-kubernetes-list-type")
        if kind == "map":
            return _merge_map(outer, schema.get("items") or {}, current, wanted)
        if kind == "set":
            return current + [one for one in wanted if one not in current]
    return copy.deepcopy(wanted)


def _merge_map(outer: Schema, items: Schema, current: list[Any], wanted: list[Any]) -> list[Any]:
    result = list(current)
    places = {key_of(outer, one): index for index, one in enumerate(result)}
    for element in wanted:
        key = key_of(outer, element)
        if key in places:
            result[places[key]] = merge(items, result[places[key]], element)
        else:
            places[key] = len(result)
            result.append(copy.deepcopy(element))
    return result


def without(schema: Schema, value: Any, gone: set[Path], path: Path = ()) -> Any:
    """The value without the fields at those paths, and without lists and maps left empty by it."""
    outer, schema = schema, resolved(schema)
    below = list(children(outer, value))
    kept: list[tuple[str, Any]] = []
    lost = False
    for element, inner_schema, inner in below:
        place = (*path, element)
        if place in gone or (
            (*place, ".") in gone and _nothing_else(inner_schema, inner, gone, place)
        ):
            lost = True
            continue
        left = without(inner_schema, inner, gone, place)
        if left in ({}, []) and inner not in ({}, []):
            lost = True
            continue
        lost = lost or left != inner
        kept.append((element, left))
    if not lost:
        return value
    if isinstance(value, dict):
        return {element[2:]: inner for element, inner in kept}
    return [inner for _, inner in kept]


def _nothing_else(schema: Schema, value: Any, gone: set[Path], path: Path) -> bool:
    """Whether a list element would keep nothing but its keys."""
    return all(
        place in gone or place[-1] == "." or _is_key(place, path)
        for place, _ in leaves(schema, value, path)
    )


def _is_key(place: Path, element: Path) -> bool:
    if len(place) != len(element) + 1 or not element[-1].startswith("k:"):
        return False
    return place[-1][2:] in json.loads(element[-1][2:])
