"""The budgets as they stand: an amount per tier, told by the tier label."""

from __future__ import annotations

import uuid
from typing import Any, Final

from google.cloud.billing import budgets_v1

from emulator.scenario import TIER_LABEL, Project, TierSeed

# US dollars a month, near each tier's run rate at list price.
AMOUNTS: Final = {"small": 2_300_000, "medium": 9_200_000, "large": 82_000_000, "dev": 16_500}
THRESHOLDS: Final = (0.5, 0.8, 1.0)


def budgets(project: Project, tiers: tuple[TierSeed, ...]) -> list[Any]:
    """All budgets of the billing account, in the tiers' order."""
    return [_budget(project, tier.name) for tier in tiers if tier.name in AMOUNTS]


def _budget(project: Project, tier: str) -> Any:
    number = uuid.uuid5(uuid.NAMESPACE_DNS, f"{tier}.{project.id}")
    kind = budgets_v1.ThresholdRule.Basis.CURRENT_SPEND
    return budgets_v1.Budget(
        name=f"billingAccounts/{project.billing_account}/budgets/{number}",
        display_name=f"heartwood {tier}",
        budget_filter={
            "projects": [f"projects/{project.number}"],
            "labels": {TIER_LABEL: [tier]},
            "credit_types_treatment": "INCLUDE_ALL_CREDITS",
            "calendar_period": budgets_v1.CalendarPeriod.MONTH,
        },
        amount={"specified_amount": {"currency_code": "USD", "units": AMOUNTS[tier]}},
        threshold_rules=[{"threshold_percent": t, "spend_basis": kind} for t in THRESHOLDS],
        etag=str(number)[:8],
    )
