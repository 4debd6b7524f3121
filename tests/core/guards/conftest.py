"""A plan, its snapshot and the context that guards judge it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.actions import PlanContext, make_plan
from core.fleet import assemble_fleet
from core.guards import GuardContext
from core.guards.context import Running
from core.plans import Facts, Plan, Request, Step, Verdict
from core.records import Snapshot
from core.series import Series, Signal
from tests.make import NOW, make_series, make_snapshot, make_window

Judge = Callable[[Plan, Snapshot, GuardContext], Verdict]


def demand(level: float, gap: tuple[int, int] = (0, 0)) -> Series:
    """Generated tokens/s of the last hour."""
    window = make_window(1, step_s=60)
    return make_series("small", Signal.GENERATION_TOKENS, window, level, gap)


def make_step(verb: str, resource: str, before: Facts, after: Facts) -> Step:
    """A step that does that to a resource of the default project."""
    full = f"projects/p/{resource}"
    return Step(verb, full, f"{verb} {full}", before, after, None, "unknown", f"gcloud {verb}")


@pytest.fixture
def judged() -> Callable[..., Verdict]:
    """The verdict of one guard on a change of small by `delta`.

    Keywords: `snapshot`, `demand`, `running`, `safety`, `measured` (tokens/s per slice), `change`
    (fields of the plan that are others), `facts` (further fields of the context), `read` (fields
    of the snapshot that are others).
    """

    def run(judge: Judge, delta: int = -1, **given: Any) -> Verdict:
        snapshot: Snapshot = given.get("snapshot") or make_snapshot()
        measured = given.get("measured")
        if measured is not None:
            specs = tuple(
                replace(s, measured_tokens_per_s_per_slice=measured) if s.name == "small" else s
                for s in snapshot.specs
            )
            snapshot = replace(snapshot, specs=specs)
        snapshot = replace(snapshot, **given.get("read", {}))
        request = Request("scale_tier", "small", {"delta": delta})
        plan = replace(
            make_plan(snapshot, request, NOW, PlanContext("p")), **given.get("change", {})
        )
        running: tuple[Running, ...] = given.get("running", ())
        context = GuardContext(
            now=given.get("now", NOW),
            fleet=assemble_fleet(snapshot),
            capacity_safety_factor=given.get("safety", 1.3),
            stale_after_s=120,
            demand=given.get("demand"),
            running=running,
            **given.get("facts", {}),
        )
        return judge(plan, snapshot, context)

    return run
