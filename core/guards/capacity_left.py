"""Danger: what is left after the change cannot carry the demand.

p95 of the generated tokens/s of the last hour × safety factor ≤ slices left × tokens/s per slice
(measured where configured, else the roofline, which is an upper bound: what fits under it alone is
asked about).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.capacity import MEASURED, slice_capacity
from core.guards.change import find_spec, is_teardown, slice_delta
from core.guards.context import GuardContext
from core.parts import total
from core.plans import Outcome, Plan, Verdict
from core.pricing import metered_share
from core.records import Snapshot
from core.series import Series
from core.specs import PartKind

MINIMUM_COVERAGE_RATIO = 0.5  # of the hour's steps that must have a point


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block a plan that leaves too little; ask when demand or capacity is not known."""
    delta, spec = slice_delta(plan), find_spec(plan, snapshot)
    if spec is None:
        return _verdict(Outcome.PASS, "the plan is not of one tier's capacity", "", ())
    if delta == 0 or is_teardown(plan):
        why = "the tier ends" if is_teardown(plan) else "the number of slices does not change"
        return _verdict(Outcome.PASS, why, "", ())
    tier = context.fleet.tier(spec.name)
    # Vertex reports no tokens: demand and slices are both those of the other parts.
    ready = total(p.slice_count.ready for p in tier.parts if p.spec.kind is not PartKind.VERTEX)
    load = (snapshot.loads or {}).get(tier.name)
    capacity = slice_capacity(tier.spec, load, metered_share(tier))
    if ready is None:
        outcome = Outcome.BLOCK if delta < 0 else Outcome.PASS
        return _verdict(outcome, "how many slices are ready is not known", "read Kubernetes", ())
    left = ready + delta
    slices = f"{ready} ready slices {delta:+d} = {left}"
    demand = p95_of(context.demand)
    if demand is None or capacity.tokens_per_s is None:
        missing = "the last hour's demand is not known"
        if demand is not None:
            missing = f"capacity per slice is {capacity.source}"
        outcome = Outcome.CONSENT if delta < 0 else Outcome.PASS
        lift = "demand and capacity must be known (see Connections and heartwood.toml)"
        return _verdict(outcome, missing, lift, (slices, *capacity.arithmetic))
    factor = context.capacity_safety_factor
    needed, available = demand * factor, left * capacity.tokens_per_s
    fits = needed <= available
    lines = (
        f"p95 demand of the last hour {demand:,.0f} tokens/s × {factor:g} = {needed:,.0f} tokens/s",
        *capacity.arithmetic,
        f"{slices}; × {capacity.tokens_per_s:,.0f} tokens/s ({capacity.source})"
        f" = {available:,.0f} tokens/s",
        f"{needed:,.0f} {'≤' if fits else '>'} {available:,.0f}",
    )
    used = f"{needed / available:.0%}" if available > 0 else "more than all" if needed else "none"
    reason = f"needs {used} of the {max(0, left)} slices left ({capacity.source})"
    if fits and delta < 0 and capacity.source != MEASURED:
        reason += ", an upper bound that no server reaches"
        lift = "measure a slice: measured_tokens_per_s_per_slice in heartwood.toml"
        return _verdict(Outcome.CONSENT, reason, lift, lines)
    if fits:
        return _verdict(Outcome.PASS, reason, "", lines)
    if delta > 0:
        return _verdict(Outcome.WARN, f"even then too little: {reason}", "add more", lines)
    return _verdict(
        Outcome.BLOCK, reason, "wait for less demand, move traffic away, or add slices first", lines
    )


def p95_of(series: Series | None) -> float | None:
    """95th percentile (nearest rank) of the points; None with less than half of the steps."""
    if series is None:
        return None
    points = sorted(v for v in series.values if v is not None)
    seconds = (series.window.end - series.window.start).total_seconds()
    steps = max(1.0, seconds / series.window.step_s)
    if not points or len(points) < MINIMUM_COVERAGE_RATIO * steps:
        return None
    return points[math.ceil(0.95 * len(points)) - 1]


def _verdict(outcome: Outcome, reason: str, lift: str, lines: Sequence[str]) -> Verdict:
    shown = "" if outcome is Outcome.PASS else lift
    return Verdict("capacity_left", outcome, reason, shown, tuple(lines))
