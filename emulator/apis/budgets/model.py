"""The budgets as they stand: at first an amount per tier, told by the tier label."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from google.cloud.billing import budgets_v1

from emulator.context import Cloud
from emulator.scenario import TIER_LABEL, Project, TierSeed
from emulator.wire.etags import etag_of

# US dollars a month, near each tier's run rate at list price.
AMOUNTS: Final = {"small": 2_300_000, "medium": 9_200_000, "large": 82_000_000, "dev": 16_500}
THRESHOLDS: Final = (0.5, 0.8, 1.0)


@dataclass
class BudgetState:
    """Budgets by full name, in the order in which they were made; `made` counts callers' own."""

    budgets: dict[str, Any] = field(default_factory=dict)
    made: int = 0


def budget_state(cloud: Cloud) -> BudgetState:
    """The one instance."""
    found = budgets(cloud.project, cloud.scenario.tiers)
    if cloud.scenario.project_budget_usd is not None:
        found.append(_whole(cloud.project, cloud.scenario.project_budget_usd))
    return cloud.store(BudgetState, lambda: BudgetState({b.name: b for b in found}))


def sealed(budget: Any) -> Any:
    """The budget with the etag of its contents."""
    budget.etag = ""
    plain = budgets_v1.Budget.pb(budget)
    budget.etag = etag_of(plain.SerializeToString(deterministic=True))
    return budget


def budgets(project: Project, tiers: tuple[TierSeed, ...]) -> list[Any]:
    """All budgets of the billing account, in the tiers' order."""
    known = [tier.name for tier in tiers if tier.name in AMOUNTS]
    return [_budget(project, name, AMOUNTS[name]) for name in known]


def _whole(project: Project, amount_usd: int) -> Any:
    """A budget without a tier's label: of all that the project costs."""
    found = _budget(project, "project", amount_usd)
    del found.budget_filter.labels[TIER_LABEL]
    return sealed(found)


def _budget(project: Project, tier: str, amount_usd: int) -> Any:
    number = uuid.uuid5(uuid.NAMESPACE_DNS, f"{tier}.{project.id}")
    kind = budgets_v1.ThresholdRule.Basis.CURRENT_SPEND
    found = budgets_v1.Budget(
        name=f"billingAccounts/{project.billing_account}/budgets/{number}",
        display_name=f"heartwood {tier}",
        budget_filter={
            "projects": [f"projects/{project.number}"],
            "labels": {TIER_LABEL: [tier]},
            "credit_types_treatment": "INCLUDE_ALL_CREDITS",
            "calendar_period": budgets_v1.CalendarPeriod.MONTH,
        },
        amount={"specified_amount": {"currency_code": "USD", "units": amount_usd}},
        threshold_rules=[{"threshold_percent": t, "spend_basis": kind} for t in THRESHOLDS],
    )
    return sealed(found)
