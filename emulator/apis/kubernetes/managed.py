"""Whose field is whose: managedFields, and server-side apply, which goes by them."""

from __future__ import annotations

import copy
import json
from typing import Any, Final

from emulator.apis.kubernetes.field_sets import (
    Path,
    leaves,
    merge,
    paths_of,
    shown,
    tree,
    without,
)
from emulator.apis.kubernetes.kind_schemas import schema_of
from emulator.apis.kubernetes.resources import Kind
from emulator.apis.kubernetes.status import StatusError
from emulator.clock import rfc3339

Obj = dict[str, Any]
_IDENTITY: Final = frozenset({("f:apiVersion",), ("f:kind",)})
# Metadata that callers own; the rest is the API server's.
_META: Final = ("f:labels", "f:annotations", "f:finalizers", "f:ownerReferences")


def _owned(kind: Kind, body: Obj, sub: str) -> dict[Path, Any]:
    """What of an object can be owned by a write through that subresource."""
    apart = "status" in kind.subresources
    return {
        path: value
        for path, value in leaves(schema_of(kind), body)
        if path not in _IDENTITY
        and (not apart or (path[0] == "f:status") is (sub == "status"))
        and (path[0] != "f:metadata" or (len(path) > 1 and path[1] in _META))
    }


def _entries(body: Obj | None) -> list[Obj]:
    found = (body or {}).get("metadata", {}).get("managedFields")
    return [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []


def note(
    body: Obj, written: Obj | None, old: Obj | None, manager: str, operation: str, at: float,
    kind: Kind, sub: str,
) -> None:  # fmt: skip
    """Enter into the body's managedFields what the manager changed, or applied (`written`).

    Nothing is entered when nothing differs, so that such a write changes no version.
    """
    before = _owned(kind, old, sub) if old else {}
    after = _owned(kind, body, sub)
    meta = body["metadata"]
    entries = copy.deepcopy(_entries(old))
    if old is not None and _entries(body) == [] and "managedFields" in meta:
        entries = []  # a caller may reset them
    told = {"manager": manager, "operation": operation, "apiVersion": kind.api_version}
    own = [e for e in entries if _is_of(e, told, sub)]
    mine: set[Path] = set().union(*(paths_of(e.get("fieldsV1")) for e in own))
    had = mine
    changed = {path for path, value in after.items() if before.get(path, ...) != value}
    if operation == "Apply":
        mine = set(_owned(kind, written, sub)) if written else set()
    else:
        mine = (mine & after.keys()) | changed
    if mine == had and not changed and before.keys() <= after.keys():
        if entries:
            meta["managedFields"] = entries
        return
    others: list[Obj] = []
    for entry in entries:
        if entry in own:
            continue
        # Whoever changes a field takes it over; what goes, goes for all.
        gone = changed | (before.keys() - after.keys())
        fields = paths_of(entry.get("fieldsV1")) - gone
        if fields:
            others.append({**entry, "fieldsV1": tree(fields)})
    if mine:
        fresh = {**told, "time": rfc3339(at), "fieldsType": "FieldsV1", "fieldsV1": tree(mine)}
        others.append({**fresh, "subresource": sub} if sub else fresh)
    meta["managedFields"] = others
    if not others:
        del meta["managedFields"]


def _is_of(entry: Obj, told: Obj, sub: str) -> bool:
    same = all(entry.get(key) == value for key, value in told.items())
    return same and entry.get("subresource", "") == sub


def applied(kind: Kind, old: Obj, wanted: Obj, manager: str, force: bool, sub: str) -> Obj:
    """The object with another configuration applied by its manager.

    What the manager applied before and now leaves out goes, unless others own it too.

    Raises:
        StatusError: 409, others own fields that would change; with a cause for each.
    """
    schema = schema_of(kind)
    told = {"manager": manager, "operation": "Apply"}
    entries = _entries(old)
    own = [e for e in entries if _is_of(e, told, sub)]
    others = [e for e in entries if e not in own]
    before = _owned(kind, old, sub)
    asked = _owned(kind, wanted, sub)
    differing = {
        path for path, value in asked.items() if path in before and before[path] != value
    }  # fmt: skip
    if not force:
        _refuse_conflicts(differing, others)
    mine: set[Path] = set().union(*(paths_of(e.get("fieldsV1")) for e in own))
    theirs: set[Path] = set().union(*(paths_of(e.get("fieldsV1")) for e in others))
    gone = mine - asked.keys() - theirs
    kept: Obj = without(schema, old, gone) if gone else old
    merged: Obj = merge(schema, kept, wanted)
    result = copy.deepcopy(merged)
    result["metadata"]["managedFields"] = copy.deepcopy(entries)
    return result


def _refuse_conflicts(differing: set[Path], others: list[Obj]) -> None:
    causes: list[dict[str, str]] = []
    for entry in others:
        for path in sorted(differing & paths_of(entry.get("fieldsV1"))):
            using = (
                f" using {entry.get('apiVersion')}" if entry.get("operation") == "Update" else ""
            )
            message = f"conflict with {json.dumps(entry.get('manager'))}{using}"
            if entry.get("subresource"):
                message += f" with subresource {json.dumps(entry['subresource'])}"
            causes.append(
                {"reason": "FieldManagerConflict", "message": message, "field": shown(path)}
            )
    if causes:
        count = len(causes)
        head = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: "
        text = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
        raise StatusError(409, "Conflict", head + text, causes=causes)
