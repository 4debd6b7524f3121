"""What follows from a deletion: dependents, finalizers, the contents of namespaces.

Works on a `ClusterState`. Pods that run on a node are marked and end in their own time, which is
the controllers' business; everything else goes at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.gke.repair import unregister
from emulator.apis.kubernetes.resources import (
    CLAIMS,
    DEPLOYMENTS,
    LEADER_WORKER_SETS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
)
from emulator.apis.kubernetes.store import Item

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
CLAIM_PROTECTION: Final = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION: Final = "kubernetes.io/pv-protection"
_DONE: Final = ("Succeeded", "Failed")


def collect(state: ClusterState) -> None:
    """Carry every deletion on as far as it goes now."""
    if not state.untidy:
        return
    state.untidy = False
    for item in _stored(state):
        _collect(state, item)
    for namespace in list(state.store.peek(NAMESPACES).values()):
        if namespace.body["metadata"].get("deletionTimestamp"):
            _empty(state, namespace)


def _collect(state: ClusterState, item: Item) -> None:
    meta = item.body["metadata"]
    if meta.get("deletionTimestamp") is None:
        if meta.get("ownerReferences") and not any(
            _exists(state, item.namespace, reference) for reference in meta["ownerReferences"]
        ):
            dismiss(state, item)
        return
    finalizers: list[str] = meta.get("finalizers", [])
    left = [name for name in finalizers if not _finished(state, item, name)]
    if left != finalizers:
        body = copy.deepcopy(item.body)
        body["metadata"]["finalizers"] = left
        if not left:
            del body["metadata"]["finalizers"]
        item = state.replace(item, body)
    if not left and item.kind not in (PODS, NAMESPACES):
        state.erase(item)


def _finished(state: ClusterState, item: Item, finalizer: str) -> bool:
    """Whether what the API server's own finalizer waits for has come; others' are theirs."""
    test = _OWN.get(finalizer)
    return test is not None and test(state, item)


def _foreground(state: ClusterState, item: Item) -> bool:
    waits = False
    for dependent, reference in dependents(state, item):
        dismiss(state, dependent)
        waits = waits or bool(reference.get("blockOwnerDeletion"))
    return not waits or not any(True for _ in dependents(state, item))


def _orphaned(state: ClusterState, item: Item) -> bool:
    for dependent, reference in list(dependents(state, item)):
        body = copy.deepcopy(dependent.body)
        kept = [r for r in body["metadata"]["ownerReferences"] if r["uid"] != reference["uid"]]
        body["metadata"]["ownerReferences"] = kept
        if not kept:
            del body["metadata"]["ownerReferences"]
        state.replace(dependent, body)
    return True


def _unclaimed(state: ClusterState, item: Item) -> bool:
    for pod in state.store.peek(PODS).values():
        if pod.namespace != item.namespace or pod.body.get("status", {}).get("phase") in _DONE:
            continue
        for volume in pod.body["spec"].get("volumes") or ():
            if (volume.get("persistentVolumeClaim") or {}).get("claimName") == item.name:
                return False
    return True


def _unbound(state: ClusterState, item: Item) -> bool:
    claim = item.body["spec"].get("claimRef") or {}
    key = (str(claim.get("namespace", "")), str(claim.get("name", "")))
    found = state.store.peek(CLAIMS).get(key)
    return found is None or found.body["metadata"].get("uid") != claim.get("uid")


_OWN: Final[dict[str, Callable[[Any, Item], bool]]] = {
    FOREGROUND: _foreground,
    ORPHAN: _orphaned,
    CLAIM_PROTECTION: _unclaimed,
    VOLUME_PROTECTION: _unbound,
}


def dependents(state: ClusterState, item: Item) -> Iterator[tuple[Item, dict[str, Any]]]:
    """Stored objects that the object owns, each with the reference to it."""
    uid = item.body["metadata"].get("uid")
    for other in _stored(state):
        for reference in other.body["metadata"].get("ownerReferences") or ():
            if reference.get("uid") == uid:
                yield other, reference


def dismiss(state: ClusterState, item: Item) -> None:
    """Delete as a controller does: running pods get their grace."""
    if item.kind is PODS and running(item):
        grace = item.body["spec"].get("terminationGracePeriodSeconds")
        state.mark_deleted(item, 30 if grace is None else int(grace))
    else:
        state.end(item)


def running(pod: Item) -> bool:
    """Whether a kubelet has it."""
    status = pod.body.get("status", {})
    return bool(pod.body["spec"].get("nodeName")) and status.get("phase") not in _DONE


def _exists(state: ClusterState, namespace: str, reference: dict[str, Any]) -> bool:
    kind = state.kinds.of(str(reference.get("apiVersion")), str(reference.get("kind")))
    if kind is None:
        return False
    found = state.item(kind, namespace if kind.namespaced else "", str(reference.get("name")))
    return found is not None and found.body["metadata"].get("uid") == reference.get("uid")


def _stored(state: ClusterState) -> list[Item]:
    return [i for kind in state.kinds for i in state.store.peek(kind).values() if i.stored]


def _empty(state: ClusterState, namespace: Item) -> None:
    """Delete what is in a namespace, and the namespace when nothing is left."""
    left = False
    for kind in state.kinds:
        for item in list(state.store.peek(kind).values()):
            if item.namespace != namespace.name:
                continue
            if not item.stored:
                state.overlays.hide([(kind, item.namespace, item.name)])
                state.store.forget()
                continue
            if not item.body["metadata"].get("deletionTimestamp"):
                dismiss(state, item)
            left = left or state.item(kind, item.namespace, item.name) is not None
    finalizers = namespace.body["metadata"].get("finalizers")
    if left or finalizers:
        return
    state.erase(namespace)


def hide(state: ClusterState, item: Item) -> None:
    """Delete what follows from the fleet.

    A server pod begins anew, as its workload would have it; a ReplicaSet stays, for the same
    reason; a workload goes with its pods. A node's host stays, and comes back as GKE brings it.
    """
    if item.kind is PODS:
        state.overlays.restart(item.namespace, item.name, state.now())
    elif item.kind is NODES:
        state.overlays.drop((NODES, "", item.name))
        unregister(state.cloud, state.cluster, item.name)
    elif item.kind is not REPLICA_SETS:
        keys = [(item.kind, item.namespace, item.name)]
        if item.kind in (DEPLOYMENTS, LEADER_WORKER_SETS):
            keys += _below(state, item)
        state.overlays.hide(keys)
    state.store.forget()


def _below(state: ClusterState, item: Item) -> list[tuple[Any, str, str]]:
    uids, found = {item.body["metadata"]["uid"]}, []
    for kind in (REPLICA_SETS, PODS):
        for other in state.store.peek(kind).values():
            owners = other.body["metadata"].get("ownerReferences") or ()
            if not other.stored and any(owner["uid"] in uids for owner in owners):
                uids.add(other.body["metadata"]["uid"])
                found.append((kind, other.namespace, other.name))
    return found
