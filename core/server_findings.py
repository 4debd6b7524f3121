"""What is wrong with a tier's servers in Kubernetes: they crash, load slowly, or wait for others.

Pure, from pods and what their logs last told. A slice that is short of hosts is `core/fleet.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from core.finding import Finding, Severity
from core.records import Host, Pod, Snapshot
from core.specs import TierSpec
from core.wording import plural

_CRASHING: Final = "CrashLoopBackOff"
_MANY_RESTARTS: Final = 2  # of a server that is not ready now
SLOW_AT_LEAST_S: Final = 180.0
SLOW_RATIO: Final = 2.5  # of how long others took from their start on
SLOW_UNKNOWN_S: Final = 900.0  # where nothing tells how long a start takes
# vLLM's words, and others': "Loading safetensors checkpoint shards", "Loading weights took …".
_LOADS: Final = re.compile(r"(load\w*|fetch\w*) .*(weights|checkpoint|shards)", re.I)
_LOADED: Final = re.compile(r"\btook\b")
_SHARE: Final = re.compile(r"\b(\d{1,3})%")
LOADING: Final = "loading weights"
# Names alone are told of an error: what follows them may be a prompt, or a secret.
_ERROR: Final = re.compile(r"\b([A-Z]\w{0,58}(?:Error|Exception))(?=:|\s*$)")
_STATUS: Final = re.compile(
    r"\b(CANCELLED|UNKNOWN|INVALID_ARGUMENT|DEADLINE_EXCEEDED|NOT_FOUND|ALREADY_EXISTS"
    r"|PERMISSION_DENIED|RESOURCE_EXHAUSTED|FAILED_PRECONDITION|ABORTED|OUT_OF_RANGE"
    r"|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS|UNAUTHENTICATED)(?=:)"
)
_LWS: Final = "leaderworkerset.sigs.k8s.io"
# Kubernetes writes whole seconds.
_SAME: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Troubled:
    """A tier's pods that do not serve for reasons of their own.

    `own` are all of its pods; the others: those that crash, that start slowly, and that wait.
    """

    own: Sequence[Pod]
    crashing: Sequence[Pod]
    slow: Sequence[Pod]
    waiting: Sequence[Pod]


def server_findings(snapshot: Snapshot) -> Iterable[Finding]:
    """Server pods that crash, that take long to start, or do not serve on hosts that are ready."""
    for spec in snapshot.specs:
        found = troubled(spec, snapshot.pods or (), snapshot.hosts or (), snapshot.taken_at)
        yield from _crash(spec, found.own, found.crashing)
        yield from _slow(spec, found.own, found.slow, snapshot.taken_at)
        yield from _wait(spec, found.own, found.waiting)


def troubled(spec: TierSpec, pods: Iterable[Pod], hosts: Iterable[Host], now: datetime) -> Troubled:
    """The tier's pods among all, sorted by what keeps them from serving."""
    ready_hosts = {(h.cluster, h.name) for h in hosts if h.ready}
    own = [p for p in pods if spec.namespace and p.namespace == spec.namespace]
    idle = [p for p in own if not p.ready and not p.ending]
    crashing = [p for p in idle if p.reason == _CRASHING or p.restarts >= _MANY_RESTARTS]
    rest = [p for p in idle if p not in crashing and (p.cluster, p.host) in ready_hosts]
    lost_hosts = {(h.cluster, h.name) for h in hosts if not h.ready}
    short = {_group(p) for p in own if not p.host or (p.cluster, p.host) in lost_hosts} - {None}
    whole = [p for p in rest if _group(p) not in short]  # the others wait for a host
    slow = slow_starts(whole, usual_start_s(own), now)
    return Troubled(own, crashing, slow, [p for p in rest if p not in slow])


def _group(pod: Pod) -> tuple[str, ...] | None:
    """The group of pods that serves on one slice of several hosts; None: it serves alone."""
    index = pod.labels.get(f"{_LWS}/group-index")
    if index is None:
        return None
    return pod.cluster_location, pod.cluster, pod.labels.get(f"{_LWS}/name", ""), index


def usual_start_s(pods: Iterable[Pod]) -> float | None:
    """Seconds from a container's start until it served, the median of those that serve.

    None: none tells. A server that lost its readiness for a while makes it longer, never shorter.
    """
    took = [
        (p.turned_at - p.started_at).total_seconds()
        for p in pods
        if p.ready and p.started_at is not None and p.turned_at is not None
    ]
    return median(max(0.0, s) for s in took) if took else None


