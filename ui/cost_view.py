"""The Cost page's panels: totals, days by tier or SKU, budgets, dollars per token, reconciliation.

The money is derived in `core/pricing.py`, `core/forecast.py` and `core/reconciliation.py`; every
figure is drawn with where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time

import streamlit as st

from core.forecast import Forecast
from core.pricing import token_cost
from core.reconciliation import net_by_day, open_days, reconcile
from core.records import CostRow, Source
from core.series import Annotation, Window
from ui import access, charts, formats, history, palette, states, tables, view
from ui.derived import Derived

_COSTS = (Source.COSTS,)
_UNASSIGNED = "unassigned"
_MAX_STACKS = 8
_DAY_S = 86_400


def _chosen_costs() -> Sequence[CostRow] | None:
    """Cost rows of the shown tiers; None: the export was never read."""
    costs = access.snapshot().costs
    chosen = view.current().tier
    return costs if costs is None or chosen is None else [c for c in costs if c.tier == chosen]


def totals() -> None:
    """The rate now, today so far, this month and its forecast."""
    derived = access.derived()
    snapshot = derived.snapshot
    chosen = view.current().tier
    rate = derived.rate if chosen is None else derived.rates[chosen]
    billed_tiers = {spec.name for spec in snapshot.specs if spec.generation is not None}
    forecasts = [derived.forecasts[t] for t in billed_tiers if chosen in (None, t)]
    no_price = _no_price(derived, chosen)
    no_bill = formats.UNKNOWN if forecasts else formats.NOT_PRICED
    spent, at_end = (
        _whole(f.spent_usd for f in forecasts), _whole(f.month_end_usd for f in forecasts),
    )  # fmt: skip
    figures = (
        _figure("Per hour", rate.basis.value, rate.usd_per_hour, no_price),
        _figure("Per day", rate.basis.value, rate.usd_per_day, no_price),
        _today(no_bill),
        _figure("This month", "billed + est.", spent, no_bill),
        _figure("Month's end", "estimated", at_end, no_bill),
    )
    fresh = states.freshness(snapshot.sources, (Source.PRICES, Source.COSTS), access.now())
    states.heading("Now and this month (UTC)", fresh)
    with st.grid(len(figures), min_column_width=150, gap="small", key="cost_totals"):
        for label, value in figures:
            st.metric(label, value)
    st.caption(
        "Today's bill is not whole: the export brings rows hours late, so what is billed so far "
        f"is less than what was used. The month's figures are the tiers' alone, without what is "
        f"unassigned. Rate: {formats.plain(rate.source)}."
    )


def _figure(label: str, basis: str, usd: float | None, none: str) -> tuple[str, str]:
    """Label and words; what there is no figure of has no basis either."""
    return (label if usd is None else f"{label} :gray[· {basis}]"), formats.money(usd, none)


def _today(no_bill: str) -> tuple[str, str]:
    """What the export has of today; a day without a row is not a day without cost."""
    costs = _chosen_costs()
    today = access.now().date()
    amounts = [c.net_usd for c in costs or () if c.day == today]
    if not amounts and costs is not None and no_bill != formats.NOT_PRICED:
        no_bill = "no rows yet"
    return _figure("Today so far", "billed", sum(amounts) if amounts else None, no_bill)


def _whole(amounts: Iterable[float | None]) -> float | None:
    """The sum; None when one is unknown or there is none: a part must not pass for the whole."""
    found = tuple(amounts)
    known = tuple(a for a in found if a is not None)
    return sum(known) if known and len(known) == len(found) else None


def _no_price(derived: Derived, tier: str | None) -> str:
    """What stands for a missing rate of that tier, or of all of them together."""
    words = [derived.price_word(s) for s in derived.snapshot.specs if tier in (None, s.name)]
    return formats.UNKNOWN if formats.UNKNOWN in words else formats.NOT_PRICED


def days() -> None:
    """31 days as stacked bars."""
    snapshot = access.snapshot()
    fresh = states.freshness(snapshot.sources, _COSTS, access.now())
    title = "Billed per day, net of credits"
    with states.panel(title, fresh, "31 days", key="panel_days"):
        costs = _chosen_costs()
        if costs is None:
            states.show_missing(snapshot.sources, _COSTS, height=260)
            return
        by = st.segmented_control(
            "Stack", ["by tier", "by SKU"], default="by tier", required=True, key="stack",
            bind="query-params", label_visibility="collapsed",
        ).removeprefix("by ")  # fmt: skip
        if not costs:
            states.show_empty("Nothing was billed", "The export has no row for the chosen tiers.")
            return
        by_sku = by == "SKU"
        totals_by = net_by_day(costs, by_sku=by_sku)
        labels = sorted({c.day for c in costs})
        may_grow = open_days(costs)
        stacks = _stacks(totals_by, labels, may_grow, by_sku=by_sku)
        charts.stacked_bars(
            labels,
            stacks,
            "USD",
            key=f"days_{by}",
            alt=f"Billed cost per day by {by}",
            annotations=_happened(labels[0]),
        )
        if may_grow:
            st.caption(
                f"Hatched: rows may still come for {formats.plural(len(may_grow), 'day')} "
                f"(from {min(may_grow):%d %b})."
            )
        tables.download(
            [
                {"day": d, by or "tier": name or _UNASSIGNED, "net_usd": round(usd, 2),
                 "complete": d not in may_grow}
                for name, per_day in totals_by.items()
                for d, usd in sorted(per_day.items())
            ],
            f"cost-by-{by}", key="days_csv",
        )  # fmt: skip


def _happened(first: date) -> Sequence[Annotation]:
    """What was done to the shown tiers since that day."""
    start = datetime.combine(first, time(), UTC)
    return history.shown_annotations(Window(start, access.now(), step_s=_DAY_S))


def _stacks(
    totals_by: dict[str, dict[date, float]],
    labels: Sequence[date],
    may_grow: frozenset[date],
    *,
    by_sku: bool,
) -> list[charts.Stack]:
    """Dearest first; beyond eight the rest is one stack."""
    names = sorted(totals_by, key=lambda n: -sum(totals_by[n].values()))
    specs = access.snapshot().specs
    titles = {} if by_sku else {s.name: s.title for s in specs}
    colours = palette.tier_colours([s.name for s in specs])
    series = palette.current().series
    faded = [d in may_grow for d in labels]
    stacks: list[charts.Stack] = []
    for i, name in enumerate(names[:_MAX_STACKS]):
        colour = series[i % len(series)] if by_sku else colours.get(name, series[-1])
        values = [totals_by[name].get(d) for d in labels]
        stacks.append(charts.Stack(titles.get(name, name) or _UNASSIGNED, values, colour, faded))
    rest = names[_MAX_STACKS:]
    if rest:
        sums = [sum(totals_by[n].get(d, 0.0) for n in rest) for d in labels]
        stacks.append(charts.Stack(f"{len(rest)} others", sums, series[-1], faded))
    return stacks


def budgets() -> None:
    """A row per tier: budget, spent, expected by the month's end, the day it is reached."""
    derived = access.derived()
    snapshot = derived.snapshot
    wanted = (Source.BUDGETS, Source.COSTS)
    fresh = states.freshness(snapshot.sources, wanted, access.now())
    with states.panel("Budgets this month (UTC)", fresh):
        rows: list[tables.Row] = []
        for spec in snapshot.specs:
            forecast = derived.forecasts[spec.name]
            if not view.current().shows(spec.name):
                continue
            amount = forecast.budget.amount_usd
            if amount is None and spec.is_local:
                continue
            used = None
            if amount and forecast.spent_usd is not None:
                used = forecast.spent_usd / amount
            rows.append(
                {
                    "Tier": spec.title,
                    "Budget": formats.money(amount, "none set"),
                    "Used": used,
                    "Billed": formats.money(forecast.billed_usd),
                    "Spent (est.)": formats.money(forecast.spent_usd),
                    "Month's end (est.)": formats.money(forecast.month_end_usd),
                    "80% interval": _interval(forecast.low_usd, forecast.high_usd),
                    "Reached on": _reached(forecast),
                    "Budget from": forecast.budget.source,
                    "Method": forecast.method,
                }
            )
        tables.table(
            rows,
            key="cost-budgets",
            alt="Budgets with spend and forecast",
            paged=False,
            empty="No budget for the chosen tiers",
            config={
                "Tier": st.column_config.TextColumn("Tier", pinned=True),
                "Used": tables.share("Used", "spent (estimated) ÷ budget"),
            },
        )


