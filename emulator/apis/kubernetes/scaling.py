"""The scale subresource: replicas of a workload, whatever kind it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes import admission, patches
from emulator.apis.kubernetes.asks import Ask, Outcome
from emulator.apis.kubernetes.resources import LEADER_WORKER_SETS, Kind
from emulator.apis.kubernetes.status import bad_request, conflict, invalid
from emulator.apis.kubernetes.store import Item

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState

_USUAL: Final = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
}
_LWS: Final = {**_USUAL, "labelSelectorPath": ".status.hpaPodSelector"}


def scale_of(item: Item) -> dict[str, Any]:
    """The Scale of an object."""
    meta, paths = item.body["metadata"], _paths(item.kind)
    kept = {k: meta[k] for k in ("name", "namespace", "uid", "resourceVersion") if k in meta}
    kept["creationTimestamp"] = meta.get("creationTimestamp")
    status: dict[str, Any] = {"replicas": at(item.body, paths["statusReplicasPath"]) or 0}
    if selector := _selector(item, paths):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": {"replicas": at(item.body, paths["specReplicasPath"]) or 0},
        "status": status,
    }


def _paths(kind: Kind) -> Mapping[str, Any]:
    if kind is LEADER_WORKER_SETS:
        return _LWS
    return {**_USUAL, **kind.scale} if kind.scale else _USUAL


def _selector(item: Item, paths: Mapping[str, Any]) -> str:
    if path := paths.get("labelSelectorPath"):
        found = at(item.body, path)
        return found if isinstance(found, str) else ""
    labels = (item.body.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def at(body: Any, path: str) -> Any:
    """The value at a path such as `.spec.replicas`; None when there is none."""
    for key in path.strip(".").split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body


def update(state: ClusterState, ask: Ask, item: Item) -> Outcome:
    """PUT on a scale."""
    return _scaled(state, ask, item, ask.body)


def patch(state: ClusterState, ask: Ask, item: Item) -> Outcome:
    """PATCH on a scale."""
    return _scaled(state, ask, item, patches.patched(None, scale_of(item), ask.form, ask.body))


def _scaled(state: ClusterState, ask: Ask, item: Item, wanted: Any) -> Outcome:
    if not isinstance(wanted, dict) or wanted.get("kind", "Scale") != "Scale":
        raise bad_request("the body is no Scale")
    meta, spec = wanted.get("metadata") or {}, wanted.get("spec") or {}
    if not isinstance(meta, dict) or not isinstance(spec, dict):
        raise bad_request("json: cannot unmarshal metadata or spec of Scale")
    version = meta.get("resourceVersion")
    current = item.body["metadata"]["resourceVersion"]
    # Made again, it names another process's version, and was passed there.
    if version not in (None, "", current) and not state.cloud.replaying:
        raise conflict(item.kind, item.name, "the object has been modified")
    replicas = spec.get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        shown = json.dumps(replicas)[:40]
        raise bad_request(f"json: cannot unmarshal {shown} into field spec.replicas of type int32")
    if not 0 <= replicas < 2**31:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = {"reason": "FieldValueInvalid", "message": text, "field": "spec.replicas"}
        raise invalid(item.kind, item.name, [cause])
    body = copy.deepcopy(item.body)
    target = body
    *way, last = _paths(item.kind)["specReplicasPath"].strip(".").split(".")
    for key in way:
        target = target.setdefault(key, {})
    target[last] = replicas
    admission.admit(state, item.kind, body, item.body)
    changed = state.replace(item, body, dry=ask.dry)
    state.store.refresh()
    return Outcome(200, scale_of(state.item(item.kind, item.namespace, item.name) or changed))
