"""Runs jobs through a scheduler and compiled programs, without a server around them."""

from __future__ import annotations

from collections.abc import Mapping

from serving.loading import Loaded
from serving.request import Job, Output
from serving.scheduler import Scheduler
from serving.sequence import Sequence


def run_to_the_end(
    loaded: Loaded, scheduler: Scheduler, jobs: Mapping[Sequence, Job]
) -> list[Output]:
    """All steps that the jobs need, as the engine does them; what came out of them, in order."""
    scheduler.add(*jobs)
    told, flight = [], None
    while scheduler.busy or flight:
        step, computed = flight or (None, None)
        if step is None:
            step = scheduler.schedule()
            computed = loaded.runner.begin(step, jobs)
        following = scheduler.follow(step)
        flight = following and (following, loaded.runner.begin(following, jobs))
        chunks, rows = computed.outputs()
        firsts = [output.tokens[0] if output.tokens else None for output in chunks]
        scheduler.postprocess(step, firsts, [output.tokens for output in rows])
        told += [*chunks, *rows]
    return told