def _reached(forecast: Forecast) -> str:
    if forecast.reached_on is not None:
        return f"{forecast.reached_on:%d %b}"
    return formats.UNKNOWN if forecast.month_end_usd is None else "not this month"


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return formats.UNKNOWN
    return f"{formats.money(low)} – {formats.money(high)}"


def tokens() -> None:
    """Dollars per million tokens at the rate and load of now."""
    derived = access.derived()
    snapshot = derived.snapshot
    fresh = states.freshness(snapshot.sources, (Source.PRICES, Source.LOAD), access.now())
    with states.panel("USD per million tokens", fresh, note="list rate ÷ tokens/s now"):
        rows: list[tables.Row] = []
        for spec in snapshot.specs:
            if not view.current().shows(spec.name):
                continue
            rate = derived.rates[spec.name]
            tier = derived.fleet.tier(spec.name)
            cost = token_cost(tier, rate, (snapshot.loads or {}).get(spec.name))
            not_known = derived.price_word(spec) if rate.usd_per_hour is None else formats.UNKNOWN
            rows.append(
                {
                    "Tier": spec.title,
                    "Model": spec.model,
                    "Blended": formats.money(cost.blended_usd, not_known),
                    "Generated only": formats.money(cost.generation_usd, not_known),
                    "From": cost.source,
                }
            )
        tables.table(rows, key="cost-tokens", alt="USD per million tokens by tier", paged=False)


def reconciliation() -> None:
    """List price beside the bill for the complete days."""
    snapshot = access.snapshot()
    wanted = (Source.COSTS, Source.PRICES)
    fresh = states.freshness(snapshot.sources, wanted, access.now())
    with states.panel("Catalogue against bill", fresh, note="complete days only"):
        costs = _chosen_costs()
        if costs is None:
            states.show_missing(snapshot.sources, wanted)
            return
        titles = {s.name: s.title for s in snapshot.specs}
        tables.table(
            [
                {
                    "Tier": titles.get(r.tier, r.tier) or _UNASSIGNED,
                    "SKU": r.sku,
                    "SKU id": r.sku_id,
                    "Days": r.days,
                    "Usage": round(r.usage, 1),
                    "Unit": r.unit,
                    "At list price": formats.money_exact(r.list_usd, formats.NOT_PRICED),
                    "Billed": formats.money_exact(r.billed_usd),
                    "Credits": formats.money_exact(r.credits_usd),
                    "Billed vs list": _signed(r.difference_ratio),
                }
                for r in reconcile(costs, snapshot.prices)
            ],
            key="cost-reconciliation",
            alt="List price against billed cost per SKU",
            empty="No complete day has been billed",
            config={"Usage": st.column_config.NumberColumn("Usage", format="%,.1f")},
        )


def _signed(difference: float | None) -> str:
    if difference is None:
        return "–"
    if abs(difference) < 0.0005:
        return "the same"
    return f"{difference * 100:+.1f}%".replace("-", "−")
