"""HorizontalPodAutoscalers, v2: a workload's size from metrics, where the world has them.

Sizes are computed as upstream does (ratio with a tolerance, the largest of all metrics, limits,
stabilisation, no more than double or four more at once); policies under `behavior` other than
the windows and `selectPolicy: Disabled` are not looked at.
"""

from __future__ import annotations

import math
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
from emulator.apis.kubernetes.controllers.view import View

SYNC_S: Final = 15.0
# Wall seconds between two looks at least: what is measured changes by the minute of the wall clock.
_LEAST_S: Final = 1.0
_TOLERANCE: Final = 0.1
_WINDOW_S: Final = {"scaleUp": 0.0, "scaleDown": 300.0}
_NAME: Final = "horizontal-pod-autoscaler"
_KINDS: Final = {
    "Deployment": "deployments.apps", "ReplicaSet": "replicasets.apps",
    "StatefulSet": "statefulsets.apps",
    "LeaderWorkerSet": "leaderworkersets.leaderworkerset.x-k8s.io",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the metrics say: a size, the metric behind it, readings, the first failure."""

    size: int | None
    because: str
    readings: tuple[Obj, ...]
    failure: tuple[str, str] = ("", "")


def run(view: View) -> None:
    """Every autoscaler, as often as its period says."""
    for scaler in view.mine("HorizontalPodAutoscaler"):
        if going(scaler):
            continue
        notes, uid = view.state_notes("autoscalers", uid_of(scaler)), uid_of(scaler)
        generation = generation_of(scaler)
        fresh = notes.get("generation") != generation
        due = notes.get("due", 0.0)
        if not fresh and view.now < due:
            view.wake(due)
            continue
        notes["generation"] = generation
        notes["due"] = view.now + max(view.wall_s(SYNC_S), _LEAST_S)
        view.wake(notes["due"])
        _reconcile(view, scaler, view.state_notes("recommendations", uid))


def _reconcile(view: View, scaler: Obj, kept: dict[str, Any]) -> None:
    reference = scaler["spec"]["scaleTargetRef"]
    kind, name = str(reference.get("kind")), str(reference.get("name"))
    target = view.get(kind, namespace_of(scaler), name) if kind in _KINDS else None
    if target is None:
        what = f'{_KINDS.get(kind, kind)} "{name}" not found'
        text = f"the HPA controller was unable to get the target's current scale: {what}"
        view.once(scaler, _NAME, "FailedGetScale", what, warning=True)
        _tell(view, scaler, {}, [condition("AbleToScale", False, "FailedGetScale", text)])
        return
    asked = target["spec"].get("replicas")
    current = 1 if asked is None else int(asked)
    counts = {"currentReplicas": int((target.get("status") or {}).get("replicas", 0))}
    if current == 0:
        text = "scaling is disabled since the replica count of the target is zero"
        _tell(view, scaler, {**counts, "desiredReplicas": 0}, [
            _able("SucceededGetScale", "get the target's current scale"),
            condition("ScalingActive", False, "ScalingDisabled", text),
        ])  # fmt: skip
        return
    verdict = measured(view, scaler, target, current)
    if verdict.size is None:
        reason, message = verdict.failure
        told = f"the HPA was unable to compute the replica count: {message}"
        view.once(scaler, _NAME, reason, message, warning=True)
        _tell(view, scaler, {**counts, "desiredReplicas": current}, [
            _able("SucceededGetScale", "get the target's current scale"),
            condition("ScalingActive", False, reason, told),
        ])  # fmt: skip
        return
    _scale(view, scaler, target, current, verdict, counts, kept)


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


def resized(current: int, value: float, goal: float) -> int:
    """The size at which the value would be what is wanted; the current one when it is near."""
    if goal <= 0:
        return current
    ratio = value / goal
    return current if abs(ratio - 1.0) <= _TOLERANCE else math.ceil(round(current * ratio, 6))


def _quantity(value: float) -> str:
    return f"{round(value * 1000)}m" if value % 1 else str(round(value))


def limited(scaler: Obj, current: int, size: int) -> tuple[int, Obj]:
    """The size within the limits, and the condition that says so."""
    spec = scaler["spec"]
    behaviour = spec.get("behavior") or {}
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    for way, towards in (("scaleUp", size > current), ("scaleDown", size < current)):
        if towards and (behaviour.get(way) or {}).get("selectPolicy") == "Disabled":
            size = current
    step = max(2 * current, current + 4)
    text = "the desired count is within the acceptable range"
    verdict = condition("ScalingLimited", False, "DesiredWithinRange", text)
    if size > min(step, most):
        reason, text = (
            "TooManyReplicas",
            ("the desired replica count is more than the maximum replica count"),
        )
        if step < most:
            reason, text = (
                "ScaleUpLimit",
                ("the desired replica count is increasing faster than the maximum scale rate"),
            )
        verdict = condition("ScalingLimited", True, reason, text)
    elif size < least:
        text = "the desired replica count is less than the minimum replica count"
        verdict = condition("ScalingLimited", True, "TooFewReplicas", text)
    return max(min(size, step, most), least), verdict


def _settled(view: View, scaler: Obj, current: int, size: int, kept: dict[str, Any]) -> int:
    """The size after stabilisation: the most modest of those recommended in the window."""
    recent: list[tuple[float, int]] = kept.setdefault("recent", [(view.now, current)])
    recent.append((view.now, size))
    behaviour = scaler["spec"].get("behavior") or {}
    windows: dict[str, float] = {}
    for way, default in _WINDOW_S.items():
        asked = (behaviour.get(way) or {}).get("stabilizationWindowSeconds")
        windows[way] = view.wall_s(default if asked is None else float(asked))
    kept["recent"] = [r for r in recent if r[0] >= view.now - max(windows.values())]
    down = [s for at, s in kept["recent"] if at >= view.now - windows["scaleDown"]]
    up = [s for at, s in kept["recent"] if at >= view.now - windows["scaleUp"]]
    if size < current:
        return min(max(down), current)
    return max(min(up), current)


def _scale(
    view: View, scaler: Obj, target: Obj, current: int, verdict: Verdict, counts: Obj,
    kept: dict[str, Any],
) -> None:  # fmt: skip
    assert verdict.size is not None  # the caller has looked
    size = _settled(view, scaler, current, verdict.size, kept)
    size, limit = limited(scaler, current, size)
    status: Obj = {**counts, "desiredReplicas": size, "currentMetrics": list(verdict.readings)}
    text = f"the HPA was able to successfully calculate a replica count from {verdict.because}"
    news = [condition("ScalingActive", True, "ValidMetricFound", text), limit]
    able = condition("AbleToScale", True, "ReadyForNewScale",
                     "recommended size matches current size")  # fmt: skip
    if size != current:
        made = copy_of(target)
        made["spec"]["replicas"] = size
        view.put(made)
        status["lastScaleTime"] = view.at
        way = "above" if size > current else "below"
        view.event(scaler, _NAME, "SuccessfulRescale",
                   f"New size: {size}; reason: {verdict.because} {way} target")  # fmt: skip
        able = _able("SucceededRescale", f"update the target scale to {size}")
    _tell(view, scaler, status, [able, *news])


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
