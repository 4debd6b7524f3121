"""Pods from templates, as every workload's controller makes them; and which pods count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.fitting import TPU, requests_of
from emulator.apis.kubernetes.controllers.objects import (
    condition_of,
    controller_of,
    copy_of,
    going,
    holds,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    selects,
)
from emulator.apis.kubernetes.controllers.pod_status import qos_of
from emulator.apis.kubernetes.controllers.view import View, refusal
from emulator.clock import rfc3339

# What the API server fills in.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "serviceAccountName": "default",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
    "priority": 0,
}
_TOLERATED: Final = ("not-ready", "unreachable")


def pod_from(
    template: Mapping[str, Any],
    owner: Obj,
    name: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Obj:
    """A pod of a template, controlled by its owner."""
    meta = template.get("metadata") or {}
    spec = {**deepcopy(dict(_DEFAULTS)), **deepcopy(dict(template.get("spec") or {}))}
    tolerations = list(spec.get("tolerations") or ())
    tolerations += [
        {"key": f"node.kubernetes.io/{k}", "operator": "Exists", "effect": "NoExecute",
         "tolerationSeconds": 300}
        for k in _TOLERATED
        if not any(t.get("key") == f"node.kubernetes.io/{k}" for t in tolerations)
    ]  # fmt: skip
    if TPU in requests_of(spec) and not any(t.get("key") == TPU for t in tolerations):
        tolerations.append({"key": TPU, "operator": "Exists", "effect": "NoSchedule"})
    spec["tolerations"] = tolerations
    made: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace_of(owner),
            "labels": {**(meta.get("labels") or {}), **(labels or {})},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": spec,
        "status": {"phase": "Pending", "qosClass": qos_of(spec)},
    }
    told = {**(meta.get("annotations") or {}), **(annotations or {})}
    if told:
        made["metadata"]["annotations"] = told
    return made


def make(view: View, owner: Obj, pod: Obj, component: str) -> str:
    """Create a pod and say so; why the API refuses it, "" when it does not."""
    name = name_of(pod)
    why = _admission(view, pod) or refusal(lambda: view.create(pod))
    if why:
        text = f"Error creating: {why}"
        view.once(owner, component, "FailedCreate", text, warning=True)
    else:
        view.event(owner, component, "SuccessfulCreate", f"Created pod: {name}")
    return why


def _admission(view: View, pod: Obj) -> str:
    """What the API server's admission of service accounts refuses."""
    account, namespace = pod["spec"].get("serviceAccountName", "default"), namespace_of(pod)
    if account == "default" or view.get("ServiceAccount", namespace, account):
        return ""
    return (
        f'pods "{name_of(pod)}" is forbidden: error looking up service account '
        f'{namespace}/{account}: serviceaccount "{account}" not found'
    )


def adopt(view: View, owner: Obj, kind: str) -> None:
    """Take objects that match the owner's selector and that nobody controls."""
    selector = owner["spec"].get("selector")
    for obj in view.mine(kind):
        here = namespace_of(obj) == namespace_of(owner)
        loose = here and controller_of(obj) is None and not going(obj)
        if loose and selects(selector, labels_of(obj)):
            made = copy_of(obj)
            others = made["metadata"].get("ownerReferences") or []
            made["metadata"]["ownerReferences"] = [*others, owner_reference(owner)]
            view.put(made)


def phase_of(pod: Obj) -> str:
    """status.phase."""
    return str((pod.get("status") or {}).get("phase", "Pending"))


def active(pods: Iterable[Obj]) -> list[Obj]:
    """Pods that count for their workload: neither ended nor on their way out."""
    return [p for p in pods if phase_of(p) not in ("Succeeded", "Failed") and not going(p)]


def is_ready(pod: Obj) -> bool:
    """Whether its Ready condition is True."""
    return holds(pod, "Ready")


def available_at(view: View, pod: Obj, min_ready_s: float) -> float | None:
    """Since when or from when on a ready pod counts as available; None when it is not ready."""
    mark = f"ready/{pod['metadata'].get('uid')}"
    if not is_ready(pod):
        view.forget(mark)
        return None
    if not min_ready_s:
        return view.now
    return view.since(mark) + view.wall_s(min_ready_s)


def count_available(view: View, pods: Iterable[Obj], min_ready_s: float) -> int:
    """Pods that have been ready for that many simulated seconds."""
    times = [available_at(view, pod, min_ready_s) for pod in pods]
    for at in times:
        if at is not None:
            view.wake(at)
    return sum(at is not None and at <= view.now for at in times)


def worth(pod: Obj) -> tuple[bool, bool, bool, float, tuple[str, str]]:
    """Order in which a workload gives pods up, first the least: unassigned, pending, not ready,
    then the newest.
    """
    ready = condition_of(pod, "Ready") or {}
    since = str(ready.get("lastTransitionTime") or rfc3339(0))
    age = "".join(c for c in since if c.isdigit())
    return (
        bool(pod["spec"].get("nodeName")),
        phase_of(pod) != "Pending",
        is_ready(pod),
        -float(age or 0),
        key_of(pod),
    )
