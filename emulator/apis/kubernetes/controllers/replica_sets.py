"""ReplicaSets: as many pods as asked for, of one template."""

from __future__ import annotations

from typing import Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.kubelet import stop
from emulator.apis.kubernetes.controllers.objects import (
    condition,
    conditions_of,
    generated,
    generation_of,
    going,
    labels_of,
    name_of,
    uid_of,
    with_conditions,
    without,
)
from emulator.apis.kubernetes.controllers.templates import (
    active,
    adopt,
    count_available,
    is_ready,
    make,
    pod_from,
    worth,
)
from emulator.apis.kubernetes.controllers.view import View

_NAME: Final = "replicaset-controller"


def run(view: View) -> None:
    """Every ReplicaSet."""
    for replica_set in view.mine("ReplicaSet"):
        if not going(replica_set):
            _reconcile(view, replica_set)


def missing(wanted: int, there: int) -> int:
    """Pods to make (positive) or to give up (negative)."""
    return wanted - there


def _reconcile(view: View, replica_set: Obj) -> None:
    adopt(view, replica_set, "Pod")
    spec = replica_set["spec"]
    pods = active(view.owned(replica_set, "Pod"))
    difference = missing(int(spec.get("replicas", 1)), len(pods))
    why = ""
    for _ in range(difference):
        name = generated(name_of(replica_set), uid_of(replica_set), view.serial())
        pod = pod_from(spec["template"], replica_set, name)
        why = make(view, replica_set, pod, _NAME)
        if why:
            break
    for pod in sorted(pods, key=worth)[: max(-difference, 0)]:
        text = f"Deleted pod: {name_of(pod)}"
        view.event(replica_set, _NAME, "SuccessfulDelete", text)
        stop(view, pod)
    _tell(view, replica_set, why)


def _tell(view: View, replica_set: Obj, why: str) -> None:
    spec = replica_set["spec"]
    pods = active(view.owned(replica_set, "Pod"))
    wanted = (spec["template"].get("metadata") or {}).get("labels") or {}
    labelled = [p for p in pods if wanted.items() <= labels_of(p).items()]
    status: Obj = {
        "observedGeneration": generation_of(replica_set),
        "replicas": len(pods),
        "fullyLabeledReplicas": len(labelled),
        "readyReplicas": sum(map(is_ready, pods)),
        "availableReplicas": count_available(view, pods, float(spec.get("minReadySeconds") or 0)),
    }
    kept = without(conditions_of(replica_set), "ReplicaFailure")
    if why:
        failure = condition("ReplicaFailure", True, "FailedCreate", why)
        kept = with_conditions(conditions_of(replica_set), [failure], view.at)
    if kept:
        status["conditions"] = list(kept)
    view.put_status(replica_set, status)
