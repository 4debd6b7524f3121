"""Strategic merge patch: Kubernetes' own, which merges lists by the keys that the schema names.

Directives ($patch, $retainKeys, $setElementOrder, $deleteFromPrimitiveList) as its documentation of
strategic merge patches has them.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from emulator.apis.kubernetes.schema import REF, Schema, resolved
from emulator.apis.kubernetes.status import bad_request

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"


def strategic_merge(model: str, current: dict[str, Any], patch: dict[str, Any]) -> Any:
    """The object after the patch; neither argument is changed.

    Raises:
        StatusError: 400, a directive or element makes no sense.
    """
    schema: Schema = {"$ref": REF + model} if model else {}
    return _merge(schema, copy.deepcopy(current), copy.deepcopy(patch))


def _merge(schema: Schema, current: Any, patch: dict[str, Any]) -> Any:
    schema = resolved(schema)
    directive = patch.pop(_PATCH, None)
    if directive == "replace":
        return {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type {directive!r:.40} found in map")
    result: dict[str, Any] = current if isinstance(current, dict) else {}
    retained = patch.pop(_RETAIN, None)
    if isinstance(retained, list):
        result = {key: value for key, value in result.items() if key in retained}
    orders = {k.removeprefix(_ORDER): patch.pop(k) for k in list(patch) if k.startswith(_ORDER)}
    for key in [k for k in patch if k.startswith(_DELETE)]:
        gone, name = patch.pop(key), key.removeprefix(_DELETE)
        if not isinstance(gone, list):
            raise bad_request(f"{key[:60]} must be a list")
        if isinstance(result.get(name), list):
            result[name] = [one for one in result[name] if one not in gone]
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _field(schema, key, result.get(key), value)
    for key, order in orders.items():
        _order(_below(schema, key), result.get(key), order)
    return result


def _below(schema: Schema, key: str) -> Schema:
    found = (schema.get("properties") or {}).get(key)
    if found is None:
        rest = schema.get("additionalProperties")
        found = rest if isinstance(rest, dict) else {}
    return found


def _field(schema: Schema, key: str, current: Any, value: Any) -> Any:
    below = _below(schema, key)
    if isinstance(value, dict):
        if _PATCH not in value and resolved(below).get("x-kubernetes-preserve-unknown-fields"):
            return _merge({}, current, value)
        return _merge(below, current, value)
    if isinstance(value, list) and "merge" in below.get("x-kubernetes-patch-strategy", ""):
        merge_key = below.get("x-kubernetes-patch-merge-key")
        old = current if isinstance(current, list) else []
        if merge_key:
            return _merge_list(below["items"], str(merge_key), old, value)
        return old + [one for one in value if one not in old]
    return value


def _merge_list(schema: Schema, key: str, current: list[Any], patch: list[Any]) -> list[Any]:
    if any(isinstance(one, dict) and one.get(_PATCH) == "replace" for one in patch):
        return [one for one in patch if not (isinstance(one, dict) and _PATCH in one)]
    result = list(current)
    fresh: list[Any] = []
    for element in patch:
        if not isinstance(element, dict) or (key not in element and _PATCH not in element):
            raise bad_request(f"map: {element!s:.80} does not contain declared merge key: {key}")
        value = element.get(key)
        at = _index(result, key, value)
        if element.get(_PATCH) == "delete":
            result = [one for one in result if not _same(one, key, value)]
        elif at is None:
            # What is new comes first, as in the API server's own merge.
            fresh.append(_merge(schema, {}, element))
        else:
            result[at] = _merge(schema, result[at], element)
    return result + fresh


def _same(one: Any, key: str, value: Any) -> bool:
    return isinstance(one, dict) and one.get(key) == value


def _index(elements: list[Any], key: str, value: Any) -> int | None:
    return next((i for i, one in enumerate(elements) if _same(one, key, value)), None)


def _order(schema: Schema, elements: Any, order: Any) -> None:
    """Bring a list into the order that the patch asks for; others keep their place behind."""
    if not isinstance(elements, list) or not isinstance(order, list):
        return
    key = schema.get("x-kubernetes-patch-merge-key")
    if key:
        wanted = [one.get(key) for one in order if isinstance(one, dict)]
        places = [one.get(key) if isinstance(one, dict) else None for one in elements]
    else:
        wanted, places = order, list(elements)
    rank = {repr(value): index for index, value in enumerate(wanted)}
    numbered = sorted(range(len(elements)), key=lambda i: (rank.get(repr(places[i]), len(rank)), i))
    elements[:] = [elements[i] for i in numbered]
