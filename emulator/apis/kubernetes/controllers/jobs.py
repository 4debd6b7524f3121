"""Jobs: pods that run to their end, as many as asked for, again when they fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.kubelet import stop
from emulator.apis.kubernetes.controllers.objects import (
    annotations_of,
    condition,
    conditions_of,
    generated,
    going,
    holds,
    name_of,
    uid_of,
    with_conditions,
    without,
)
from emulator.apis.kubernetes.controllers.templates import (
    active,
    is_ready,
    make,
    phase_of,
    pod_from,
)
from emulator.apis.kubernetes.controllers.view import View

INDEX: Final = "batch.kubernetes.io/job-completion-index"
_BACKOFF_S: Final = 10.0
_LONGEST_S: Final = 600.0
_NAME: Final = "job-controller"


def run(view: View) -> None:
    """Every Job."""
    for job in view.mine("Job"):
        if not going(job):
            _reconcile(view, job)


def _reconcile(view: View, job: Obj) -> None:
    if holds(job, "Complete") or holds(job, "Failed"):
        _expire(view, job)
        return
    spec, mark = job["spec"], f"job/{uid_of(job)}"
    pods = list(view.owned(job, "Pod"))
    if spec.get("suspend"):
        view.forget(mark)
        for pod in active(pods):
            stop(view, pod)
        _tell(view, job, [condition("Suspended", True, "JobSuspended", "Job suspended")])
        return
    began = view.since(mark)
    verdict = _verdict(view, job, pods, began)
    if verdict:
        for pod in active(pods):
            stop(view, pod)
        _finish(view, job, verdict)
        return
    _make(view, job, pods)
    resumed = condition("Suspended", False, "JobResumed", "Job resumed")
    _tell(view, job, [resumed] if holds(job, "Suspended") else [])


def _verdict(view: View, job: Obj, pods: Sequence[Obj], began: float) -> list[Obj]:
    """The conditions that end it; empty while it goes on."""
    spec = job["spec"]
    failed = sum(phase_of(p) == "Failed" for p in pods)
    restarts = sum(
        int(c.get("restartCount", 0))
        for p in active(pods)
        for c in (p.get("status") or {}).get("containerStatuses") or ()
    )
    limit = spec.get("backoffLimit")
    if failed + restarts > (6 if limit is None else int(limit)):
        return _failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if spec.get("activeDeadlineSeconds"):
        over = began + view.wall_s(float(spec["activeDeadlineSeconds"]))
        if view.now >= over:
            return _failed("DeadlineExceeded", "Job was active longer than specified deadline")
        view.wake(over)
    done, wanted = len(_done(job, pods)), completions(job)
    ended = bool(done) and not active(pods)
    if done >= wanted if wanted is not None else ended:
        text = "Reached expected number of succeeded pods"
        return [condition(c, True, "CompletionsReached", text)
                for c in ("SuccessCriteriaMet", "Complete")]  # fmt: skip
    return []


def _failed(reason: str, message: str) -> list[Obj]:
    return [condition(c, True, reason, message) for c in ("FailureTarget", "Failed")]


def completions(job: Obj) -> int | None:
    """Pods that have to succeed; None: any one, once all have ended."""
    asked = job["spec"].get("completions")
    if asked is not None:
        return int(asked)
    return 1 if job["spec"].get("parallelism") is None else None


def _indexed(job: Obj) -> bool:
    return job["spec"].get("completionMode") == "Indexed"


def _done(job: Obj, pods: Sequence[Obj]) -> list[str]:
    """What has succeeded: indexes, or pods."""
    found = [p for p in pods if phase_of(p) == "Succeeded"]
    if not _indexed(job):
        return [name_of(p) for p in found]
    return sorted({annotations_of(p).get(INDEX, "") for p in found})


def _make(view: View, job: Obj, pods: Sequence[Obj]) -> None:
    spec, running = job["spec"], active(pods)
    done, wanted = _done(job, pods), completions(job)
    parallel = spec.get("parallelism")
    most = 1 if parallel is None else int(parallel)
    room = min(most, most if wanted is None else wanted - len(done)) - len(running)
    if wanted is None and done:
        room = 0  # one success means that the others are finishing
    for pod in running[: max(-room, 0)]:
        stop(view, pod)
    failed = sum(phase_of(p) == "Failed" for p in pods)
    if room > 0 and failed and not _waited(view, job, failed):
        return
    taken = {annotations_of(p).get(INDEX) for p in running} | set(done)
    free = [str(i) for i in range(wanted or 0) if str(i) not in taken]
    for number in range(max(room, 0)):
        index = free[number] if _indexed(job) and number < len(free) else None
        if make(view, job, _pod(view, job, index), _NAME):
            return


def _waited(view: View, job: Obj, failed: int) -> bool:
    """Whether the wait after the newest failure is over."""
    wait_s = min(_BACKOFF_S * 2 ** min(failed - 1, 10), _LONGEST_S)
    over = view.since(f"job/{uid_of(job)}/failed/{failed}") + view.wall_s(wait_s)
    view.wake(over)
    return view.now >= over


def _pod(view: View, job: Obj, index: str | None) -> Obj:
    base = name_of(job) if index is None else f"{name_of(job)}-{index}"
    labels = {"job-name": name_of(job), "controller-uid": uid_of(job)}
    labels |= {f"batch.kubernetes.io/{k}": v for k, v in labels.items()}
    if index is not None:
        labels[INDEX] = index
    name = generated(base, uid_of(job), view.serial())
    annotations = {INDEX: index} if index is not None else None
    return pod_from(job["spec"]["template"], job, name, labels, annotations)


def _tell(view: View, job: Obj, news: list[Obj]) -> None:
    pods = view.owned(job, "Pod")
    running = active(pods)
    before = job.get("status") or {}
    status: Obj = {
        "active": len(running),
        "ready": sum(map(is_ready, running)),
        "succeeded": len(_done(job, pods)),
        "failed": sum(phase_of(p) == "Failed" for p in pods),
        "terminating": sum(map(going, pods)),
        "uncountedTerminatedPods": {},
    }
    status = {k: v for k, v in status.items() if v or k in ("ready", "terminating",
                                                            "uncountedTerminatedPods")}  # fmt: skip
    if not job["spec"].get("suspend"):
        status["startTime"] = before.get("startTime") or view.at
    if _indexed(job) and (done := _done(job, pods)):
        status["completedIndexes"] = ",".join(sorted(done, key=int))
    kept = with_conditions(conditions_of(job), news, view.at)
    if kept:
        status["conditions"] = [{"lastProbeTime": c["lastTransitionTime"], **c} for c in kept]
    view.put_status(job, status)


def _finish(view: View, job: Obj, verdict: list[Obj]) -> None:
    _tell(view, job, verdict)
    job = view.get("Job", *(job["metadata"]["namespace"], name_of(job))) or job
    status: Obj = {**job["status"], "ready": 0}
    status.pop("active", None)
    last = verdict[-1]
    if last["type"] == "Complete":
        status["completionTime"] = view.at
        view.event(job, _NAME, "Completed", "Job completed")
    else:
        view.event(job, _NAME, last["reason"], last["message"], warning=True)
    status["conditions"] = list(without(status["conditions"], "Suspended"))
    view.put_status(job, status)
    view.forget(f"job/{uid_of(job)}")
    view.since(f"ended/{uid_of(job)}")


def _expire(view: View, job: Obj) -> None:
    """Delete a finished Job when its time to live is over."""
    ttl_s = job["spec"].get("ttlSecondsAfterFinished")
    if ttl_s is None:
        return
    over = view.since(f"ended/{uid_of(job)}") + view.wall_s(float(ttl_s))
    if view.now < over:
        view.wake(over)
        return
    view.forget(f"ended/{uid_of(job)}")
    for pod in view.owned(job, "Pod"):
        stop(view, pod)
    view.delete(job)
