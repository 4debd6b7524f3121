"""Create, update and patch of objects: what a request's body becomes before it is stored.

Deletions are deletes.py's, other subresources than status and scale subresources.py's.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes import admission, managed, patches, scaling, versions
from emulator.apis.kubernetes.asks import APPLY_PATCH, PATCHES, Ask, Outcome, object_of
from emulator.apis.kubernetes.resources import EVENTS, NAMESPACES, NODES, PODS, Kind
from emulator.apis.kubernetes.status import (
    StatusError,
    bad_request,
    conflict,
    invalid,
    no_such_object,
    unsupported,
)
from emulator.apis.kubernetes.store import Item

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState

Obj = dict[str, Any]
# Only the API server and controllers set those.
_SYSTEM: Final = ("uid", "resourceVersion", "generation", "creationTimestamp", "selfLink")
_DELETION: Final = ("deletionTimestamp", "deletionGracePeriodSeconds")
_STALE: Final = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def create(state: ClusterState, ask: Ask) -> Outcome:
    """POST on a kind."""
    warnings: list[str] = []
    body = _object(ask, ask.validation, warnings)
    meta = body["metadata"]
    if meta.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    return _created(state, ask, body, "Update", warnings)


def _object(ask: Ask, validation: str, warnings: list[str]) -> Obj:
    """The object of a request's body, in the version that it is kept in."""
    kind, served = ask.target.kind, ask.target.served
    if served is None:
        return object_of(ask, kind)
    body = object_of(ask, served)
    admission.check_form(served, body, validation, warnings)
    return versions.raised(kind, body)


def _created(
    state: ClusterState, ask: Ask, body: Obj, operation: str, warnings: list[str]
) -> Outcome:
    kind = ask.target.kind
    meta = body["metadata"]
    for key in (*_SYSTEM, *_DELETION, "managedFields"):
        meta.pop(key, None)
    admission.check_form(kind, body, ask.validation, warnings)
    meta = body["metadata"]
    if "status" in kind.subresources and operation != "Apply":
        body.pop("status", None)
    if not meta.get("name") and not meta.get("generateName"):
        text = "name or generateName is required"
        raise invalid(kind, "", [required("metadata.name", text)])
    namespace = str(meta.get("namespace", ""))
    if not meta.get("name"):
        meta["name"] = state.generated(kind, namespace, str(meta["generateName"]))
    if kind.namespaced:
        state.check_namespace(kind, namespace, str(meta["name"]))
    written = copy.deepcopy(body)
    admission.admit(state, kind, body, None)
    managed.note(body, written, None, ask.manager, operation, state.now(), kind, ask.target.sub)
    item = state.insert(kind, body, dry=ask.dry)
    return Outcome(201, item.body, tuple(warnings))


def required(field: str, text: str = "") -> dict[str, str]:
    """A cause of 422: a field that is missing."""
    message = f"Required value{f': {text}' if text else ''}"
    return {"reason": "FieldValueRequired", "message": message, "field": field}


def update(state: ClusterState, ask: Ask) -> Outcome:
    """PUT on an object or its status."""
    kind, target = ask.target.kind, ask.target
    old = state.item(kind, target.namespace, target.name)
    if target.sub == "scale":
        return scaling.update(state, ask, _found(old, ask))
    warnings: list[str] = []
    body = _object(ask, ask.validation, warnings)
    if old is None:
        raise no_such_object(kind, target.name)
    admission.check_form(kind, body, ask.validation, warnings)
    item = change(state, ask, old, body, "Update")
    return Outcome(200, item.body, tuple(warnings))


def patch(state: ClusterState, ask: Ask) -> Outcome:
    """PATCH in any of the four forms on an object, its status or scale."""
    kind, target = ask.target.kind, ask.target
    if ask.form not in PATCHES:
        raise unsupported(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(PATCHES)
        )
    if ask.body is None:
        raise bad_request("the patch is empty")
    old = state.item(kind, target.namespace, target.name)
    if ask.form == APPLY_PATCH:
        return _apply(state, ask, old)
    old = _found(old, ask)
    if target.sub == "scale":
        return scaling.patch(state, ask, old)
    current = old.body
    if kind is NODES and not target.sub:
        # Its status holds a mark in place of the heartbeats, and is no business of this patch.
        current = {key: value for key, value in current.items() if key != "status"}
    if target.served is not None:
        current = versions.lowered(target.served, current)
    body = patches.patched(target.served or kind, current, ask.form, ask.body)
    given = Ask(target, body, "", ask.dry, ask.validation, ask.manager, ask.force, ask.query)
    warnings: list[str] = []
    body = _object(given, ask.validation, warnings)
    admission.check_form(kind, body, ask.validation, warnings)
    item = change(state, ask, old, body, "Update")
    return Outcome(200, item.body, tuple(warnings))


