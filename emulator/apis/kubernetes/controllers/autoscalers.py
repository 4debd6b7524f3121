"""HorizontalPodAutoscalers, v2: a workload's size from metrics, where the world has them.

The arithmetic is recommending.py's; of several metrics the one with the largest size counts. What
is measured changes by the minute, so that an autoscaler whose target stands as it wants is looked
at when the next minute has begun; any other one after its period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.measures import read, tier_of
from emulator.apis.kubernetes.controllers.objects import (
    condition,
    conditions_of,
    copy_of,
    generation_of,
    going,
    milli,
    namespace_of,
    uid_of,
    with_conditions,
    without,
)
from emulator.apis.kubernetes.controllers.recommending import (
    Limits,
    limited,
    resized,
    stabilised,
)
from emulator.apis.kubernetes.controllers.view import View

SYNC_S: Final = 15.0
# Wall seconds between two looks at least: what is measured changes by the minute of the wall clock.
_LEAST_S: Final = 1.0
_MINUTE_S: Final = 60.0
_NAME: Final = "horizontal-pod-autoscaler"
# Topics of its notes, each on one autoscaler by uid.
_LOOKS, _PAST = "autoscalers", "recommendations"
_KINDS: Final = {
    "Deployment": "deployments.apps", "ReplicaSet": "replicasets.apps",
    "StatefulSet": "statefulsets.apps",
    "LeaderWorkerSet": "leaderworkersets.leaderworkerset.x-k8s.io",
}  # fmt: skip
_LIMITED: Final = {
    "": "the desired count is within the acceptable range",
    "TooManyReplicas": "the desired replica count is more than the maximum replica count",
    "TooFewReplicas": "the desired replica count is less than the minimum replica count",
    "ScaleUpLimit": "the desired replica count is increasing faster than the maximum scale rate",
    "ScaleDownLimit": "the desired replica count is decreasing faster than the maximum scale rate",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the metrics say: a size, the metric behind it, readings, the first failure."""

    size: int | None
    because: str
    readings: tuple[Obj, ...]
    failure: tuple[str, str] = ("", "")


