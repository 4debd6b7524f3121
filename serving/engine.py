"""The thread that owns the model: loads it, then runs the scheduler's steps one after another.

A request's life: the HTTP side builds a `Job` and calls `submit`, which queues its sequence or
raises. The thread, which sleeps on a condition while there is nothing to do, asks the scheduler
for a step and lets the runner begin it outside the lock, and at once the step after it where that
does not depend on the first one's tokens. It hands these to the scheduler, turns them into text,
and gives all texts of the step to the event loop in one call. `cancel` ends
a job whose client went away; a job whose deadline has passed is ended between two steps. What
does not live here: HTTP (`api`), device programs (`runner`),
the order of things (`scheduler`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Sequence as Many
from pathlib import Path
from typing import TYPE_CHECKING

from serving.grammar import Grammars
from serving.memory import freeze_memory
from serving.metrics import Metrics
from serving.request import Delta, Job, Output
from serving.scheduler import QueueFull, Scheduler
from serving.sequence import Sequence
from serving.settings import Settings
from serving.step import Layout, Step

if TYPE_CHECKING:
    from serving.computed import Computed
    from serving.loading import Loaded

log = logging.getLogger("serving")

REST_S = 10.0  # nobody ran for so long: the cache gives its memory back


class NotReady(Exception):
    """The server takes no requests now; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """Where the engine stands: starting, ready, draining or failed, and what it is doing."""

    phase: str
    message: str
    done: int = 0
    total: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Flight:
    """A step that the device computes, and since when."""

    step: Step
    jobs: dict[Sequence, Job]
    computed: Computed
    began_s: float


