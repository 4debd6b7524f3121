"""What the bill says beside what the catalogue says, for the same usage; and totals of cost rows.

Only complete days count: on a day for which rows may still come, the two differ for that reason
alone. What runs now is `core/pricing.py`, what will be `core/forecast.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from core.records import CostRow, Price


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One SKU of one tier over the complete days.

    Attributes:
        usage: billed usage in `unit`.
        list_usd: usage × catalogue price; None: the catalogue has no price for the SKU.
        billed_usd: cost before credits; `credits_usd` is negative.
        difference_ratio: billed ÷ list − 1; None without a list price.
    """

    tier: str
    sku_id: str
    sku: str
    days: int
    usage: float
    unit: str
    list_usd: float | None
    billed_usd: float
    credits_usd: float
    difference_ratio: float | None


def reconcile(costs: Iterable[CostRow], prices: Sequence[Price] | None) -> tuple[Reconciled, ...]:
    """Per tier and SKU, dearest first."""
    groups: dict[tuple[str, str], list[CostRow]] = defaultdict(list)
    for row in costs:
        if row.complete:
            groups[row.tier, row.sku_id].append(row)
    by_sku = {p.sku_id: p.usd_per_chip_hour for p in prices or ()}
    found = (_reconciled(tier, rows, by_sku.get(sku_id)) for (tier, sku_id), rows in groups.items())
    return tuple(sorted(found, key=lambda r: -r.billed_usd))


def _reconciled(tier: str, rows: Sequence[CostRow], price: float | None) -> Reconciled:
    usage = sum(r.usage for r in rows)
    billed = sum(r.cost_usd for r in rows)
    listed = None if price is None else usage * price
    return Reconciled(
        tier=tier,
        sku_id=rows[0].sku_id,
        sku=rows[0].sku,
        days=len({r.day for r in rows}),
        usage=usage,
        unit=rows[0].usage_unit,
        list_usd=listed,
        billed_usd=billed,
        credits_usd=sum(r.credits_usd for r in rows),
        difference_ratio=None if not listed else billed / listed - 1,
    )


def net_by_day(costs: Iterable[CostRow], *, by_sku: bool) -> dict[str, dict[date, float]]:
    """Net USD per tier ("" : unassigned) or per SKU name, and day."""
    totals: dict[str, dict[date, float]] = defaultdict(lambda: defaultdict(float))
    for row in costs:
        totals[row.sku if by_sku else row.tier][row.day] += row.net_usd
    return {name: dict(days) for name, days in totals.items()}


def open_days(costs: Iterable[CostRow]) -> frozenset[date]:
    """Days for which rows may still come."""
    return frozenset(row.day for row in costs if not row.complete)
