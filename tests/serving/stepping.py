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
    """All steps that the jobs need; what came out of them, in order."""
    scheduler.add(*jobs)
    told = []
    while scheduler.busy:
        step = scheduler.schedule()
        chunks, rows = loaded.runner.run(step, jobs)
        firsts = [output.tokens[0] if output.tokens else None for output in chunks]
        scheduler.postprocess(step, firsts, [output.tokens for output in rows])
        told += [*chunks, *rows]
    return told
