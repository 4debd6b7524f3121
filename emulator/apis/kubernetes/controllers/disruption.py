"""Disruption budgets: how many healthy pods evictions may still take, as Kubernetes counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.objects import (
    condition,
    conditions_of,
    controller_of,
    generation_of,
    going,
    labels_of,
    namespace_of,
    scaled,
    selects,
    uid_of,
    with_conditions,
)
from emulator.apis.kubernetes.controllers.templates import is_ready, phase_of
from emulator.apis.kubernetes.controllers.view import View

# Kinds that keep a number of pods, as which a share or `maxUnavailable` is counted.
_OWNERS = ("ReplicaSet", "StatefulSet")
List = Callable[[str], Iterable[Obj]]


@dataclass(frozen=True, slots=True)
class Room:
    """A budget's figures: pods expected, healthy ones, and how many of them must stay."""

    expected: int
    healthy: int
    desired: int

    @property
    def allowed(self) -> int:
        """Evictions of healthy pods that are possible now."""
        return max(0, self.healthy - self.desired) if self.expected else 0


def run(view: View) -> None:
    """Every budget's status."""
    for budget in view.mine("PodDisruptionBudget"):
        if going(budget):
            continue
        room = room_of(budget, view.all)
        enough = room.allowed > 0
        reason = "SufficientPods" if enough else "InsufficientPods"
        status = {
            "observedGeneration": generation_of(budget), "expectedPods": room.expected,
            "currentHealthy": room.healthy, "desiredHealthy": room.desired,
            "disruptionsAllowed": room.allowed,
            "conditions": with_conditions(
                conditions_of(budget), [condition("DisruptionAllowed", enough, reason)], view.at
            ),
        }  # fmt: skip
        view.put_status(budget, status)


def room_of(budget: Obj, objects: List) -> Room:
    """The figures of a budget now; `objects` gives every object of a kind."""
    spec, space = budget["spec"], namespace_of(budget)
    pods = [
        pod for pod in objects("Pod")
        if namespace_of(pod) == space and covers(budget, pod)
        and phase_of(pod) not in ("Succeeded", "Failed")
    ]  # fmt: skip
    least = spec.get("minAvailable")
    by_owner = least is None or isinstance(least, str)
    expected = _wanted(pods, objects) if by_owner else len(pods)
    if least is not None:
        desired = scaled(least, expected, up=True)
    else:
        desired = max(0, expected - scaled(spec.get("maxUnavailable", 0), expected, up=True))
    return Room(expected, sum(healthy(pod) for pod in pods), desired)


def covers(budget: Obj, pod: Obj) -> bool:
    """Whether a budget of the pod's namespace counts it: an empty selector all, none none."""
    selector = budget["spec"].get("selector")
    return selector == {} or selects(selector, labels_of(pod))


def healthy(pod: Obj) -> bool:
    """Whether a pod counts as available."""
    return is_ready(pod) and not going(pod)


def _wanted(pods: Iterable[Obj], objects: List) -> int:
    """How many pods their owners keep; a pod without such an owner counts itself."""
    owners = {uid_of(o): o for kind in _OWNERS for o in objects(kind)}
    references = [controller_of(pod) for pod in pods]
    uids = {str(r["uid"]) for r in references if r is not None}
    kept = [owners[uid] for uid in uids & set(owners)]
    alone = sum(r is None or str(r["uid"]) not in owners for r in references)
    return alone + sum(int(owner["spec"].get("replicas", 1)) for owner in kept)
