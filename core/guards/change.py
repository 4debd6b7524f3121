"""What a plan changes, in the terms that several guards need: slices added or removed."""

from __future__ import annotations

from core.plans import Plan


def slice_delta(plan: Plan) -> int:
    """Slices that the plan adds (positive) or removes (negative), by its node pool steps."""
    delta = 0
    for step in plan.steps:
        before, after = step.before.get("node_count"), step.after.get("node_count")
        if isinstance(before, int) and isinstance(after, int):
            delta += after - before
    return delta
