"""Danger: spending at a price that nobody knows."""

from __future__ import annotations

from core.guards.change import adds
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, _snapshot: Snapshot, _context: GuardContext) -> Verdict:
    """Block growth at an unknown price; giving hardware back is only warned about."""
    delta = plan.cost.delta_usd_per_hour
    if delta is not None:
        reason = f"{delta:+,.2f} $/h at {plan.cost.basis} price: {plan.cost.source}"
        return Verdict("price_known", Outcome.PASS, reason)
    growing = adds(plan)
    return Verdict(
        "price_known",
        Outcome.BLOCK if growing else Outcome.WARN,
        plan.cost.source,
        "the price catalogue must be readable (see Connections)",
    )
