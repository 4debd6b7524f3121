"""Danger: all tiers together spend the budget of the whole project before anybody is told."""

from __future__ import annotations

from core.fleet import Fleet
from core.guards.change import adds
from core.guards.context import GuardContext
from core.money import MONTH, Budget
from core.plans import Outcome, Plan, Verdict
from core.pricing import tier_rate
from core.records import Snapshot

_MINUTES_BELOW_H = 10.0  # so long in hours is told in minutes


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block what a monthly budget without a tier's label cannot bear for as long as it must last.

    What was not billed yet, and tiers whose price is not known, count as nothing: it is worse.
    """
    delta = plan.cost.delta_usd_per_hour
    if not adds(plan) if delta is None else delta <= 0:
        return _verdict(Outcome.PASS, "the plan does not raise the cost")
    if snapshot.budgets is None:
        return _verdict(Outcome.PASS, "budgets are not read: none of the whole project is known")
    shared = [b for b in snapshot.budgets if _is_shared(b, snapshot)]
    if not shared:
        return _verdict(Outcome.PASS, "there is no budget of the whole project")
    rate = _rate(context.fleet, snapshot) + (delta or 0.0)
    first = context.now.date().replace(day=1)
    spent = sum(row.net_usd for row in snapshot.costs or () if row.day >= first)
    found = min(shared, key=lambda b: (b.amount_usd or 0.0) - spent)
    left = (found.amount_usd or 0.0) - spent
    line = (
        f"{found.display_name}: ${found.amount_usd:,.0f} − ${spent:,.0f} billed = ${left:,.0f}"
        f" left; all tiers ${rate:,.2f}/h afterwards"
    )
    if left <= 0:
        why = f"the {found.display_name} budget of ${found.amount_usd:,.0f} is spent"
        return _verdict(Outcome.BLOCK, why, "raise the budget", line)
    hours = left / rate if rate > 0 else None
    if hours is not None and hours < context.limits.budget_must_last_h:
        why = f"at ${rate:,.0f}/h the ${left:,.0f} left of {found.display_name} would last"
        return _verdict(Outcome.BLOCK, f"{why} {_span(hours)}", "raise the budget", line)
    return _verdict(Outcome.PASS, f"{found.display_name} bears it", "", line)


def _is_shared(budget: Budget, snapshot: Snapshot) -> bool:
    """Whether it is of a fixed amount a month, of no tier by label or name."""
    if budget.period != MONTH or budget.amount_usd is None or budget.labels:
        return False
    named = budget.display_name.lower().replace("-", " ").split()
    return not any(spec.name in named for spec in snapshot.specs)


def _rate(fleet: Fleet, snapshot: Snapshot) -> float:
    rates = [tier_rate(tier, snapshot.prices).usd_per_hour for tier in fleet.tiers]
    return sum(rate for rate in rates if rate is not None)


def _span(hours: float) -> str:
    return f"{hours * 60:,.0f} minutes" if hours < _MINUTES_BELOW_H else f"{hours:,.0f} hours"


def _verdict(outcome: Outcome, reason: str, lift: str = "", line: str = "") -> Verdict:
    return Verdict("project_over_budget", outcome, reason, lift, (line,) if line else ())
