"""The thread that owns the model: loads it, then runs the scheduler's steps one after another.

A request's life: the HTTP side builds a `Job` and calls `submit`, which queues its sequence or
raises. The thread, which sleeps on a condition while there is nothing to do, asks the scheduler
for a step, lets the runner compute it outside the lock, hands the tokens back to the scheduler,
turns them into text, and gives all texts of the step to the event loop in one call. `cancel` ends
a job whose client went away. What does not live here: HTTP (`api`), device programs (`runner`),
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

from serving.metrics import Metrics
from serving.request import Delta, Job
from serving.scheduler import QueueFull, Scheduler, Sequence, Step
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.loading import Loaded

log = logging.getLogger("serving")


class NotReady(Exception):
    """The server takes no requests now; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """Where the engine stands: starting, ready, draining or failed, and what it is doing."""

    phase: str
    message: str
    done: int = 0
    total: int = 0


class Engine:
    """Loads and runs one model in a thread of its own."""

    def __init__(self, path: Path, settings: Settings, metrics: Metrics) -> None:
        """Nothing is loaded before `start`."""
        self._path, self._settings, self.metrics = path, settings, metrics
        self._wake = threading.Condition()
        self._jobs: dict[Sequence, Job] = {}
        self._scheduler: Scheduler | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._closing = False
        self._draining = False
        self.loaded: Loaded | None = None
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
            self._gauge()
            self._wake.notify()

    def cancel(self, jobs: Many[Job]) -> None:
        """End jobs whose client is gone; those that have ended already stay as they are."""
        with self._wake:
            for job in jobs:
                if self._jobs.pop(job.sequence, None) is not None and self._scheduler:
                    self._scheduler.cancel(job.sequence)
                    self._observe_end(job, "abort")
            self._gauge()

    def drain(self) -> None:
        """Take no more requests; those queued and running go on."""
        with self._wake:
            self._draining = True
            self.state = State("draining", "the server is shutting down")

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

    def _load(self) -> None:
        self._report("importing JAX", 0, 1)
        # Imported here, not above: it takes seconds, and the port must answer before that.
        from serving import loading

        loading.count_compilations(self._count_compilation)
        loaded = loading.load(self._path, self._settings, self._report)
        settings = self._settings
        with self._wake:
            self.loaded = loaded
            self._scheduler = Scheduler(
                settings.slots,
                settings.max_tokens_context,
                settings.queue_limit,
                loaded.runner.chunk_sizes,
            )
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
        """Wait for work and do one step of it; False when the engine closes."""
        with self._wake:
            while not self._closing and not self._scheduler.busy:
                self.loaded.runner.fit(0)
                self._wake.wait()
            if self._closing:
                return False
            step = self._scheduler.schedule()
            now = time.monotonic()
            for sequence in self._scheduler.active:
                job = self._jobs[sequence]
                if job.admitted_s is None:
                    job.admitted_s = now
                    self.metrics.queued.observe(now - job.arrived_s)
            self._gauge()
            jobs = dict(self._jobs)
        try:
            first, tokens = self._compute(step, jobs)
        except Exception:
            log.exception("a step failed; its requests are ended")
            with self._wake:
                self._abandon("error")
                self.loaded.runner.reset()
            return True
        with self._wake:
            deltas = self._take(step, first, tokens)
        self._deliver(deltas)
        return True

    def _compute(self, step: Step, jobs: dict[Sequence, Job]) -> tuple[int | None, list[int]]:
        """Run a step on the device, without the lock."""
        runner = self.loaded.runner
        runner.fit(step.length)
        first = None
        if step.chunk is not None:
            first = runner.prefill(step.chunk, jobs[step.chunk.sequence].params)
        if not step.decode:
            return first, []
        decoding = set(step.decode)
        idle = {}
        for sequence in jobs:
            if sequence.slot is not None and sequence not in decoding:
                idle[sequence.slot] = sequence.prefilled
        if step.chunk is not None:
            idle[step.chunk.sequence.slot] += len(step.chunk.tokens)
        return first, runner.decode([(s, jobs[s].params) for s in step.decode], idle)

    def _take(self, step: Step, first: int | None, tokens: list[int]) -> list[tuple[Job, Delta]]:
        """Hand a step's tokens to the scheduler and turn them into text."""
        now = time.monotonic()
        if step.chunk is not None:
            self.metrics.prompt_tokens.inc(len(step.chunk.tokens))
        deltas = []
        for sequence, token in self._scheduler.postprocess(step, first, tokens):
            job = self._jobs[sequence]
            self._observe_token(job, now)
            # The token that ends an answer is no part of its text.
            ends = sequence.finish_reason == "stop"
            text = "" if ends else job.text.push(token)
            if job.text.stopped:
                self._scheduler.finish(sequence, "stop")
                sequence.finish_reason = "stop"
            reason = sequence.finish_reason
            if reason is not None:
                if not job.text.stopped:
                    text += job.text.finish()
                del self._jobs[sequence]
                self._observe_end(job, reason)
            if text or reason is not None:
                deltas.append((job, Delta(text, len(sequence.generated), reason)))
        self._gauge()
        return deltas

    def _abandon(self, reason: str) -> None:
        """End all jobs for `reason`; the caller holds the lock."""
        ended = list(self._jobs.values())
        self._jobs.clear()
        for job in ended:
            self._scheduler.finish(job.sequence, reason)
            self._observe_end(job, reason)
        self._gauge()
        self._deliver([(job, Delta("", len(job.sequence.generated), reason)) for job in ended])

    def _deliver(self, deltas: list[tuple[Job, Delta]]) -> None:
        """Give all texts of a step to the event loop with one wake-up."""
        if not deltas or self._loop is None or self._loop.is_closed():
            return

        def hand_out() -> None:
            for job, delta in deltas:
                job.sink(delta)

        self._loop.call_soon_threadsafe(hand_out)

    # --- figures ----------------------------------------------------------------------------

    def _gauge(self) -> None:
        if self._scheduler is not None:
            self.metrics.running.set(len(self._scheduler.active))
            self.metrics.waiting.set(len(self._scheduler.waiting))
            self.metrics.cache_used.set(self._scheduler.cache_used_ratio)

    def _observe_token(self, job: Job, now: float) -> None:
        self.metrics.generation_tokens.inc()
        if job.last_token_s is None:
            job.first_token_s = now
            self.metrics.first_token.observe(now - job.arrived_s)
            self.metrics.prefill.observe(now - (job.admitted_s or job.arrived_s))
        else:
            self.metrics.inter_token.observe(now - job.last_token_s)
        job.last_token_s = now

    def _observe_end(self, job: Job, reason: str) -> None:
        metrics = self.metrics
        metrics.finished(reason)
        if job.first_token_s is None or job.last_token_s is None:
            return
        metrics.whole.observe(job.last_token_s - job.arrived_s)
        metrics.decode.observe(job.last_token_s - job.first_token_s)
        metrics.inference.observe(job.last_token_s - (job.admitted_s or job.arrived_s))
        metrics.prompt_length.observe(len(job.sequence.prompt))
        metrics.answer_length.observe(len(job.sequence.generated))
