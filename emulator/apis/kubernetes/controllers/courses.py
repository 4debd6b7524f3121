"""What becomes of a pod's containers over time: init, pull, run, end, restart; pure.

Nothing really runs. A container that says `sleep 20`, `exit 3`, `true` or `false` does just that,
unless its shell goes over into another program (`until ready; do sleep 2; done; exec serve`);
others run for ever, or as long as RUN_S where the pod is meant to end. All durations are simulated
seconds, no promise of real ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from emulator.apis.kubernetes.controllers.fitting import TPU, requests_of
from emulator.apis.kubernetes.pods import PULL_S, SERVE_S

RUN_S: Final = 60.0
INIT_S: Final = 5.0
PROBE_S: Final = 5.0
LOAD_S: Final = SERVE_S - PULL_S  # an inference server puts its weights onto the chips
# Waits before restarts, and their least wall seconds: what never comes up must not keep the
# emulator busy at a high speed. The last goes on for ever.
BACKOFF_S: Final = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
_LEAST_S: Final = (0.0, 0.0, 0.0, 0.1, 0.4, 1.0)
_SLEEP: Final = re.compile(r"\bsleep\s+(infinity|\d+(?:\.\d+)?)([smhd]?)\b")
_EXEC: Final = re.compile(r"\bexec\s+")
_EXIT: Final = re.compile(r"\bexit\s+(\d{1,3})\b")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
WallS = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Course:
    """How long a container runs (None: for ever) and the code that it ends with."""

    lasts_s: float | None
    code: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """A container at a time: in "running", "waiting" (to be restarted) or "terminated".

    Attributes:
        since: when that began. started_at: of the newest run. restarts: runs before it.
        ended_at: of the newest run that ended. next_at: when it goes on by itself.
    """

    state: str
    since: float
    started_at: float
    restarts: int = 0
    ended_at: float | None = None
    next_at: float | None = None
    for_good: bool = False


def course_of(container: Mapping[str, Any], *, ends: bool) -> Course:
    """What a container does, read from its command; `ends`: its pod is meant to end by itself."""
    words = [str(w) for w in (*(container.get("command") or ()), *(container.get("args") or ()))]
    text = _EXEC.split(" ".join(words))[-1]
    if words and words[0].rsplit("/", 1)[-1] in ("true", "false"):
        return Course(0.0, int(words[0].endswith("false")))
    sleeps, code = _SLEEP.findall(text), _EXIT.search(text)
    if any(length == "infinity" for length, _ in sleeps):
        return Course(None)
    if sleeps or code:
        lasts = sum(float(length) * _UNITS[unit] for length, unit in sleeps)
        return Course(lasts, int(code[1]) if code else 0)
    return Course(RUN_S) if ends else Course(None)


def readiness_s(container: Mapping[str, Any], spec: Mapping[str, Any]) -> float:
    """How long after its start a container is ready: at once if nobody asks it."""
    probes = [container.get(p) for p in ("startupProbe", "readinessProbe") if container.get(p)]
    if not probes:
        return 0.0
    delay = max(float((p or {}).get("initialDelaySeconds") or 0) for p in probes)
    return max(delay, LOAD_S if TPU in requests_of(spec) else PROBE_S)


def pause_s(restarts: int, wall_s: WallS) -> float:
    """Wall seconds from the end of what was restarted so often before to its next start."""
    at = min(restarts, len(BACKOFF_S) - 1)
    return max(wall_s(BACKOFF_S[at]), _LEAST_S[at])


def moment(began: float, course: Course, policy: str, now: float, wall_s: WallS) -> Moment:
    """Where a container that first started then stands now, under its pod's restartPolicy."""
    if course.lasts_s is None:
        return Moment("running", began, began)
    lasts = wall_s(course.lasts_s)
    again = policy == "Always" or (policy == "OnFailure" and course.code != 0)
    if not again:
        end = began + lasts
        if now < end:
            return Moment("running", began, began, next_at=end)
        return Moment("terminated", end, began, ended_at=end, for_good=True)
    start, round_, ended = began, 0, None
    last = len(BACKOFF_S) - 1
    while True:
        end = start + lasts
        if now < end:
            return Moment("running", start, start, round_, ended, end)
        wait = pause_s(round_, wall_s)
        if now < end + wait:
            return Moment("waiting", end, start, round_, end, end + wait)
        skipped = 1
        if round_ >= last:  # the same from here on, so that whole rounds can be left out
            skipped = max(math.floor((now - start) / (lasts + wait)), 1)
        start, round_ = start + (end - start + wait) * skipped, round_ + skipped
        ended = start - wait