def _apply(state: ClusterState, ask: Ask, old: Item | None) -> Outcome:
    if not ask.query.get("fieldManager"):
        text = "is required for apply patch"
        raise _options([required("fieldManager", text)])
    kind = ask.target.kind
    warnings: list[str] = []
    body = _object(ask, "Strict", warnings)
    if body["metadata"].get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    admission.check_form(kind, body, "Strict", warnings)
    if old is None:
        if ask.target.sub:
            raise no_such_object(kind, ask.target.name)
        return _created(state, ask, body, "Apply", warnings)
    merged = managed.applied(kind, old.body, body, ask.manager, ask.force, ask.target.sub)
    item = change(state, ask, old, merged, "Apply", written=body)
    return Outcome(200, item.body, tuple(warnings))


def _options(causes: list[dict[str, str]]) -> StatusError:
    text = f"PatchOptions.meta.k8s.io is invalid: {causes[0]['field']}: {causes[0]['message']}"
    details = {"group": "meta.k8s.io", "kind": "PatchOptions"}
    return StatusError(422, "Invalid", text, **details, causes=causes)


def _found(old: Item | None, ask: Ask) -> Item:
    if old is None:
        raise no_such_object(ask.target.kind, ask.target.name)
    return old


def change(
    state: ClusterState, ask: Ask, old: Item, body: Obj, operation: str, written: Obj | None = None
) -> Item:
    """Put a checked body in an object's place, as far as its subresource reaches."""
    kind, meta, was = old.kind, body["metadata"], old.body["metadata"]
    if not state.cloud.replaying:  # versions are another process's, and were passed there
        _check_version(kind, old, meta)
    body = _part(kind, ask.target.sub, old, body)
    meta = body["metadata"]
    for key in (*_SYSTEM, *_DELETION):
        meta.pop(key, None)
        if key in was:
            meta[key] = was[key]
    if not isinstance(meta.get("managedFields"), list):
        meta.pop("managedFields", None)
        if "managedFields" in was and operation != "Update":
            meta["managedFields"] = was["managedFields"]
    admission.admit(state, kind, body, old.body, sub=ask.target.sub)
    managed.note(body, written, old.body, ask.manager, operation, state.now(), kind, ask.target.sub)
    item = state.replace(old, body, dry=ask.dry)
    if not ask.dry and _is_over(item):
        state.erase(item)
    return item


def _check_version(kind: Kind, old: Item, meta: Obj) -> None:
    was = old.body["metadata"]
    given, uid = meta.get("resourceVersion"), meta.get("uid")
    if given not in (None, "", was["resourceVersion"]):
        if not isinstance(given, str) or not given.isdigit():
            text = f'Invalid value: "{given!s:.40}": must be an unsigned integer'
            cause = {"reason": "FieldValueInvalid", "message": text,
                     "field": "metadata.resourceVersion"}  # fmt: skip
            raise invalid(kind, old.name, [cause])
        raise conflict(kind, old.name, _STALE)
    if uid not in (None, "", was["uid"]):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {was['uid']}"
        raise conflict(kind, old.name, why)


def _part(kind: Kind, sub: str, old: Item, body: Obj) -> Obj:
    """What of the body a write through that subresource may change."""
    if sub == "status":
        kept = copy.deepcopy(old.body)
        if "status" in body:
            kept["status"] = body["status"]
        else:
            kept.pop("status", None)
        meta = body["metadata"]
        for key in ("labels", "annotations", "managedFields"):
            if kind is NAMESPACES or key == "managedFields":
                continue
            if key in meta:
                kept["metadata"][key] = meta[key]
        return kept
    if "status" in kind.subresources and kind is not EVENTS:
        body = {key: value for key, value in body.items() if key != "status"}
        if "status" in old.body:
            body["status"] = copy.deepcopy(old.body["status"])
    return body


def _is_over(item: Item) -> bool:
    """Whether only its finalizers kept it, and the last one went."""
    meta = item.body["metadata"]
    return bool(
        meta.get("deletionTimestamp")
        and not meta.get("finalizers")
        and item.kind not in (NAMESPACES, PODS)
    )
