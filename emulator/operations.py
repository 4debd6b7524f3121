"""Work that takes time: started now, done later, its effect applied once when it is due.

An effect sees the instant at which it is due as the present, however late somebody looks. How an
operation looks on the wire is each API's business; here it is a duration, steps of progress and an
effect.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from emulator.clock import Clock
from emulator.disturbance import Disturbance, disturbed, wanted_now
from emulator.turns import Turns

_LOG = logging.getLogger("emulator")
_KEPT_S: Final = 14 * 86400.0
_KEPT_WALL_S: Final = 2 * 3600.0


@dataclass(slots=True)
class Job:
    """One operation that runs.

    Attributes:
        name: unique, e.g. "container/projects/P/locations/L/operations/O".
        service: "container", "tpu", "aiplatform", "compute" …
        target: full name of the resource it works on.
        started_at, due_at: Unix seconds, wall clock.
        pending_s: wall seconds at the beginning during which it waits.
        data: what the API keeps with it.
        error: (code, message) once it failed or was cancelled.
        undo: takes back what was begun when it fails or is cancelled; may give the words for the
            failure.
        disturbance: what is to go wrong with it.
    """

    name: str
    service: str
    target: str
    started_at: float
    due_at: float
    pending_s: float
    effect: Callable[[], None]
    data: dict[str, Any] = field(default_factory=dict)
    ended_at: float | None = None
    error: tuple[str, str] | None = None
    undo: Callable[[], str | None] | None = None
    disturbance: Disturbance | None = None

    @property
    def done(self) -> bool:
        """Whether it ended, well or not."""
        return self.ended_at is not None

    def phase(self, now: float) -> str:
        """PENDING, RUNNING or DONE."""
        if self.done:
            return "DONE"
        return "PENDING" if now < self.started_at + self.pending_s else "RUNNING"

    def progress(self, now: float) -> float:
        """Part done, 0..1."""
        if self.done:
            return 1.0
        return min(
            max((now - self.started_at) / max(self.due_at - self.started_at, 1e-9), 0.0), 1.0
        )


class Operations:
    """All operations of the project; settles those that are due.

    Effects run under the same lock as every other change of state (`Cloud.lock`): with a lock of
    its own, a handler that starts an operation and an effect that comes due could wait for each
    other for ever.

    Attributes:
        struck: is told the rule of each call that is made again and whose operations went wrong.
    """

    def __init__(self, clock: Clock, lock: threading.RLock, turns: Turns) -> None:
        self._clock = clock
        self._turns = turns
        turns.settles(self._settle)
        self._jobs: dict[str, Job] = {}
        self._by_service: dict[str, dict[str, Job]] = {}
        self._open: dict[tuple[str, str], list[Job]] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._next_due = math.inf
        self._lock = lock
        self._changed = threading.Condition(lock)
        self._stopping = False
        self._struck_at = 0.0
        self.struck: Callable[[str], None] = lambda _rule: None
        self._thread: threading.Thread | None = None

    def start(
        self,
        name: str,
        service: str,
        target: str,
        duration_s: float,
        effect: Callable[[], None],
        data: dict[str, Any] | None = None,
        steps: tuple[tuple[float, Callable[[], None]], ...] = (),
        undo: Callable[[], str | None] | None = None,
    ) -> Job:
        """Begin an operation of `duration_s` simulated seconds.

        `effect` runs once, when it is due; `steps` are (fraction of the duration, effect) on the
        way there. The first tenth of the time it is PENDING. `undo` runs instead of the effect
        when a fault rule makes it fail, and when it is cancelled.
        """
        now = self._clock.now()
        wall = self._clock.wall_s(duration_s)
        job = Job(name, service, target, now, now + wall, wall * 0.1, effect, data or {})
        job.undo, job.disturbance = undo, self._disturbance()
        with self._changed:
            self._jobs[name] = job
            self._by_service.setdefault(service, {})[name] = job
            self._open.setdefault((service, target), []).append(job)
            for fraction, step in steps:
                self._push(now + wall * fraction, _step(job, step))
            self._push(job.due_at, _finish(job, self._ended))
            self._changed.notify()
        return job

    def _disturbance(self) -> Disturbance | None:
        """What is to go wrong with an operation that begins now; the same when it begins again."""
        wanted = wanted_now()
        if wanted is None and not self._turns.replaying:
            return None
        kept = self._turns.decided("disturbance", lambda: wanted.said() if wanted else None)
        if not kept:
            return None
        if self._turns.replaying and self._struck_at != self._clock.now():
            self._struck_at = self._clock.now()  # once a call, as it was counted then
            self.struck(kept[0])
        return Disturbance(kept[0], tuple(kept[1:]) or None)

    def _push(self, at: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._due, (at, self._sequence, action))
        self._next_due = self._due[0][0]

    def settle(self, *, wait: bool = False) -> None:
        """Apply every effect that is due, each at its instant. Cheap when none is.

        While somebody makes a change nothing happens, unless `wait`: it has settled them itself.
        """
        if self._next_due <= self._clock.now():
            self._turns.try_settle(wait=wait)

    def _settle(self, now: float) -> None:
        # Whoever's thread it is: what effects begin is not what its call begins.
        with self._lock, disturbed(None):
            while self._due and self._due[0][0] <= now:
                at, _, action = heapq.heappop(self._due)
                self._next_due = self._due[0][0] if self._due else math.inf
                with self._clock.at(at):
                    try:
                        action()
                    except Exception:  # noqa: BLE001 - as _finish: no bystander's call fails of it
                        _LOG.exception("what was due at %f failed", at)
                    self._turns.answered()

    def get(self, name: str) -> Job | None:
        """The operation of that name."""
        return self._jobs.get(name)

    def all(self) -> list[Job]:
        """Every operation, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def of(self, service: str) -> list[Job]:
        """Every operation of a service, oldest first."""
        with self._lock:
            return list(self._by_service.get(service, {}).values())

    def running_on(self, service: str, target: str) -> Job | None:
        """An unfinished operation on the resource."""
        with self._lock:
            running = [j for j in self._open.pop((service, target), ()) if not j.done]
            if running:
                self._open[service, target] = running
            return running[0] if running else None

    def cancel(self, job: Job, *, undo: bool = True) -> bool:
        """End it without its effect, and take back what it began; False when it had ended already.

        `undo`: False where the caller takes it back in a way of its own.
        """
        with self._lock:
            if job.done:
                return False
            job.ended_at = self._clock.now()
            job.error = ("CANCELLED", "Operation was cancelled.")
            if undo and job.undo is not None:
                job.undo()
            self._ended(job)
            return True

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have something done at a Unix time that is no operation."""
        with self._changed:
            self._push(when, action)
            self._changed.notify()

    def release(self, rule: str) -> None:
        """Let the operations go on that a rule holds."""
        with self._changed:
            for job in self._jobs.values():
                if job.done or job.disturbance is None or job.disturbance.rule != rule:
                    continue
                job.disturbance = None
                if job.due_at <= self._clock.now():
                    job.due_at = self._clock.now()
                    self._push(job.due_at, _finish(job, self._ended))
            self._changed.notify()

    def forget(self, name: str) -> None:
        """Drop a finished operation."""
        with self._lock:
            job = self._jobs.pop(name, None)
            if job is None:
                return
            del self._by_service[job.service][name]
            self.running_on(job.service, job.target)  # forgets those that ended

    def kept_s(self) -> float:
        """Wall seconds for which a finished operation is remembered: 14 simulated days.

        Two hours at least, longer than the clusters tell of what an operation did.
        """
        return max(self._clock.wall_s(_KEPT_S), _KEPT_WALL_S)

    def _ended(self, job: Job) -> None:
        assert job.ended_at is not None
        self._push(job.ended_at + self.kept_s(), partial(self.forget, job.name))

    def run(self) -> None:
        """Start the thread that settles operations on time."""
        self._thread = threading.Thread(target=self._loop, name="operations", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop that thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread:
            self._thread.join(timeout=5)

    def _loop(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                wait = self._next_due - self._clock.now()
                if wait > 0:
                    self._changed.wait(None if wait == math.inf else wait)
                    continue
            self.settle(wait=True)


def _step(job: Job, effect: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        failing = job.disturbance is not None and job.disturbance.error is not None
        if not job.done and not failing:
            effect()

    return run


def _finish(job: Job, ended: Callable[[Job], None]) -> Callable[[], None]:
    def run() -> None:
        if job.done or _held(job):
            return
        try:
            if job.disturbance is None:
                job.effect()
            else:
                job.error = _failure(job, job.disturbance)
        except Exception:  # noqa: BLE001 - a faulty effect fails its operation, not a bystander
            _LOG.exception("effect of %s failed", job.name)
            job.error = ("INTERNAL", "Internal error encountered.")
        job.ended_at = job.due_at
        ended(job)

    return run


def _held(job: Job) -> bool:
    return job.disturbance is not None and job.disturbance.error is None


def _failure(job: Job, disturbance: Disturbance) -> tuple[str, str]:
    told = job.undo() if job.undo else None
    code, text = disturbance.error or ("INTERNAL", "")
    return code, text or told or "Internal error encountered."
