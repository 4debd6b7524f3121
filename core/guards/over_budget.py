"""Danger: the tier's monthly budget is spent before the month is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.forecast import Forecast, forecast_month
from core.guards.change import adds, find_spec
from core.guards.context import GuardContext, Limits
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block spending more of a spent budget, or what spends it at once; ask when it is passed."""
    spec = find_spec(plan, snapshot)
    if spec is None:
        return _verdict(Outcome.PASS, "the plan is not of one tier's budget", "", None)
    after, delta = plan.cost.after_usd_per_hour, plan.cost.delta_usd_per_hour
    found = forecast_month(spec, snapshot.costs, context.now, after, snapshot.budgets)
    lasts = _lasts(found, after, context.now)
    if not adds(plan) if delta is None else delta <= 0:
        return _verdict(Outcome.PASS, "the plan does not raise the cost", "", found, lasts)
    amount = found.budget.amount_usd
    if amount is None:
        return _verdict(
            Outcome.WARN, found.budget.source, "set a budget for the tier", found, lasts
        )
    short = _spent_soon(found, amount, after, context.limits)
    if short:
        return _verdict(Outcome.BLOCK, short, "raise the budget, or add fewer slices", found, lasts)
    if found.budget_left_usd is None or found.month_end_usd is None:
        return _verdict(Outcome.CONSENT, f"not known: {found.method}", "", found, lasts)
    if found.reached_on is not None:
        reason = f"the budget of ${amount:,.0f} will be spent on {found.reached_on:%d %B}"
        return _verdict(Outcome.CONSENT, reason, "raise the budget", found, lasts)
    reason = f"${found.month_end_usd:,.0f} by the end of the month, within ${amount:,.0f}"
    return _verdict(Outcome.PASS, reason, "", found, lasts)


def _spent_soon(found: Forecast, amount: float, after: float | None, limits: Limits) -> str:
    """Why the budget cannot bear it at all; "" when it can. What was not billed counts as 0."""
    left = amount if found.budget_left_usd is None else found.budget_left_usd
    if left <= 0:
        return f"the month's budget of ${amount:,.0f} is spent (${found.spent_usd or 0:,.0f})"
    if after and left / after < limits.budget_must_last_h:
        return f"at ${after:,.0f}/h the ${left:,.0f} left would last {_span(left / after)}"
    end = found.month_end_usd
    if end is not None and end > limits.budget_blocks_at_ratio * amount:
        return f"${end:,.0f} by the end of the month is {end / amount:,.1f} × the ${amount:,.0f}"
    return ""


def _lasts(found: Forecast, after: float | None, now: datetime) -> str:
    """When the rest of a month's budget is spent at the new rate; what was not billed is 0."""
    amount = found.budget.amount_usd
    left = amount if found.budget_left_usd is None else found.budget_left_usd
    if left is None or left <= 0 or not after:
        return ""
    return (
        f"at ${after:,.0f}/h, ${after * 24:,.0f} a day, the ${left:,.0f} left of a month's budget"
        f" is spent on {now + timedelta(hours=left / after):%d %B %H:%M} UTC"
    )


def _span(hours: float) -> str:
    return f"{hours * 60:,.0f} minutes" if hours < 10 else f"{hours:,.0f} hours"


def _verdict(
    outcome: Outcome,
    reason: str,
    lift: str,
    found: Forecast | None,
    lasts: str = "",
) -> Verdict:
    lines: list[str] = []
    if found is None:
        return Verdict("over_budget", outcome, reason, lift)
    if found.budget.amount_usd is not None:
        lines.append(f"budget ${found.budget.amount_usd:,.0f}: {found.budget.source}")
    if found.spent_usd is not None:
        lines.append(f"spent this month ${found.spent_usd:,.0f}")
    if lasts:
        lines.append(lasts)
    if found.month_end_usd is not None:
        lines.append(f"expected at its end ${found.month_end_usd:,.0f}: {found.method}")
    return Verdict("over_budget", outcome, reason, lift, tuple(lines))
