"""Delete and delete-collection: grace, propagation, preconditions."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes import garbage
from emulator.apis.kubernetes.asks import Ask, Outcome
from emulator.apis.kubernetes.resources import (
    CLAIMS,
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STORAGE_CLASSES,
    VOLUMES,
)
from emulator.apis.kubernetes.status import (
    StatusError,
    bad_request,
    conflict,
    forbidden,
    no_such_object,
)
from emulator.apis.kubernetes.store import Item

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState

_POLICIES: Final = ("Orphan", "Background", "Foreground")
# Kinds whose deletion answers with the object; that of others says Success.
_RETURNED: Final = (PODS, CLAIMS, VOLUMES, SERVICE_ACCOUNTS, SERVICES, STORAGE_CLASSES)
_PROTECTED: Final = ("default", "kube-system", "kube-public", "kube-node-lease")


def delete(state: ClusterState, ask: Ask) -> Outcome:
    """DELETE on an object."""
    kind, name = ask.target.kind, ask.target.name
    item = state.item(kind, ask.target.namespace, name)
    options = _options(ask)
    if item is None:
        raise no_such_object(kind, name)
    if kind is NAMESPACES and name in _PROTECTED:
        raise forbidden(kind, name, "this namespace may not be deleted")
    if not state.cloud.replaying:  # versions are another process's, and were passed there
        _check(item, options.get("preconditions") or {})
    if ask.dry or options.get("dryRun"):
        return Outcome(200, item.body)
    left = remove(state, item, options)
    if left is None and kind in _RETURNED:
        left = item
    return Outcome(200, left.body if left is not None else _success(item))


def delete_all(state: ClusterState, ask: Ask, items: Iterable[Item]) -> Outcome:
    """DELETE on a kind: all that the selectors leave."""
    kind, options = ask.target.kind, _options(ask)
    gone = list(items)
    if not (ask.dry or options.get("dryRun")):
        for item in gone:
            current = state.item(kind, item.namespace, item.name)
            if current is not None:
                remove(state, current, options)
    return Outcome(
        200,
        {
            "kind": kind.list_kind,
            "apiVersion": kind.api_version,
            "metadata": {"resourceVersion": str(state.store.version)},
            "items": [item.body for item in gone],
        },
    )


def _success(item: Item) -> dict[str, Any]:
    details = {"name": item.name, "kind": item.kind.plural, "uid": item.body["metadata"]["uid"]}
    if item.kind.group:
        details["group"] = item.kind.group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


def _options(ask: Ask) -> dict[str, Any]:
    """DeleteOptions of the body, or else of the query."""
    body = ask.body if ask.body is not None else {}
    if not isinstance(body, dict) or body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("the body of a deletion is DeleteOptions")
    options = dict(body)
    for key in ("propagationPolicy", "gracePeriodSeconds", "orphanDependents"):
        if ask.query.get(key) and key not in options:
            options[key] = ask.query[key]
    grace = options.get("gracePeriodSeconds")
    if isinstance(grace, str) and grace.lstrip("-").isdigit():
        grace = int(grace[:12])
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool) or grace < 0):
        raise _bad_option("gracePeriodSeconds", grace, "must be greater than or equal to 0")
    options["gracePeriodSeconds"] = grace
    policy = options.get("propagationPolicy")
    if policy not in (None, *_POLICIES):
        raise _bad_option("propagationPolicy", policy, f"must be one of {', '.join(_POLICIES)}")
    if options.get("orphanDependents") in (True, "true"):
        options["propagationPolicy"] = "Orphan"
    if not isinstance(options.get("preconditions") or {}, dict):
        raise bad_request("json: cannot unmarshal preconditions of DeleteOptions")
    return options


def _bad_option(field: str, value: object, why: str) -> StatusError:
    message = f"Invalid value: {value!r:.60}: {why}"
    return StatusError(
        422, "Invalid", f'DeleteOptions.meta.k8s.io "" is invalid: {field}: {message}',
        group="meta.k8s.io", kind="DeleteOptions",
        causes=[{"reason": "FieldValueInvalid", "message": message, "field": field}],
    )  # fmt: skip


def _check(item: Item, preconditions: Mapping[str, Any]) -> None:
    meta = item.body["metadata"]
    for key, title in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        given = preconditions.get(key)
        if given not in (None, "", meta[key]):
            why = (
                f"Precondition failed: {title} in precondition: {given!s:.60}, "
                f"{title} in object meta: {meta[key]}"
            )
            raise conflict(item.kind, item.name, why)


def remove(state: ClusterState, item: Item, options: Mapping[str, Any]) -> Item | None:
    """Delete an object; what is left of it for now, None when it is gone."""
    policy = options.get("propagationPolicy") or "Background"
    if item.kind is PODS and item.stored and garbage.running(item):
        asked = options.get("gracePeriodSeconds")
        own = item.body["spec"].get("terminationGracePeriodSeconds")
        grace = asked if asked is not None else 30 if own is None else int(own)
        if grace > 0:
            return state.mark_deleted(item, grace)
    if not item.stored and item.kind is NAMESPACES:
        item = state.adopt(item)
    finalizers = {"Foreground": garbage.FOREGROUND, "Orphan": garbage.ORPHAN}
    if item.stored and policy in finalizers:
        item = _finalized(state, item, finalizers[policy])
    held = item.kind is NAMESPACES or bool(item.body["metadata"].get("finalizers"))
    if held and item.stored:
        return state.mark_deleted(item, 0)
    state.erase(item)
    return None


def _finalized(state: ClusterState, item: Item, finalizer: str) -> Item:
    body = copy.deepcopy(item.body)
    found = body["metadata"].setdefault("finalizers", [])
    if finalizer not in found:
        found.append(finalizer)
    return state.replace(item, body)
