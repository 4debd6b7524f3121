"""What 9,216 chips cost beside a budget: the large tier's, and $10,000 for the whole project."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core import guards
from core.actions import PlanContext, make_plan
from core.fleet import assemble_fleet
from core.guards import GuardContext
from core.guards.context import Limits
from core.money import Budget
from core.plans import Outcome, Plan, Request, Verdict
from core.records import Snapshot
from tests.make import NOW, make_snapshot

SHARED = Budget("b", "heartwood project", 10_000.0, (0.5, 0.8, 1.0), {}, "MONTH")


def empty(*budgets: Budget) -> Snapshot:
    """A project with nothing in it but these budgets; prices are known."""
    return replace(make_snapshot("empty"), budgets=budgets)


def provision(snapshot: Snapshot, tier: str) -> Plan:
    """The plan that makes a tier as it is configured."""
    context = PlanContext("p", billing_account="billingAccounts/0-1-2", resources={})
    return make_plan(snapshot, Request("provision_tier", tier, {}), NOW, context)


def judged(plan: Plan, snapshot: Snapshot, now: datetime = NOW) -> dict[str, Verdict]:
    """All verdicts by guard."""
    context = GuardContext(now, assemble_fleet(snapshot), 1.3, 120, limits=Limits())
    return {v.guard: v for v in guards.judge(plan, snapshot, context)}


def test_the_large_plan_tells_its_price_and_needs_a_second_person() -> None:
    """$110,592/h, $2,654,208 a day, and the hour at which its $82,000,000 would be spent."""
    snapshot = empty()
    plan = provision(snapshot, "large")
    assert "$0.00/h → $110,592.00/h, $0 → $2,654,208 a day" in plan.cost.sentence
    found = judged(plan, snapshot)
    assert found["over_ceiling"].outcome is Outcome.APPROVAL
    assert "$110,592/h more ($2,654,208 per day)" in found["over_ceiling"].reason
    lines = " ".join(found["over_budget"].arithmetic)
    assert "at $110,592/h, $2,654,208 a day, the $82,000,000 left of a month's budget is" in lines
    first = datetime(2026, 11, 1, tzinfo=UTC)
    (spent,) = [
        line
        for line in judged(provision(snapshot, "large"), snapshot, first)["over_budget"].arithmetic
        if "is spent on" in line
    ]
    assert "01 December 21:" in spent  # 741.46 hours later


@pytest.mark.parametrize(
    ("tier", "rate", "span"),
    [("small", "3,072", "195 minutes"), ("medium", "12,288", "49 minutes"),
     ("large", "110,592", "5 minutes")],
)  # fmt: skip
def test_ten_thousand_dollars_block_every_tpu7x_plan(tier: str, rate: str, span: str) -> None:
    """Each by the minutes that the whole project's budget would last."""
    snapshot = empty(SHARED)
    verdict = judged(provision(snapshot, tier), snapshot)["project_over_budget"]
    assert verdict.outcome is Outcome.BLOCK
    assert f"at ${rate}/h the $10,000 left of heartwood project would last {span}" == verdict.reason
    assert verdict.lift == "raise the budget"


def test_a_tiers_own_budget_is_not_the_projects() -> None:
    """One with a tier's label or name is left to the other guard; a spent one blocks at once."""
    named = replace(SHARED, display_name="heartwood small")
    labelled = replace(SHARED, labels={"heartwood-tier": "small"})
    snapshot = empty(named, labelled)
    plan = provision(snapshot, "medium")
    assert judged(plan, snapshot)["project_over_budget"].outcome is Outcome.PASS
    unread = replace(snapshot, budgets=None)
    assert judged(plan, unread)["project_over_budget"].outcome is Outcome.PASS
    costly = replace(make_snapshot(), budgets=(SHARED,))
    verdict = judged(provision(costly, "large"), costly)["project_over_budget"]
    assert verdict.outcome is Outcome.BLOCK
    assert "is spent" in verdict.reason
    ample = empty(replace(SHARED, amount_usd=1e12))
    assert judged(provision(ample, "large"), ample)["project_over_budget"].outcome is Outcome.PASS
