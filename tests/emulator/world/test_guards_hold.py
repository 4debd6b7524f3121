"""What the console's guards let pass keeps the emulated tier inside its objectives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core import guards
from core.actions import PlanContext, make_plan
from core.fleet import assemble_fleet
from core.guards import GuardContext
from core.plans import Outcome, Request
from core.records import Snapshot, TierLoad
from core.series import Series, Signal
from core.specs import TierSpec
from emulator.log import ActionLog
from emulator.scenario import SCENARIOS
from emulator.world import demand
from emulator.world.load import Load, solve
from emulator.world.world import World, minutes_between
from tests.make import NOW, make_series, make_snapshot, make_window

STARTED = 1_795_250_040.0  # a whole minute
SLICES = 48


def load_of(hour: Load) -> TierLoad:
    """What Monitoring tells of the last five minutes."""
    mean = {n: float(getattr(hour, n)[-5:].mean()) for n in
            ("accepted", "prompt_tokens", "generation_tokens", "utilisation", "running",
             "kv_ratio")}  # fmt: skip
    return TierLoad(
        "small", NOW, 300, requests_per_s=mean["accepted"],
        prompt_tokens_per_s=mean["prompt_tokens"],
        generation_tokens_per_s=mean["generation_tokens"],
        tensorcore_utilisation_ratio=mean["utilisation"], requests_running=mean["running"],
        kv_cache_ratio=mean["kv_ratio"],
    )  # fmt: skip


def demand_of(hour: Load) -> Series:
    """Its generated tokens/s as the history tells them."""
    window = make_window(1, step_s=60)
    series = make_series("small", Signal.GENERATION_TOKENS, window, 1.0)
    return Series("small", series.signal, window, series.times,
                  tuple(float(v) for v in hour.generation_tokens), series.unit)  # fmt: skip


def allowed(snapshot: Snapshot, series: Series, delta: int) -> bool:
    """Whether no guard blocks the removal; every consent is given."""
    request = Request("scale_tier", "small", {"delta": delta})
    plan = make_plan(snapshot, request, NOW, PlanContext("p"))
    context = GuardContext(NOW, assemble_fleet(snapshot), 1.3, 120, series)
    found = (guards.capacity_left.judge, guards.load_left.judge)
    return all(g(plan, snapshot, context).outcome is not Outcome.BLOCK for g in found)


def inside(spec: TierSpec, hour: Load) -> bool:
    """Whether TTFT and errors keep the objectives, in nineteen minutes of twenty."""
    mu = np.log(hour.ttft_s) - hour.ttft_sigma**2 / 2
    ttft_p95_ms = np.exp(mu + 1.645 * hour.ttft_sigma) * 1000
    errors = float((hour.failed + hour.rejected).sum() / hour.offered.sum())
    most = spec.objectives.ttft_p95_ms or math.inf
    budget = 1 - (spec.objectives.availability_ratio or 0.0)
    return float(np.percentile(ttft_p95_ms, 95)) <= most and errors <= budget


@pytest.mark.parametrize("hours_ago", range(1, 168, 21))
def test_what_passes_keeps_the_objectives_for_the_next_hour(hours_ago: int) -> None:
    """Small, at any hour of a week: the largest removal that is not blocked does no harm."""
    world = World(SCENARIOS["normal"], ActionLog(), 7, STARTED)
    part = world.part("small/gke")
    now = STARTED - hours_ago * 3600
    last = world.load(part, minutes_between(now - 3600, now))
    assert float(last.slices[-1]) == SLICES
    base = make_snapshot()
    snapshot = replace(base, loads={"small": load_of(last)})
    series = demand_of(last)
    passing = [n for n in range(1, SLICES) if allowed(snapshot, series, -n)]
    assert passing == list(range(1, len(passing) + 1))
    assert 0 < len(passing) < SLICES - 8
    left = SLICES - len(passing)
    coming = minutes_between(now, now + 3600)
    ones = np.ones(coming.shape)
    offered = demand.offered_rps(part, world.seed, coming)
    after = solve(world.engines[part.key], coming, ones * left, offered, ones, ones * 0)
    assert inside(snapshot.spec("small"), after)
    least = solve(world.engines[part.key], coming, ones * 12, offered, ones, ones * 0)
    assert not inside(snapshot.spec("small"), least) or left <= 12