class Engine:
    """Loads and runs one model in a thread of its own."""

    def __init__(self, path: Path, settings: Settings, metrics: Metrics) -> None:
        """Nothing is loaded before `start`."""
        self._path, self.settings, self.metrics = path, settings, metrics
        self._wake = threading.Condition()
        self._jobs: dict[Sequence, Job] = {}
        self._scheduler: Scheduler | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._flight: _Flight | None = None  # the step that the device computes
        self._ended_s = 0.0  # when the newest step had ended
        self._closing = False
        self._draining = False
        self.loaded: Loaded | None = None
        self.grammars: Grammars | None = None
        self.state = State("starting", "starting")
        self.started_s = time.monotonic()
        self.ready_after_s: float | None = None
        self.compilations = 0
        self.compilations_after_ready = 0

    # --- called from the event loop ---------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin loading; texts will be delivered on `loop`."""
        self._loop = loop
        self._thread.start()

    def submit(self, jobs: Many[Job]) -> None:
        """Queue all jobs or none. NotReady before loading and while draining, else QueueFull."""
        with self._wake:
            if self._scheduler is None or self.state.phase != "ready":
                raise NotReady(self.state.message)
            try:
                self._scheduler.add(*(job.sequence for job in jobs))
            except QueueFull:
                self.metrics.rejected.inc()
                raise
            self._jobs.update({job.sequence: job for job in jobs})
            self._observe()
            self._wake.notify()

    def cancel(self, jobs: Many[Job]) -> None:
        """End jobs whose client is gone; those that have ended already stay as they are."""
        with self._wake:
            for job in jobs:
                if self._jobs.pop(job.sequence, None) is not None and self._scheduler:
                    self._scheduler.cancel(job.sequence)
                    self.metrics.observe_end(job, "abort")
            self._observe()

    def drain(self) -> None:
        """Take no more requests; those queued and running go on."""
        with self._wake:
            self._draining = True
            self.state = State("draining", "the server is shutting down")

    @property
    def guesses(self) -> bool:
        """Answers are guessed ahead, so that requests need an index of their tokens."""
        return self.loaded is not None and self.loaded.runner.limits.draft_width > 1

    @property
    def vocabulary(self) -> int:
        """Width of the logits; NotReady before the model is loaded."""
        if self.loaded is None:
            raise NotReady(self.state.message)
        return self.loaded.runner.vocabulary

    @property
    def unfinished(self) -> int:
        """Requests that are queued or running."""
        return len(self._jobs)

    def close(self) -> None:
        """End everything that still runs, then the thread."""
        with self._wake:
            self._abandon("abort")
            self._closing = True
            self._wake.notify()
        if self.state.phase != "failed" and self.loaded is not None:
            self._thread.join(timeout=10)

    # --- the engine's own thread ------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._load()
        except Exception as error:
            log.exception("the model could not be loaded")
            self.state = State("failed", f"the model could not be loaded: {error}")
            return
        while self._step_once():
            pass
        if self._flight is not None:
            # Nobody wants it, but nothing may end under a running program, here or elsewhere.
            self._flight.computed.outputs()

    def _load(self) -> None:
        self._report("importing JAX", 0, 1)
        # Imported here, not above: it takes seconds, and the port must answer before that.
        from serving import compilations, loading

        compilations.count_compilations(self._count_compilation)
        loaded = loading.load(self._path, self.settings, self._report)
        with self._wake:
            self.loaded = loaded
            self.grammars = Grammars(loaded.tokenizer, loaded.runner.vocabulary)
            self._scheduler = Scheduler(loaded.runner.limits, loaded.runner.places)
        log.info("%d objects are left out of garbage collection", freeze_memory())
        with self._wake:
            if not self._draining:
                self.state = State("ready", "ready")
        self.ready_after_s = round(time.monotonic() - self.started_s, 3)
        log.info("ready after %.1f s", self.ready_after_s)

    def _report(self, message: str, done: int, total: int) -> None:
        if not self._draining:
            self.state = State("starting", f"{message} ({done} of {total})", done, total)

    def _count_compilation(self) -> None:
        self.compilations += 1
        if self.loaded is not None:
            self.compilations_after_ready += 1
            self.metrics.compilations.inc()
            log.warning("a program was compiled after the server was ready")

    def _step_once(self) -> bool:
        """Wait for work, begin a step and the one after it; False when the engine closes.

        While the device computes the second one, the tokens of the first become text.
        """
        flight = self._flight
        with self._wake:
            idle = flight is None and not self._closing and not self._scheduler.busy
            resting = idle and not self._wake.wait(REST_S)
            if self._closing:
                return False
            if idle and not resting and not self._scheduler.busy:
                return True
            smaller = self._scheduler.rest() if resting else None
            step = None if resting or flight is not None else self._schedule()
            jobs = dict(self._jobs)
        try:
            if resting:
                self._rest(smaller)
                return True
            if step is not None:
                flight = self._begin(step, jobs)
            self._flight = self._begin_next(flight)
            chunks, rows = flight.computed.outputs()
        except Exception:
            log.exception("a step failed; its requests are ended")
            self._flight = None
            with self._wake:
                self._abandon("error")
                self._scheduler.forget()
                self.loaded.runner.reset()
            return True
        ended_s = time.monotonic()
        with self._wake:
            elapsed_s = ended_s - max(flight.began_s, self._ended_s)
            self.metrics.observe_work(self.loaded.cost.of(flight.step), elapsed_s)
            deltas = self._take(flight.step, chunks, rows)
        self._ended_s = ended_s
        self._deliver(deltas)
        return True

    def _begin(self, step: Step, jobs: dict[Sequence, Job]) -> _Flight:
        began_s = time.monotonic()
        return _Flight(step, jobs, self.loaded.runner.begin(step, jobs), began_s)

    def _begin_next(self, flight: _Flight) -> _Flight | None:
        """The step after one whose tokens are not known yet, where it does not depend on them."""
        jobs = flight.jobs
        if any(jobs[row.sequence].adjustment is not None for row in flight.step.rows):
            return None
        with self._wake:
            self._end_late(time.monotonic())
            step = self._scheduler.follow(flight.step)
        return None if step is None else self._begin(step, jobs)

    def _end_late(self, now: float) -> None:
        late = [job for job in self._jobs.values() if job.deadline_s and job.deadline_s < now]
        self._end(late, "timeout")

    def _schedule(self) -> Step:
        now = time.monotonic()
        self._end_late(now)
        step = self._scheduler.schedule()
        for sequence in step.admitted:
            job = self._jobs[sequence]
            if job.admitted_s is None:  # else it was pre-empted, and comes back
                job.admitted_s = now
                self.metrics.queued.observe(now - job.arrived_s)
        self._observe()
        return step

    def _rest(self, smaller: Layout | None) -> None:
        """Give memory back: what lies in the slots is nobody's."""
        if smaller is not None:
            self.loaded.runner.arrange(smaller, (0,) * smaller.slots)
        self.loaded.runner.release()

    def _take(self, step: Step, chunks: Many[Output], rows: Many[Output]) -> list:
        """Hand a step's tokens to the scheduler and turn them into text."""
        now = time.monotonic()
        outputs = {}
        for chunk, output in zip(step.chunks, chunks, strict=True):
            self.metrics.prompt_tokens.inc(len(chunk.tokens))
            outputs[chunk.sequence] = output
            job = self._jobs.get(chunk.sequence)
            if job is not None and output.prompt:
                # A pre-empted prompt begins again.
                job.prompt_scored[chunk.start :] = output.prompt
        outputs |= {row.sequence: output for row, output in zip(step.rows, rows, strict=True)}
        firsts = [output.tokens[0] if output.tokens else None for output in chunks]
        gained = self._scheduler.postprocess(step, firsts, [output.tokens for output in rows])
        deltas = []
        for sequence, tokens in gained:
            job = self._jobs[sequence]
            delta = self._tell(job, tokens, outputs[sequence], now)
            if delta.text or delta.finish_reason or delta.scored or delta.prompt:
                deltas.append((job, delta))
        self._observe()
        return deltas

    def _tell(self, job: Job, tokens: list[int], output: Output, now: float) -> Delta:
        """The text of a job's new tokens, which may end it."""
        sequence, text = job.sequence, ""
        first = job.told == 0
        for token in tokens:
            job.told += 1
            self.metrics.observe_token(job, now)
            # The token that ends an answer is no part of its text.
            if not (sequence.finish_reason == "stop" and job.told == sequence.generated_count):
                text += job.text.push(token)
            if job.adjustment is not None:
                job.adjustment.push(token)
            if job.text.stopped:
                break
        ended = "stop" if job.text.stopped else job.adjustment and job.adjustment.finish_reason
        if ended:
            self._scheduler.finish(sequence, ended)
            sequence.finish_reason = ended
        reason = sequence.finish_reason
        if reason is not None:
            text += "" if job.text.stopped else job.text.finish()
            del self._jobs[sequence]
            self.metrics.observe_end(job, reason)
        scored = (output.scored,) if output.scored else ()
        prompt = tuple(job.prompt_scored) if first else ()
        return Delta(text, job.told, reason, scored, prompt)

    def _end(self, jobs: Many[Job], reason: str) -> None:
        """End jobs for `reason` and tell them so; the caller holds the lock."""
        for job in jobs:
            del self._jobs[job.sequence]
            self._scheduler.finish(job.sequence, reason)
            self.metrics.observe_end(job, reason)
        self._deliver([(job, Delta("", job.told, reason)) for job in jobs])

    def _abandon(self, reason: str) -> None:
        """End all jobs for `reason`; the caller holds the lock."""
        self._end(list(self._jobs.values()), reason)
        self._observe()

    def _deliver(self, deltas: list[tuple[Job, Delta]]) -> None:
        """Give all texts of a step to the event loop with one wake-up."""
        if not deltas or self._loop is None or self._loop.is_closed():
            return

        def hand_out() -> None:
            for job, delta in deltas:
                job.sink(delta)

        self._loop.call_soon_threadsafe(hand_out)

    def _observe(self) -> None:
        if self._scheduler is not None:
            self.metrics.observe_load(self._scheduler)
