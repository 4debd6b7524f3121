"""The one refresher of the process: reads every source at its own interval into one Snapshot.

At most one read per source is in flight, however many viewers look. A failing source keeps its last
good values, with their age and the reason, and is tried again with growing, jittered waits. What a
source is read with is `control/readers.py`; series for charts are `control/history.py`'s.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from core.errors import HeartwoodError
from core.records import Problem, Snapshot, Source, SourceState
from core.specs import TierSpec

_log: Final = structlog.get_logger("refresh")

BACKOFF_FIRST_S: Final = 2.0
BACKOFF_MAX_S: Final = 30.0
ON_DEMAND_GAP_S: Final = 2.0  # a source asked for by hand is not read more often than this
_JITTER: Final = 0.1

Fields = Mapping[str, object]  # names of Snapshot's fields → what they become


@dataclass(frozen=True, slots=True)
class Partial:
    """A read of which a part failed: the fields are taken, the problem is shown beside them."""

    fields: Fields
    problem: HeartwoodError


@dataclass(frozen=True, slots=True)
class SourceReader:
    """How one source is read.

    Attributes:
        read: gets the newest Snapshot (for what the read depends on), returns the fields that it
            fills, as far as it could; raises HeartwoodError.
        identity: told once the first read succeeded.
        prepare: called before each read, outside its measured time.
    """

    source: Source
    interval_s: float
    read: Callable[[Snapshot], Fields | Partial]
    endpoint: str = ""
    identity: Callable[[], str] | None = None
    prepare: Callable[[], None] | None = None


@dataclass
class _Job:
    reader: SourceReader
    due_at: float = 0.0  # monotonic seconds
    started_at: float = float("-inf")
    in_flight: bool = False
    again: bool = False  # asked for while in flight: the answer may be from before the change
    failures: int = 0


class Refresher:
    """Owns the reading threads and the newest Snapshot. Safe for threads."""

    def __init__(
        self,
        specs: Sequence[TierSpec],
        readers: Iterable[SourceReader],
        *,
        backoff_first_s: float = BACKOFF_FIRST_S,
        backoff_max_s: float = BACKOFF_MAX_S,
        on_demand_gap_s: float = ON_DEMAND_GAP_S,
        not_set_up: Mapping[Source, str] | None = None,
    ) -> None:
        """`not_set_up`: sources without a reader, and why they have none."""
        self._jobs = {r.source: _Job(r) for r in readers}
        self._backoff_first_s, self._backoff_max_s = backoff_first_s, backoff_max_s
        self._gap_s = on_demand_gap_s
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._version = 0
        self._calls: dict[tuple[Source, str], int] = {}
        sources = {
            r.source: SourceState(r.source, r.interval_s, endpoint=r.endpoint)
            for r in (job.reader for job in self._jobs.values())
        }
        for source, why in (not_set_up or {}).items():
            sources[source] = SourceState(source, 0.0, not_set_up=why)
        self._snapshot = Snapshot(datetime.now(UTC), tuple(specs), sources)

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read; returns at once. A second start does nothing."""
        with self._changed:
            if self._thread is not None or self._stopping:
                return
            self._pool = ThreadPoolExecutor(
                max(1, len(self._jobs)), thread_name_prefix="refresh-read"
            )
            self._thread = threading.Thread(target=self._run, name="refresh", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Read no more; reads in flight end by their own deadlines and are dropped."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread, pool = self._thread, self._pool
        if thread is not None:
            thread.join(timeout=5)
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    # --- what others see -------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The newest picture; never blocks, never None."""
        return self._snapshot

    @property
    def version(self) -> int:
        """Grows by one with each new Snapshot."""
        return self._version

    def wait(self, version: int, timeout_s: float) -> bool:
        """Wait until `version` is surpassed; False: it was not in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._version > version or self._stopping, timeout_s
            )

    def wait_for_first(self, sources: Iterable[Source], timeout_s: float) -> bool:
        """Wait until each of these was tried at least once; False: not in time."""
        wanted = [s for s in sources if s in self._jobs]
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    self._stopping
                    or all(self._snapshot.sources[s].tried_at is not None for s in wanted)
                ),
                timeout_s,
            )

    def refresh_now(self, *sources: Source) -> None:
        """Read these soon (none named: all), but each at most every few seconds."""
        now = time.monotonic()
        with self._changed:
            for source in sources or tuple(self._jobs):
                job = self._jobs.get(source)
                if job is None:
                    continue
                if job.in_flight:
                    job.again = True
                job.due_at = min(job.due_at, max(now, job.started_at + self._gap_s))
            self._changed.notify_all()

    def calls(self) -> dict[tuple[Source, str], int]:
        """Reads so far by source and outcome: "ok" or the kind of error."""
        with self._changed:
            return dict(self._calls)

    # --- reading ---------------------------------------------------------------------------------

    def _run(self) -> None:
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                waiting = [j for j in self._jobs.values() if not j.in_flight]
                for job in (j for j in waiting if j.due_at <= now):
                    job.in_flight, job.started_at = True, now
                    assert self._pool is not None
                    self._pool.submit(self._read, job)
                next_at = min((j.due_at for j in waiting if not j.in_flight), default=now + 60)
                self._changed.wait(max(0.0, next_at - now))

    def _read(self, job: _Job) -> None:
        started = time.monotonic()
        latency_ms = 0.0
        fields: Fields | None = None
        identity = ""
        problem: Problem | None = None
        try:
            if job.reader.prepare is not None:
                job.reader.prepare()
                started = time.monotonic()
            answer = job.reader.read(self._snapshot)
            if isinstance(answer, Partial):
                fields, problem = answer.fields, problem_of(answer.problem)
            else:
                fields = answer
            latency_ms = (time.monotonic() - started) * 1000.0
            identity = job.reader.identity() if job.reader.identity else ""
        except HeartwoodError as error:
            problem = problem_of(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one source must not end the others
            if not self._stopping:  # at the end of the process threads cannot be started any more
                _log.exception("a reader failed", source=job.reader.source.value)
            problem = Problem(
                type(error).__name__,
                f"Heartwood failed to read it: {error}",
                resource=job.reader.source.value,
                hint="This is a fault in Heartwood; the log has the details.",
            )
        with self._changed:
            job.in_flight = False
            if self._stopping:
                return
            self._take(job, fields, identity, problem, latency_ms)
            self._schedule(job, fields is None)
            self._changed.notify_all()

    def _take(
        self,
        job: _Job,
        fields: Fields | None,
        identity: str,
        problem: Problem | None,
        latency_ms: float,
    ) -> None:
        """Build the next Snapshot; the lock is held. No fields: nothing could be read."""
        now = datetime.now(UTC)
        source = job.reader.source
        outcome = "ok" if problem is None else problem.kind
        self._calls[source, outcome] = self._calls.get((source, outcome), 0) + 1
        before = self._snapshot.sources[source]
        state = replace(before, tried_at=now, problem=problem)
        if fields is None:
            job.failures += 1
        else:
            job.failures = 0
            identity = identity or before.identity
            state = replace(state, read_at=now, latency_ms=latency_ms, identity=identity)
        if problem is None:
            state = replace(state, failing_since=None)
            if before.problem is not None:
                _log.info("reads again", source=source.value)
        else:
            state = replace(state, failing_since=before.failing_since or now)
            if before.problem is None:
                _log.warning("cannot be read", source=source.value, problem=problem.message)
        sources = {**self._snapshot.sources, source: state}
        changes: dict[str, Any] = {**(fields or {}), "taken_at": now, "sources": sources}
        self._snapshot = replace(self._snapshot, **changes)
        self._version += 1

    def _schedule(self, job: _Job, failed: bool) -> None:
        """Set when the source is read next; the lock is held."""
        wait_s = job.reader.interval_s
        if failed:
            backoff_s = self._backoff_first_s * 2 ** min(job.failures - 1, 10)
            limit_s = max(self._backoff_max_s, 0.0)
            wait_s = min(max(backoff_s, min(wait_s, self._backoff_first_s)), limit_s)
        now = time.monotonic()
        job.due_at = now + wait_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        if job.again:
            job.again = False
            job.due_at = max(now, job.started_at + self._gap_s)


def problem_of(error: HeartwoodError) -> Problem:
    """An error as it is kept and shown."""
    return Problem(error.kind, error.message, error.resource, error.hint, error.retryable)
