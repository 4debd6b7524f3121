"""Records of prices, costs and budgets, in US dollars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from core.inventory import Labels

COMPUTE = "Compute Engine"
VERTEX = "Vertex AI"
MONTH = "MONTH"  # `Budget.period` of a calendar month


class PriceBasis(StrEnum):
    """Where a money figure comes from; shown beside every one."""

    LIST = "list"  # catalogue price × what runs now
    ESTIMATED = "estimated"  # forecast or extrapolated
    BILLED = "billed"  # from the billing export
    CONFIGURED = "configured"  # the user's own price for hardware that nobody bills


@dataclass(frozen=True, slots=True)
class Price:
    """A catalogue SKU's price for one chip-hour (USD)."""

    sku_id: str
    description: str
    generation: str
    region: str
    usage_type: str  # OnDemand, Preemptible, Commit1Yr …
    usd_per_chip_hour: float
    effective_at: datetime | None
    product: str = COMPUTE  # whose catalogue: COMPUTE or VERTEX


@dataclass(frozen=True, slots=True)
class CostRow:
    """One day's cost of one SKU in one tier, from the billing export.

    `tier` "" : the rows carry no tier label (unassigned). `net_usd` = cost + credits (negative).
    `complete` False: late rows may still come for that day.
    """

    day: date
    tier: str
    service: str
    sku_id: str
    sku: str
    cost_usd: float
    credits_usd: float
    usage: float
    usage_unit: str
    complete: bool = True

    @property
    def net_usd(self) -> float:
        """Cost after credits, USD."""
        return self.cost_usd + self.credits_usd


@dataclass(frozen=True, slots=True)
class Budget:
    """A Cloud Billing budget. Spend is not part of the API; it comes from `CostRow`s.

    `period`: MONTH, QUARTER, YEAR, or "custom" for fixed dates. `etag` tells whether it changed.
    """

    id: str
    display_name: str
    amount_usd: float | None  # None: "last period's amount"
    threshold_ratios: tuple[float, ...]
    labels: Labels
    period: str
    etag: str = ""
