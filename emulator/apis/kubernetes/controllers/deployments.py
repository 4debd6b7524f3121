"""Deployments: one ReplicaSet per template, rolled from the old to the new, undone by template."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.objects import (
    annotated,
    annotations_of,
    condition,
    condition_of,
    conditions_of,
    generation_of,
    going,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    template_digest,
    uid_of,
    with_conditions,
)
from emulator.apis.kubernetes.controllers.rollouts import Part, bounds, next_sizes, recreated
from emulator.apis.kubernetes.controllers.templates import adopt
from emulator.apis.kubernetes.controllers.view import View
from emulator.apis.kubernetes.status import StatusError

REVISION: Final = "deployment.kubernetes.io/revision"
HASH: Final = "pod-template-hash"
_DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
_MOST: Final = "deployment.kubernetes.io/max-replicas"
_NAME: Final = "deployment-controller"
_OWN: Final = (REVISION, _DESIRED, _MOST, "kubectl.kubernetes.io/last-applied-configuration")


def run(view: View) -> None:
    """Every Deployment."""
    for deployment in view.mine("Deployment"):
        if not going(deployment):
            _reconcile(view, deployment)


def _reconcile(view: View, deployment: Obj) -> None:
    spec = deployment["spec"]
    wanted, paused = int(spec.get("replicas", 1)), bool(spec.get("paused"))
    digest = template_digest(spec["template"])
    adopt(view, deployment, "ReplicaSet")
    sets = sorted(view.owned(deployment, "ReplicaSet"), key=_revision)
    new = next((s for s in sets if labels_of(s).get(HASH) == digest), None)
    if new is None and not paused:
        new = _make(view, deployment, digest, sets, wanted)
    if new is None:
        _tell(view, deployment, None, sets)
        return
    old = [s for s in sets if uid_of(s) != uid_of(new)]
    if not paused:
        deployment, new = _revise(view, deployment, new, old)
    surge, unavailable = bounds(spec, wanted)
    recreate = (spec.get("strategy") or {}).get("type") == "Recreate"
    parts = [_part(view, s) for s in old]
    if recreate:
        surge, sizes = 0, recreated(_part(view, new), parts, wanted)
    else:
        sizes = next_sizes(_part(view, new), parts, wanted, surge, unavailable)
    # A paused rollout goes no further, but is scaled while there is nothing to roll.
    if not paused or not any(p.replicas for p in parts):
        for one in (new, *old):
            _resize(view, deployment, one, sizes[name_of(one)], wanted, wanted + surge)
    sets = sorted(view.owned(deployment, "ReplicaSet"), key=_revision)
    new = next(s for s in sets if uid_of(s) == uid_of(new))
    if _tell(view, deployment, new, sets):
        _forget(view, [s for s in sets if s is not new], spec)


def _revision(replica_set: Obj) -> tuple[int, str]:
    text = annotations_of(replica_set).get(REVISION, "0")
    return int(text) if text.isdecimal() else 0, name_of(replica_set)


def _part(view: View, replica_set: Obj) -> Part:
    status = replica_set.get("status") or {}
    return Part(
        name_of(replica_set), int(replica_set["spec"].get("replicas", 0)),
        len(view.owned(replica_set, "Pod")), int(status.get("availableReplicas", 0)),
    )  # fmt: skip


def _make(view: View, deployment: Obj, digest: str, sets: Sequence[Obj], wanted: int) -> Obj | None:
    """The ReplicaSet of the template; it begins without pods, which the rollout gives it."""
    spec = deployment["spec"]
    template = deepcopy(dict(spec["template"]))
    meta = template.setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), HASH: digest}
    revision = max((_revision(s)[0] for s in sets), default=0) + 1
    selector = deepcopy(dict(spec.get("selector") or {}))
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: digest}
    name = f"{name_of(deployment)}-{digest}"
    made: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": namespace_of(deployment),
            "labels": dict(meta["labels"]),
            "annotations": {
                **{k: v for k, v in annotations_of(deployment).items() if k not in _OWN},
                REVISION: str(revision),
                _DESIRED: str(wanted),
            },
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
        "status": {"replicas": 0},
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    view.forget(f"progress/{uid_of(deployment)}")
    try:
        return view.create(made)
    except StatusError as error:
        text = f'Failed to create new replica set "{name}": {error.message}'
        view.once(deployment, _NAME, "ReplicaSetCreateError", text, warning=True)
        return None


def _revise(view: View, deployment: Obj, new: Obj, old: Sequence[Obj]) -> tuple[Obj, Obj]:
    """Number the newest revision; one that came back by undo gets a new number."""
    newest = max((_revision(s)[0] for s in old), default=0)
    revision = _revision(new)[0]
    if revision <= newest:
        revision = newest + 1
        new = view.put(annotated(new, {REVISION: str(revision)}))
    if annotations_of(deployment).get(REVISION) != str(revision):
        deployment = view.put(annotated(deployment, {REVISION: str(revision)}))
    return deployment, new


def _resize(view: View, deployment: Obj, one: Obj, size: int, wanted: int, most: int) -> None:
    before = int(one["spec"].get("replicas", 0))
    told = {_DESIRED: str(wanted), _MOST: str(most)}
    if size == before and (not size or told.items() <= annotations_of(one).items()):
        return
    made = annotated(one, told)
    made["spec"]["replicas"] = size
    view.put(made)
    if size != before:
        way = "up" if size > before else "down"
        text = f"Scaled {way} replica set {name_of(one)} from {before} to {size}"
        view.event(deployment, _NAME, "ScalingReplicaSet", text)
        view.forget(f"progress/{uid_of(deployment)}")


def _tell(view: View, deployment: Obj, new: Obj | None, sets: Sequence[Obj]) -> bool:
    """Write the status; whether the rollout is complete."""
    spec = deployment["spec"]
    wanted = int(spec.get("replicas", 1))
    total = sum(int((s.get("status") or {}).get("replicas", 0)) for s in sets)
    ready = sum(int((s.get("status") or {}).get("readyReplicas", 0)) for s in sets)
    available = sum(int((s.get("status") or {}).get("availableReplicas", 0)) for s in sets)
    updated = int(((new or {}).get("status") or {}).get("replicas", 0))
    status: Obj = {
        "observedGeneration": generation_of(deployment),
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(wanted - available, 0),
    }
    status = {k: v for k, v in status.items() if v or k == "observedGeneration"}
    complete = updated == wanted == total == available
    _, unavailable = bounds(spec, wanted)
    news = [_availability(available >= wanted - unavailable)]
    news.append(_progress(view, deployment, new, status, complete))
    failing = next((c for s in sets if (c := condition_of(s, "ReplicaFailure"))), None)
    before = [c for c in conditions_of(deployment) if c["type"] != "ReplicaFailure"]
    if failing:
        news.append(condition("ReplicaFailure", True, failing["reason"], failing["message"]))
        before = list(conditions_of(deployment))
    status["conditions"] = with_conditions(before, news, view.at, updates=True)
    view.put_status(deployment, status)
    return complete


def _availability(available: bool) -> Obj:
    if available:
        return condition("Available", True, "MinimumReplicasAvailable",
                         "Deployment has minimum availability.")  # fmt: skip
    return condition("Available", False, "MinimumReplicasUnavailable",
                     "Deployment does not have minimum availability.")  # fmt: skip


def _progress(view: View, deployment: Obj, new: Obj | None, status: Obj, complete: bool) -> Obj:
    """The condition that `kubectl rollout status` waits for."""
    mark = f"progress/{uid_of(deployment)}"
    if deployment["spec"].get("paused"):
        view.forget(mark)
        return condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    named = f'ReplicaSet "{name_of(new)}"' if new else "Deployment"
    if complete:
        view.forget(mark)
        text = f"{named} has successfully progressed."
        return condition("Progressing", True, "NewReplicaSetAvailable", text)
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    before = deployment.get("status") or {}
    if any(before.get(c, 0) != status.get(c, 0) for c in counts):
        view.forget(mark)
    elif (last := condition_of(deployment, "Progressing")) and last["status"] == "False":
        return condition("Progressing", False, last["reason"], last["message"])
    limit_s = float(deployment["spec"].get("progressDeadlineSeconds") or 600)
    over = view.since(mark) + view.wall_s(limit_s)
    if view.now >= over:
        text = f"{named} has timed out progressing."
        return condition("Progressing", False, "ProgressDeadlineExceeded", text)
    view.wake(over)
    return condition("Progressing", True, "ReplicaSetUpdated", f"{named} is progressing.")


def _forget(view: View, old: Sequence[Obj], spec: Obj) -> None:
    """Keep as many old ReplicaSets as revisionHistoryLimit says."""
    limit = spec.get("revisionHistoryLimit")
    idle = [s for s in old if not s["spec"].get("replicas") and not view.owned(s, "Pod")]
    for replica_set in idle[: max(len(idle) - (10 if limit is None else int(limit)), 0)]:
        view.delete(replica_set)
