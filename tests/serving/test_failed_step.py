"""A step that fails on the device ends its requests truthfully; no model is needed for this."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

from serving.engine import Engine, State
from serving.metrics import Metrics
from serving.request import Delta, Job, SamplingParams
from serving.scheduler import Scheduler
from serving.sequence import Sequence
from serving.settings import Settings
from serving.step import Layout, Limits


class BrokenRunner:
    """A device whose every step raises, as one that ran out of memory does."""

    limits = Limits((Layout(64, 2),), queue=4, chunk_sizes=(32,), budget=64)
    places = 0

    def __init__(self) -> None:
        self.resets = 0

    def begin(self, step: object, jobs: object) -> None:
        """Fail."""
        raise RuntimeError("RESOURCE_EXHAUSTED: planted")

    def reset(self) -> None:
        """Count, so that a test sees the cache was thrown away."""
        self.resets += 1


class EngineWithoutModel(Engine):
    """The engine with its loading replaced; all else is the real one."""

    def _load(self) -> None:
        self.loaded = SimpleNamespace(runner=BrokenRunner())
        self._scheduler = Scheduler(BrokenRunner.limits)
        self.state = State("ready", "ready")


def reasons(metrics: Metrics) -> dict[str, float]:
    """Ended requests by reason."""
    samples = [s for family in metrics.registry.collect() for s in family.samples]
    wanted = [s for s in samples if s.name == "vllm:request_success_total"]
    return {s.labels["finished_reason"]: s.value for s in wanted}


def test_every_reason_has_a_series_before_the_first_request() -> None:
    """No errors yet reads as zero, not as unknown: the series is there from the start."""
    assert reasons(Metrics("m")) == {"stop": 0, "length": 0, "timeout": 0, "abort": 0, "error": 0}


def test_a_failed_step_ends_its_requests_as_errors() -> None:
    """The client is told `error`, the metrics count an error (not an abort), the engine goes on."""
    metrics = Metrics("m")

    async def scenario() -> tuple[list[Delta], int]:
        engine = EngineWithoutModel(Path("none"), Settings(), metrics)
        engine.start(asyncio.get_running_loop())
        while engine.state.phase != "ready":
            await asyncio.sleep(0.01)
        told: list[Delta] = []
        for _ in range(2):
            job = Job(Sequence((1, 2, 3), 5), SamplingParams(), None, told.append, time.monotonic())
            engine.submit([job])
            while engine.unfinished:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        engine.close()
        return told, engine.loaded.runner.resets

    # In a thread of its own: other tests leave an event loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        told, resets = pool.submit(lambda: asyncio.run(asyncio.wait_for(scenario(), 20))).result()
    assert [delta.finish_reason for delta in told] == ["error", "error"]
    assert resets == 2
    assert reasons(metrics) == {"stop": 0, "length": 0, "timeout": 0, "abort": 0, "error": 2}
