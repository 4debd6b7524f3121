"""What a tier will have cost by the end of the month, and when its budget is reached.

Run-rate forecast: what is billed for complete days, plus the rest of the month at today's rate. The
rate is what runs now at list price when that is known, else the mean of the last seven complete
billed days; the method is named in every result. A capacity-planned fleet changes in steps that
somebody decides on, which no seasonal model foresees.
"""

from __future__ import annotations

import calendar
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from statistics import mean, stdev
from typing import Final

from core.money import MONTH
from core.records import Budget, CostRow
from core.specs import TIER_LABEL, TierSpec

_RECENT_DAYS: Final = 7
_Z80: Final = 1.2816  # standard normal quantile of an 80% interval


@dataclass(frozen=True, slots=True)
class BudgetFigure:
    """A monthly budget in USD and who says so; None: there is none, or its amount is not fixed."""

    amount_usd: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """One tier's month (UTC); None: cannot be told.

    Attributes:
        spent_usd: so far this month: billed for complete days, estimated for the rest.
        billed_usd: the part of it that the billing export already shows.
        month_end_usd: expected total; `low_usd` to `high_usd` is an 80% interval from the spread
            of recent days.
        budget_left_usd: budget minus spent.
        reached_on: when the budget is spent at this rate; None: not this month.
        method: one sentence about the rate.
    """

    tier: str
    month: date
    billed_usd: float | None
    spent_usd: float | None
    month_end_usd: float | None
    low_usd: float | None
    high_usd: float | None
    budget: BudgetFigure
    budget_left_usd: float | None
    reached_on: date | None
    method: str


def budget_for(spec: TierSpec, budgets: Iterable[Budget] | None) -> BudgetFigure:
    """The tier's monthly budget: from Cloud Billing by label, else by name, else the settings'.

    A budget of a quarter, a year or a period of its own says nothing about a month.
    """
    found = find_budget(spec, budgets)
    if found is not None:
        return BudgetFigure(found.amount_usd, f"Cloud Billing budget {found.display_name}")
    if spec.monthly_budget_usd is not None:
        return BudgetFigure(spec.monthly_budget_usd, "settings (monthly_budget_usd)")
    return BudgetFigure(None, "no budget is set")


def find_budget(spec: TierSpec, budgets: Iterable[Budget] | None) -> Budget | None:
    """The tier's monthly budget of a fixed amount in Cloud Billing; None: there is none."""
    fixed = [b for b in budgets or () if b.period == MONTH and b.amount_usd is not None]
    for budget in fixed:
        if budget.labels.get(TIER_LABEL) == spec.name:
            return budget
    for budget in fixed:
        named = budget.display_name.lower().replace("-", " ").split()
        if spec.name in named and not budget.labels:
            return budget
    return None


def daily_costs(costs: Iterable[CostRow], tier: str) -> dict[date, tuple[float, bool]]:
    """Net USD and completeness per day of that tier, ascending."""
    usd: dict[date, float] = defaultdict(float)
    complete: dict[date, bool] = {}
    for row in costs:
        if row.tier != tier:
            continue
        usd[row.day] += row.net_usd
        complete[row.day] = complete.get(row.day, True) and row.complete
    return {day: (usd[day], complete[day]) for day in sorted(usd)}


