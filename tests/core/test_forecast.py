"""What a month will have cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from core.forecast import budget_for, daily_costs, forecast_month
from core.records import Budget, CostRow
from core.specs import TIER_LABEL
from tests.make import make_specs

SMALL = next(s for s in make_specs() if s.name == "small")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def rows(per_day: float, last: date, days: int = 31, complete_until: int = 1) -> list[CostRow]:
    """The same cost each day; the last `complete_until` days are not complete."""
    return [
        CostRow(last - timedelta(days=back), "small", "Compute Engine", "s", "TPU7x",
                per_day, 0.0, 1.0, "hour", back >= complete_until)
        for back in range(days)
    ]  # fmt: skip


def test_a_steady_tier_ends_at_its_rate() -> None:
    """20 billed days of $2,400, then $100/h: the month ends at 30 × $2,400."""
    costs = [r for r in rows(2400, NOW.date()) if r.day != NOW.date()]
    found = forecast_month(SMALL, costs, NOW, 100.0)
    assert found.spent_usd == pytest.approx(20.5 * 2400)
    assert found.month_end_usd == pytest.approx(30 * 2400)
    assert found.billed_usd == pytest.approx(20 * 2400)


def test_a_tier_that_began_in_mid_month_costs_nothing_before() -> None:
    """Days that the export has whole without a row of the tier were free, not late."""
    others = [replace(r, tier="medium") for r in rows(500, NOW.date())]
    mine = [r for r in rows(2400, NOW.date()) if date(2026, 11, 17) <= r.day < NOW.date()]
    found = forecast_month(SMALL, [*others, *mine], NOW, 100.0)
    assert found.spent_usd == pytest.approx(4.5 * 2400)
    assert found.month_end_usd == pytest.approx(14 * 2400)
    unpriced = forecast_month(SMALL, [*others, *mine], NOW, None)
    assert unpriced.month_end_usd == pytest.approx(14 * 2400), "not thinned by days before it began"
    late = [r for r in others if r.day >= date(2026, 11, 11)]  # no export before the 11th
    known = forecast_month(SMALL, [*late, *mine], NOW, 100.0)
    assert known.spent_usd == pytest.approx(14.5 * 2400), "what no export covers is estimated"


def test_a_tier_that_was_switched_off_is_not_forecast_at_its_old_rate() -> None:
    """Whole days without a row count as $0 in the mean of the last week."""
    others = [replace(r, tier="medium") for r in rows(500, NOW.date())]
    mine = [r for r in rows(2400, NOW.date()) if r.day <= date(2026, 11, 10)]
    found = forecast_month(SMALL, [*others, *mine], NOW, None)
    assert found.month_end_usd == pytest.approx(10 * 2400)


@pytest.mark.parametrize(
    ("now", "days"),
    [
        (datetime(2026, 12, 1, 0, 0, tzinfo=UTC), 31),
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), 31),
        (datetime(2028, 2, 29, 12, 0, tzinfo=UTC), 29),
        (datetime(2027, 2, 28, 12, 0, tzinfo=UTC), 28),
    ],
)
def test_a_month_has_its_own_days(now: datetime, days: int) -> None:
    """At its first and its last moment, in December and in February of either kind."""
    costs = [r for r in rows(2400, now.date()) if r.day != now.date()]
    found = forecast_month(SMALL, costs, now, 100.0)
    assert found.month_end_usd == pytest.approx(days * 2400)
    assert found.month == now.date().replace(day=1)


def test_without_a_price_the_last_week_counts() -> None:
    """No run rate: the mean of the last seven complete days, and the method says so."""
    found = forecast_month(SMALL, rows(2400, NOW.date()), NOW, None)
    assert found.month_end_usd == pytest.approx(30 * 2400, rel=0.03)
    assert "7 complete billed days" in found.method


def test_the_budget_is_reached_on_a_day() -> None:
    """$59,000 at $2,400 a day are spent on the 25th; a larger budget not this month."""
    costs = [r for r in rows(2400, NOW.date()) if r.day != NOW.date()]
    spec = replace(SMALL, monthly_budget_usd=59_000.0)
    found = forecast_month(spec, costs, NOW, 100.0)
    assert found.reached_on == date(2026, 11, 25)
    assert found.budget_left_usd == pytest.approx(59_000 - 20.5 * 2400)
    roomy = forecast_month(replace(spec, monthly_budget_usd=100_000.0), costs, NOW, 100.0)
    assert roomy.reached_on is None


def test_unread_is_unknown() -> None:
    """Without the export nothing is spent, forecast or reached: all None."""
    found = forecast_month(SMALL, None, NOW, 100.0)
    assert (found.spent_usd, found.month_end_usd, found.reached_on) == (None, None, None)


def test_a_tier_that_never_ran_costs_nothing_so_far() -> None:
    """A tier that is not in the export and costs $0/h ends the month at $0."""
    found = forecast_month(SMALL, [], NOW, 0.0)
    assert (found.spent_usd, found.month_end_usd) == (0.0, 0.0)


def test_the_cloud_budget_beats_the_settings() -> None:
    """A Cloud Billing budget with the tier's label counts; one of another tier does not."""
    mine = Budget("1", "for small", 5.0, (), {TIER_LABEL: "small"}, "MONTH")
    other = Budget("2", "small", 7.0, (), {TIER_LABEL: "medium"}, "MONTH")
    assert budget_for(SMALL, [other, mine]).amount_usd == 5.0
    assert budget_for(SMALL, [other]).source == "settings (monthly_budget_usd)"
    assert budget_for(SMALL, [replace(other, labels={})]).amount_usd == 7.0


@pytest.mark.parametrize("period", ["QUARTER", "YEAR", "custom"])
def test_a_budget_of_another_period_is_no_monthly_budget(period: str) -> None:
    """A year's amount beside a month's cost would hide that the month is overspent."""
    found = budget_for(SMALL, [Budget("1", "small", 5.0, (), {TIER_LABEL: "small"}, period)])
    assert found.source == "settings (monthly_budget_usd)"


def test_a_day_is_complete_when_all_its_rows_are() -> None:
    """One late row makes the day incomplete; credits count."""
    first = rows(10, NOW.date(), 1, 0)[0]
    days = daily_costs([first, replace(first, credits_usd=-4.0, complete=False)], "small")
    assert days == {NOW.date(): (16.0, False)}


def test_what_runs_without_a_row_has_not_cost_nothing() -> None:
    """Switched on today, rows come hours late: what it cost is unknown, not $0; its rate counts."""
    found = forecast_month(SMALL, [], NOW, 110_592.0)
    assert (found.billed_usd, found.spent_usd, found.budget_left_usd) == (0, None, None)
    assert found.month_end_usd is not None
    assert found.month_end_usd > 1e6
    assert found.reached_on is not None
    assert "only from now on" in found.method
