"""StatefulSets: pods with numbers, in order, each with claims of its own."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.kubelet import stop
from emulator.apis.kubernetes.controllers.objects import (
    generation_of,
    going,
    labels_of,
    name_of,
    namespace_of,
    template_digest,
    uid_of,
)
from emulator.apis.kubernetes.controllers.templates import (
    adopt,
    available_at,
    count_available,
    is_ready,
    make,
    phase_of,
    pod_from,
)
from emulator.apis.kubernetes.controllers.view import View, refusal

REVISION: Final = "controller-revision-hash"
_NAME: Final = "statefulset-controller"


def run(view: View) -> None:
    """Every StatefulSet."""
    for stateful_set in view.mine("StatefulSet"):
        if not going(stateful_set):
            _reconcile(view, stateful_set)


def _reconcile(view: View, stateful_set: Obj) -> None:
    spec = stateful_set["spec"]
    adopt(view, stateful_set, "Pod")
    newest = f"{name_of(stateful_set)}-{template_digest(spec['template'])}"
    templates: dict[str, Any] = view.state_notes("revisions", uid_of(stateful_set))
    templates[newest] = spec["template"]
    current = (stateful_set.get("status") or {}).get("currentRevision") or newest
    first = int((spec.get("ordinals") or {}).get("start", 0))
    wanted = range(first, first + int(spec.get("replicas", 1)))
    pods = {name_of(p): p for p in view.owned(stateful_set, "Pod")}
    in_order = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    settled = True
    for ordinal in wanted:
        pod = pods.get(f"{name_of(stateful_set)}-{ordinal}")
        if pod is not None and phase_of(pod) in ("Failed", "Succeeded"):
            stop(view, pod)
            pod = None
        if pod is None:
            old = ordinal - first < _partition(spec) and current in templates
            revision = current if old else newest
            _make(view, stateful_set, ordinal, revision, templates[revision])
            settled = False
        elif going(pod) or not _available(view, pod, spec):
            settled = False
        if in_order and not settled:
            break
    if settled or not in_order:
        _shrink(view, stateful_set, wanted, in_order)
    if settled:
        _roll(view, stateful_set, wanted, newest)
    _tell(view, stateful_set, wanted, current, newest)


def _available(view: View, pod: Obj, spec: Obj) -> bool:
    at = available_at(view, pod, float(spec.get("minReadySeconds") or 0))
    if at is not None:
        view.wake(at)
    return at is not None and at <= view.now


def _partition(spec: Obj) -> int:
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def _make(view: View, stateful_set: Obj, ordinal: int, revision: str, template: Obj) -> None:
    name = f"{name_of(stateful_set)}-{ordinal}"
    labels = {
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(ordinal),
        REVISION: revision,
    }
    pod = pod_from(template, stateful_set, name, labels)
    pod["spec"]["hostname"] = name
    if service := stateful_set["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = service
    volumes: list[Obj] = list(pod["spec"].get("volumes") or ())
    for claim in stateful_set["spec"].get("volumeClaimTemplates") or ():
        called = f"{name_of(claim)}-{name}"
        volumes = [v for v in volumes if v["name"] != name_of(claim)]
        volumes.append(
            {"name": name_of(claim), "persistentVolumeClaim": {"claimName": called}}
        )  # fmt: skip
        if view.get("PersistentVolumeClaim", namespace_of(stateful_set), called) is None:
            _claim(view, stateful_set, claim, called)
    if volumes:
        pod["spec"]["volumes"] = volumes
    make(view, stateful_set, pod, _NAME)


def _claim(view: View, stateful_set: Obj, template: Obj, name: str) -> None:
    """A claim of a pod's own; it outlives pod and set."""
    labels = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
    made: Obj = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": namespace_of(stateful_set),
            "labels": {**(template["metadata"].get("labels") or {}), **labels},
            "annotations": dict(template["metadata"].get("annotations") or {}),
        },
        "spec": {"volumeMode": "Filesystem", **deepcopy(dict(template["spec"]))},
        "status": {"phase": "Pending"},
    }
    why = refusal(lambda: view.create(made))
    text = f"create Claim {name} in StatefulSet {name_of(stateful_set)} "
    if why:
        view.once(stateful_set, _NAME, "FailedCreate", f"{text}failed error: {why}", warning=True)
    else:
        view.event(stateful_set, _NAME, "SuccessfulCreate", f"{text}success")


def _ordinal(pod: Obj) -> int:
    tail = name_of(pod).rsplit("-", 1)[-1]
    return int(tail) if tail.isdecimal() else -1


def _shrink(view: View, stateful_set: Obj, wanted: range, in_order: bool) -> None:
    """Give up the highest numbers first, one at a time if in order."""
    surplus = [p for p in view.owned(stateful_set, "Pod") if _ordinal(p) not in wanted]
    for pod in sorted(surplus, key=_ordinal, reverse=True):
        if not going(pod):
            view.event(
                stateful_set, _NAME, "SuccessfulDelete",
                f"delete Pod {name_of(pod)} in StatefulSet {name_of(stateful_set)} successful",
            )  # fmt: skip
            stop(view, pod)
        if in_order:
            return


def _roll(view: View, stateful_set: Obj, wanted: range, newest: str) -> None:
    """Replace the highest pod of an older template; its successor is made when it is gone."""
    spec = stateful_set["spec"]
    if (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") != "RollingUpdate":
        return
    pods = {_ordinal(p): p for p in view.owned(stateful_set, "Pod")}
    for ordinal in reversed(wanted[_partition(spec) :]):
        pod = pods.get(ordinal)
        if pod is not None and labels_of(pod).get(REVISION) != newest:
            stop(view, pod)
            return


def _tell(view: View, stateful_set: Obj, wanted: range, current: str, newest: str) -> None:
    pods = [p for p in view.owned(stateful_set, "Pod") if not going(p)]
    mine = [p for p in pods if _ordinal(p) in wanted]
    updated = [p for p in mine if labels_of(p).get(REVISION) == newest]
    done = len(updated) == len(wanted) and all(map(is_ready, updated))
    if done and not _partition(stateful_set["spec"]):
        current = newest
    min_ready_s = float(stateful_set["spec"].get("minReadySeconds") or 0)
    status: Obj = {
        "observedGeneration": generation_of(stateful_set),
        "replicas": len(pods),
        "readyReplicas": sum(map(is_ready, pods)),
        "availableReplicas": count_available(view, pods, min_ready_s),
        "currentReplicas": sum(labels_of(p).get(REVISION) == current for p in mine),
        "updatedReplicas": len(updated),
        "currentRevision": current,
        "updateRevision": newest,
        "collisionCount": 0,
    }
    view.put_status(stateful_set, status)