def run(view: View) -> None:
    """Every autoscaler, as often as its period says."""
    period_s = max(view.wall_s(SYNC_S), _LEAST_S)
    scalers = view.mine("HorizontalPodAutoscaler")
    for topic in (_LOOKS, _PAST):
        view.keep_notes(topic, {uid_of(s) for s in scalers})
    for scaler in scalers:
        if going(scaler):
            continue
        notes, uid = view.state_notes(_LOOKS, uid_of(scaler)), uid_of(scaler)
        asked = (generation_of(scaler), _asked(_target(view, scaler)))
        due = notes.get("due", 0.0)
        if notes.get("asked") != asked:  # another spec, or somebody else changed the target
            due = min(due, view.now + period_s) if notes else view.now
            notes |= {"asked": asked, "due": due}
        if view.now < due:
            view.wake(due)
            continue
        rests = _reconcile(view, scaler, view.state_notes(_PAST, uid))
        later = (view.now // _MINUTE_S + 1) * _MINUTE_S if rests else 0.0
        notes["due"] = max(later, view.now + period_s)
        notes["asked"] = (generation_of(scaler), _asked(_target(view, scaler)))
        view.wake(notes["due"])


def _target(view: View, scaler: Obj) -> Obj | None:
    reference = scaler["spec"]["scaleTargetRef"]
    kind, name = str(reference.get("kind")), str(reference.get("name"))
    return view.get(kind, namespace_of(scaler), name) if kind in _KINDS else None


def _asked(target: Obj | None) -> int | None:
    """Replicas that the target is to have; None without a target."""
    if target is None:
        return None
    asked = target["spec"].get("replicas")
    return 1 if asked is None else int(asked)


def _reconcile(view: View, scaler: Obj, kept: dict[str, Any]) -> bool:
    """Look at one; whether its target stands as it wants."""
    target = _target(view, scaler)
    current = _asked(target)
    if target is None or current is None:
        reference = scaler["spec"]["scaleTargetRef"]
        kind, name = str(reference.get("kind")), str(reference.get("name"))
        what = f'{_KINDS.get(kind, kind)} "{name}" not found'
        text = f"the HPA controller was unable to get the target's current scale: {what}"
        view.once(scaler, _NAME, "FailedGetScale", what, warning=True)
        _tell(view, scaler, {}, [condition("AbleToScale", False, "FailedGetScale", text)])
        return True
    counts = {"currentReplicas": int((target.get("status") or {}).get("replicas", 0))}
    if current == 0:
        text = "scaling is disabled since the replica count of the target is zero"
        _tell(view, scaler, {**counts, "desiredReplicas": 0}, [
            _able("SucceededGetScale", "get the target's current scale"),
            condition("ScalingActive", False, "ScalingDisabled", text),
        ])  # fmt: skip
        return True
    if outside := _outside(scaler, current):
        size, why = outside
        able = _resize(view, scaler, target, current, size, why, kept)
        _tell(view, scaler, {**counts, "desiredReplicas": size, "lastScaleTime": view.at}, [able])
        return False
    verdict = measured(view, scaler, target, current)
    if verdict.size is None:
        reason, message = verdict.failure
        told = f"the HPA was unable to compute the replica count: {message}"
        view.once(scaler, _NAME, reason, message, warning=True)
        _tell(view, scaler, {**counts, "desiredReplicas": current}, [
            _able("SucceededGetScale", "get the target's current scale"),
            condition("ScalingActive", False, reason, told),
        ])  # fmt: skip
        return True
    return _scale(view, scaler, target, current, verdict, counts, kept)


def _outside(scaler: Obj, current: int) -> tuple[int, str] | None:
    """The bound that a size lies beyond, whatever the metrics say, and upstream's reason."""
    spec = scaler["spec"]
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    if current > most:
        return most, "Current number of replicas above Spec.MaxReplicas"
    if current < least:
        return least, "Current number of replicas below Spec.MinReplicas"
    return None


def _resize(
    view: View, scaler: Obj, target: Obj, current: int, size: int, why: str, kept: dict[str, Any]
) -> Obj:
    """Give the target another size; the condition that says so."""
    made = copy_of(target)
    made["spec"]["replicas"] = size
    view.put(made)
    kept.setdefault("moves", []).append((view.now, size - current))
    view.event(scaler, _NAME, "SuccessfulRescale", f"New size: {size}; reason: {why}")
    return _able("SucceededRescale", f"update the target scale to {size}")


def _able(reason: str, what: str) -> Obj:
    return condition("AbleToScale", True, reason, f"the HPA controller was able to {what}")


def measured(view: View, scaler: Obj, target: Obj, current: int) -> Verdict:
    """The largest size that any of the metrics asks for."""
    metrics: list[Obj] = scaler["spec"].get("metrics") or [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
    ]
    best, because, readings, failure = None, "", [], ("", "")
    for metric in metrics:
        size, reading, why = _one(view, target, metric, current)
        if size is None:
            failure = failure if failure[0] else why
            continue
        readings.append(reading)
        if best is None or size > best:
            best, because = size, f"{metric['type'].lower()} metric {why[1]}"
    # A metric that fails keeps the target from shrinking, as upstream.
    if failure[0] and best is not None and best < current:
        best = current
    return Verdict(best, because, tuple(readings), failure)


def _one(
    view: View, target: Obj, metric: Obj, current: int
) -> tuple[int | None, Obj, tuple[str, str]]:
    """(size, reading, (reason, message) of the failure or ("", the metric's name))."""
    sort = str(metric.get("type"))
    if sort in ("Resource", "ContainerResource"):
        name = (metric.get("resource") or metric.get("containerResource") or {}).get("name")
        text = (
            f"failed to get {name} utilization: unable to get metrics for resource {name}: "
            "no metrics returned from resource metrics API"
        )
        return None, {}, ("FailedGetResourceMetric", text)
    body = metric.get(sort.lower()) or {}
    source = body.get("metric") or {}
    name, wanted = str(source.get("name")), body.get("target") or {}
    found = None
    if sort in ("Pods", "External"):
        found = read(view.cloud, name, tier_of(target, source), view.now)
    if found is None:
        text = f"unable to get metric {name}: no metrics returned from {sort.lower()} metrics API"
        return None, {}, (f"FailedGet{sort}Metric", text)
    if sort == "External" and wanted.get("value") is not None:
        goal, value = milli(wanted["value"]) / 1000, found.total
        size, shown = resized(current, value, goal), {"value": _quantity(value)}
    else:
        goal = milli(wanted.get("averageValue", 0)) / 1000
        value = found.total / current if sort == "External" else found.average
        size, shown = resized(current, value, goal), {"averageValue": _quantity(value)}
    reading = {"type": sort, sort.lower(): {"metric": source, "current": shown}}
    return size, reading, ("", name)


def _quantity(value: float) -> str:
    return f"{round(value * 1000)}m" if value % 1 else str(round(value))


def _scale(
    view: View, scaler: Obj, target: Obj, current: int, verdict: Verdict, counts: Obj,
    kept: dict[str, Any],
) -> bool:  # fmt: skip
    """Give the target the size that is wanted; whether it has it and nothing holds it there."""
    assert verdict.size is not None  # the caller has looked
    spec, now = scaler["spec"], view.now
    limits = Limits(
        int(spec.get("minReplicas") or 1), int(spec["maxReplicas"]), spec.get("behavior") or {}
    )
    since = now - view.wall_s(limits.longest_s())
    kept["recent"] = [r for r in kept.get("recent", [(now, current)]) if r[0] >= since]
    kept["moves"] = [m for m in kept.get("moves", ()) if m[0] >= since]
    calm = stabilised(limits, kept["recent"], now, current, verdict.size, view.wall_s)
    kept["recent"].append((now, verdict.size))
    size, reason = limited(limits, kept["moves"], now, current, calm, view.wall_s)
    limit = condition("ScalingLimited", bool(reason), reason or "DesiredWithinRange",
                      _LIMITED[reason])  # fmt: skip
    status: Obj = {**counts, "desiredReplicas": size, "currentMetrics": list(verdict.readings)}
    text = f"the HPA was able to successfully calculate a replica count from {verdict.because}"
    news = [condition("ScalingActive", True, "ValidMetricFound", text), limit]
    able = condition("AbleToScale", True, "ReadyForNewScale",
                     "recommended size matches current size")  # fmt: skip
    if calm > verdict.size:
        able = condition("AbleToScale", True, "ScaleDownStabilized",
                         "recent recommendations were higher than current one, applying the "
                         "highest recent recommendation")  # fmt: skip
    elif calm < verdict.size:
        able = condition("AbleToScale", True, "ScaleUpStabilized",
                         "recent recommendations were lower than current one, applying the "
                         "lowest recent recommendation")  # fmt: skip
    if size != current:
        status["lastScaleTime"] = view.at
        way = "above" if size > current else "below"
        why = f"{verdict.because} {way} target"
        able = _resize(view, scaler, target, current, size, why, kept)
    _tell(view, scaler, status, [able, *news])
    return size == current and calm == verdict.size and not reason.startswith("Scale")


def _tell(view: View, scaler: Obj, status: Obj, news: list[Obj]) -> None:
    before = scaler.get("status") or {}
    told = {c["type"] for c in news}
    stale = [k for k in ("ScalingActive", "ScalingLimited") if k not in told]
    kept = without(conditions_of(scaler), *stale)
    made: Obj = {
        "observedGeneration": generation_of(scaler),
        "desiredReplicas": 0,
        **({"lastScaleTime": before["lastScaleTime"]} if before.get("lastScaleTime") else {}),
        **status,
        "conditions": with_conditions(kept, news, view.at),
    }
    view.put_status(scaler, made)