def forecast_month(
    spec: TierSpec,
    costs: Sequence[CostRow] | None,
    now: datetime,
    usd_per_hour: float | None,
    budgets: Sequence[Budget] | None = None,
) -> Forecast:
    """The tier's forecast for the month of `now` (UTC)."""
    budget = budget_for(spec, budgets)
    first = now.date().replace(day=1)
    if costs is None:
        return Forecast(
            spec.name, first, None, None, None, None, None, budget, None, None,
            "the billing export has not been read yet",
        )  # fmt: skip
    days = _with_free_days(daily_costs(costs, spec.name), costs)
    per_day, method = _daily_rate(days, usd_per_hour)
    billed = sum(usd for day, (usd, _) in days.items() if day >= first)
    if per_day is None:
        return Forecast(
            spec.name, first, billed, None, None, None, None, budget, None, None, method
        )
    unbilled = per_day > 0 and not _open(days)  # it runs, but since when, no row says yet
    if unbilled:
        method += "; nothing is billed yet, so only from now on"
    spent = 0.0 if unbilled else _spent(days, first, now, per_day)
    left_days = _month_end(first) - now
    rest_days = left_days.total_seconds() / 86400
    month_end = spent + per_day * rest_days
    spread = _Z80 * _spread(days) * math.sqrt(max(rest_days, 0.0))
    return Forecast(
        tier=spec.name,
        month=first,
        billed_usd=billed,
        spent_usd=None if unbilled else spent,
        month_end_usd=month_end,
        low_usd=max(spent, month_end - spread),
        high_usd=month_end + spread,
        budget=budget,
        budget_left_usd=None
        if unbilled or budget.amount_usd is None
        else budget.amount_usd - spent,
        reached_on=_reached(budget.amount_usd, spent, per_day, now, month_end),
        method=method,
    )


def _daily_rate(
    days: Mapping[date, tuple[float, bool]], usd_per_hour: float | None
) -> tuple[float | None, str]:
    if usd_per_hour is not None:
        return usd_per_hour * 24, f"${usd_per_hour:,.2f}/h as it runs now, at list price"
    recent = _since_begun(days)[-_RECENT_DAYS:]
    if recent:
        return mean(recent), f"mean of the last {len(recent)} complete billed days"
    return None, "neither a price nor a complete billed day"


def _spent(
    days: Mapping[date, tuple[float, bool]], first: date, now: datetime, per_day: float
) -> float:
    """Complete days as billed; incomplete or missing ones at the rate, if that is more."""
    total_usd, day = 0.0, first
    while day <= now.date():
        usd, complete = days.get(day, (0.0, False))
        share = 1.0
        if day == now.date():
            share = (now - datetime.combine(day, time(), UTC)).total_seconds() / 86400
            complete = False
        total_usd += usd if complete else max(usd, per_day * share)
        day += timedelta(days=1)
    return total_usd


def _with_free_days(
    days: dict[date, tuple[float, bool]], costs: Iterable[CostRow]
) -> dict[date, tuple[float, bool]]:
    """The tier's days, with $0 for those that the export has whole but without a row of the tier.

    Outside of what the export covers a missing day stays missing: late, or before its first row.
    """
    rows = [(row.day, row.complete) for row in costs]
    whole = [day for day, complete in rows if complete]
    if not days or not whole:
        return days
    day, last = min(day for day, _ in rows), max(whole)
    filled = dict(days)
    while day <= last:
        filled.setdefault(day, (0.0, True))
        day += timedelta(days=1)
    return dict(sorted(filled.items()))


def _since_begun(days: Mapping[date, tuple[float, bool]]) -> list[float]:
    """USD of the complete days from the first one that cost anything on."""
    known = [usd for usd, complete in days.values() if complete]
    begun = next((i for i, usd in enumerate(known) if usd), len(known))
    return known[begun:]


def _open(days: Mapping[date, tuple[float, bool]]) -> bool:
    """Whether the tier has cost anything in the export, so that missing days are late, not free."""
    return any(usd for usd, _ in days.values())


def _month_end(first: date) -> datetime:
    length = calendar.monthrange(first.year, first.month)[1]
    return datetime.combine(first + timedelta(days=length), time(), UTC)


def _spread(days: Mapping[date, tuple[float, bool]]) -> float:
    """Standard deviation of complete days' cost, USD; 0 with fewer than three of them."""
    known = _since_begun(days)
    return stdev(known) if len(known) >= 3 else 0.0


def _reached(
    amount: float | None, spent: float, per_day: float, now: datetime, month_end: float
) -> date | None:
    if amount is None:
        return None
    if spent >= amount:
        return now.date()
    if month_end <= amount:
        return None
    return (now + timedelta(days=(amount - spent) / per_day)).date()
