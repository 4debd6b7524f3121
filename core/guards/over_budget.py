"""Danger: the tier's monthly budget is spent before the month is over."""

from __future__ import annotations

from core.forecast import Forecast, forecast_month
from core.guards.change import slice_delta
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block spending more of a spent budget; ask when the forecast passes it."""
    spec = snapshot.spec(plan.request.tier)
    after = plan.cost.after_usd_per_hour
    found = forecast_month(spec, snapshot.costs, context.now, after, snapshot.budgets)
    delta = plan.cost.delta_usd_per_hour
    if slice_delta(plan) <= 0 if delta is None else delta <= 0:
        return _verdict(Outcome.PASS, "the plan does not raise the cost", "", found)
    amount, left = found.budget.amount_usd, found.budget_left_usd
    if amount is None:
        return _verdict(Outcome.WARN, found.budget.source, "set a budget for the tier", found)
    if left is None or found.month_end_usd is None:
        return _verdict(Outcome.CONSENT, f"not known: {found.method}", "", found)
    if left <= 0:
        reason = f"the month's budget of ${amount:,.0f} is spent (${found.spent_usd or 0:,.0f})"
        return _verdict(Outcome.BLOCK, reason, "raise the budget or wait for next month", found)
    if found.reached_on is not None:
        reason = f"the budget of ${amount:,.0f} will be spent on {found.reached_on:%d %B}"
        return _verdict(Outcome.CONSENT, reason, "raise the budget", found)
    reason = f"${found.month_end_usd:,.0f} by the end of the month, within ${amount:,.0f}"
    return _verdict(Outcome.PASS, reason, "", found)


def _verdict(outcome: Outcome, reason: str, lift: str, found: Forecast) -> Verdict:
    lines: list[str] = []
    if found.budget.amount_usd is not None:
        lines.append(f"budget ${found.budget.amount_usd:,.0f}: {found.budget.source}")
    if found.spent_usd is not None:
        lines.append(f"spent this month ${found.spent_usd:,.0f}")
    if found.month_end_usd is not None:
        lines.append(f"expected at its end ${found.month_end_usd:,.0f}: {found.method}")
    return Verdict("over_budget", outcome, reason, lift, tuple(lines))
