"""Danger: spending at a price that nobody knows."""

from __future__ import annotations

from core.guards.change import adds
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, _context: GuardContext) -> Verdict:
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
        _lift(plan, snapshot),
    )


def _lift(plan: Plan, snapshot: Snapshot) -> str:
    if snapshot.prices is None:
        return "the price catalogue must be readable (see Connections)"
    if plan.cost.before_usd_per_hour is None:
        return "what the tier costs now has to be known first: its chips (Fleet) and their price"
    lift = "a SKU for that chip, region and use in Cloud Billing's catalogue"
    if plan.request.parameters.get("spot") is True:
        lift += "; or leave out spot, where the price on demand is known"
    return lift