def slow_starts(pods: Iterable[Pod], usual_s: float | None, now: datetime) -> list[Pod]:
    """Of pods that do not serve: whose servers run far longer than a start takes, and never did."""
    limit_s = SLOW_UNKNOWN_S
    if usual_s is not None:
        limit_s = max(SLOW_AT_LEAST_S, SLOW_RATIO * usual_s)
    return [
        p
        for p in pods
        if p.started_at is not None
        and (p.turned_at is None or p.turned_at <= p.started_at + _SAME)  # it has not served yet
        and (now - p.started_at).total_seconds() >= limit_s
    ]


def told_by_log(lines: Sequence[str], *, crashed: bool) -> str:
    """What a server's log tells of what it is about; "" when it does not.

    Never a log's own text, which may hold prompts or secrets: names of errors, and shares loaded.

    Args:
        lines: oldest first; of the run before where it `crashed`.
        crashed: the error named last counts; otherwise, whether it was loading weights last.
    """
    if crashed:
        named = (_error(line) for line in reversed(lines))
        return next((name for name in named if name), "")
    last = next((line for line in reversed(lines) if _LOADS.search(line)), "")
    if not last or _LOADED.search(last):
        return ""
    share = _SHARE.search(last)
    return f"{LOADING}, {share[1]}% so far" if share else LOADING


def _error(line: str) -> str:
    """The type of the exception that a line names, or the gRPC status, or both."""
    found = (_ERROR.search(line), _STATUS.search(line))
    return ": ".join(match[1] for match in found if match)


def _crash(spec: TierSpec, own: Sequence[Pod], crashing: Sequence[Pod]) -> Iterable[Finding]:
    if not crashing:
        return
    most = max(p.restarts for p in crashing)
    yield Finding(
        Severity.WARNING,
        spec.name,
        f"{spec.title}: {len(crashing)} of {plural(len(own), 'server pod')} crash again and again"
        f" ({most} restarts of one at most){_newer(own, crashing)}{_error_said(crashing)}",
        None,
        "fleet",
        "Roll the servers back to the image that serves, if these have another; the log of the run"
        " before (kubectl logs --previous) says why they end",
        is_cause=True,
    )


def _newer(own: Sequence[Pod], crashing: Sequence[Pod]) -> str:
    """That what crashes is of another image than what serves, in words; "" where it is not."""
    theirs = {p.image for p in crashing}
    others = {p.image for p in own if p.ready}
    if len(theirs) != 1 or not others or "" in theirs | others or theirs & others:
        return ""
    serving = ", ".join(sorted(_tag(image) for image in others))
    return f": all of revision {_tag(theirs.pop())}, those that serve of {serving}"


def _tag(image: str) -> str:
    """The tag or digest of an image; the image where it has none."""
    return image.rsplit("@", 1)[-1].rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def _error_said(pods: Iterable[Pod]) -> str:
    said = next((p.said for p in pods if p.said), "")
    return f"; the last error in one's log: {said}" if said else ""


def _slow(
    spec: TierSpec, own: Sequence[Pod], slow: Sequence[Pod], now: datetime
) -> Iterable[Finding]:
    if not slow:
        return
    began = min(p.started_at for p in slow if p.started_at is not None)
    usual_s = usual_start_s(own)
    usually = "" if usual_s is None else f", where a start usually takes {_span(usual_s)}"
    said = next((p.said for p in slow if p.said), "")
    loading = said.startswith(LOADING)
    does = "load their weights slowly" if loading else "start slowly"
    one = f"; one is {said}" if said else ""
    longest = "for" if len(slow) == 1 else "the longest for"
    yield Finding(
        Severity.WARNING,
        spec.name,
        f"{spec.title}: {len(slow)} of {plural(len(own), 'server')} {does}: {longest}"
        f" {_span((now - began).total_seconds())} so far{usually}{one}",
        began,
        "fleet",
        "Start or restart no more servers of it until what weights are read from (volume or bucket)"
        " is fast again: look at its throughput and its limits"
        if loading
        else "Look into a pod's log (kubectl logs): it loads weights, compiles, or hangs",
        is_cause=True,
    )


def _span(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute"
    return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"


def _wait(spec: TierSpec, own: Sequence[Pod], waiting: Sequence[Pod]) -> Iterable[Finding]:
    if not waiting:
        return
    yield Finding(
        Severity.NOTE,
        spec.name,
        f"{spec.title}: {len(waiting)} of {plural(len(own), 'server pod')} run on ready hosts and"
        " do not serve: they load weights, or wait for others of their slice",
        None,
        "fleet",
        "See on Fleet whether their slice lacks a host; else wait, a start takes minutes",
    )
