"""permission_missing, too_large_change, over_ceiling, alone_in_production, and the budget's end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.guards import (
    alone_in_production,
    over_budget,
    over_ceiling,
    permission_missing,
    stale_data,
    too_large_change,
)
from core.guards.context import Limits
from core.plans import CostChange, Outcome, Request, Verdict
from core.records import Source
from tests.core.guards.conftest import make_step
from tests.make import make_failure, make_snapshot

Judged = Callable[..., Verdict]
NEEDED = ("container.clusters.update", "container.operations.get")


def test_a_missing_permission_is_named(judged: Judged) -> None:
    """What the identity lacks blocks by name; what could not be asked is told."""
    held = dict.fromkeys(NEEDED, True)
    assert judged(permission_missing.judge, facts={"permissions": held}).outcome is Outcome.PASS
    lacking = {**held, NEEDED[0]: False}
    verdict = judged(permission_missing.judge, facts={"permissions": lacking})
    assert verdict.outcome is Outcome.BLOCK
    assert verdict.reason.endswith("lacks container.clusters.update")
    unknown = judged(permission_missing.judge)
    assert unknown.outcome is Outcome.PASS  # one call: refused, it changes nothing
    assert "is not known" in unknown.reason
    steps = tuple(make_step("x.y", f"a/{i}", {"v": 1}, {"v": 2}) for i in range(2))
    verdict = judged(permission_missing.judge, change={"steps": steps})
    assert verdict.outcome is Outcome.CONSENT  # refused half way, it would leave a half


@pytest.mark.parametrize(
    ("delta", "outcome"), [(-32, Outcome.PASS), (-33, Outcome.CONSENT), (40, Outcome.CONSENT)]
)
def test_more_than_half_at_once_is_asked_about(
    judged: Judged, delta: int, outcome: Outcome
) -> None:
    """64 ready slices: up to 32 at once, either way."""
    verdict = judged(too_large_change.judge, delta)
    assert verdict.outcome is outcome
    assert "64 ready" in verdict.arithmetic[0]


def test_the_share_of_an_unknown_whole_is_asked_about(judged: Judged) -> None:
    """Readiness unknown: a removal is asked about, an addition harms nothing."""
    blind = replace(make_snapshot(), hosts=None)
    assert judged(too_large_change.judge, -1, snapshot=blind).outcome is Outcome.CONSENT
    assert judged(too_large_change.judge, 1, snapshot=blind).outcome is Outcome.PASS
    assert judged(alone_in_production.judge, -1, snapshot=blind).outcome is Outcome.APPROVAL


def cost(before: float | None, after: float | None) -> dict[str, CostChange]:
    """A plan's change of cost."""
    return {"cost": CostChange(before, after, "list", "a price")}


@pytest.mark.parametrize(
    ("after", "ceiling", "outcome"),
    [
        (2999.0, None, Outcome.PASS),
        (3001.0, None, Outcome.APPROVAL),
        (3001.0, 3000.0, Outcome.BLOCK),
    ],
)
def test_spending_above_a_ceiling(
    judged: Judged, after: float, ceiling: float | None, outcome: Outcome
) -> None:
    """$2,000/h more needs a second person; a hard ceiling holds for everybody."""
    facts = {"limits": Limits(ceiling_usd_per_hour=ceiling)}
    verdict = judged(over_ceiling.judge, 1, change=cost(1000.0, after), facts=facts)
    assert verdict.outcome is outcome


def test_the_largest_tier_needs_a_second_person(judged: Judged) -> None:
    """$110,592/h is $2,654,208 per day, which nobody decides on alone."""
    change = {"request": Request("provision_tier", "large", {}), **cost(0.0, 110_592.0)}
    verdict = judged(over_ceiling.judge, 1, change=change)
    assert verdict.outcome is Outcome.APPROVAL
    assert "$110,592/h more ($2,654,208 per day)" in verdict.reason


def test_an_unknown_cost_is_asked_about(judged: Judged) -> None:
    """No ceiling can be held against a figure that nobody knows."""
    verdict = judged(over_ceiling.judge, 1, change=cost(1000.0, None))
    assert verdict.outcome is Outcome.CONSENT
    assert judged(over_ceiling.judge, -1, change=cost(1000.0, 900.0)).outcome is Outcome.PASS


def test_a_budget_that_lasts_minutes_blocks_and_says_how_many(judged: Judged) -> None:
    """$10,000 at $3,120/h: 192 minutes, which is told."""
    snapshot = make_snapshot()
    budgets = tuple(replace(b, amount_usd=10_000.0) for b in snapshot.budgets or ())
    fresh = replace(snapshot, budgets=budgets, costs=())
    verdict = judged(over_budget.judge, 1, snapshot=fresh)
    assert verdict.outcome is Outcome.BLOCK
    assert verdict.reason == "at $3,120/h the $10,000 left would last 192 minutes"
    slower = judged(over_budget.judge, 1, snapshot=fresh, change=cost(40.0, 48.0))
    assert slower.outcome is Outcome.CONSENT  # it lasts nine days, but not the month


def test_a_months_end_of_many_budgets_blocks(judged: Judged) -> None:
    """Three times the budget by the end of the month is no matter of a tick."""
    snapshot = make_snapshot()
    budgets = tuple(replace(b, amount_usd=3.0e6) for b in snapshot.budgets or ())
    verdict = judged(
        over_budget.judge, 1, snapshot=replace(snapshot, budgets=budgets),
        change=cost(3072.0, 30_000.0), facts={"limits": Limits(budget_must_last_h=1)},
    )  # fmt: skip
    assert verdict.outcome is Outcome.BLOCK
    assert "× the $3,000,000" in verdict.reason


@pytest.mark.parametrize(
    ("tier", "action", "delta", "outcome"),
    [
        ("small", "scale_tier", -1, Outcome.PASS),
        ("small", "scale_tier", -40, Outcome.APPROVAL),
        ("small", "scale_tier", 40, Outcome.PASS),
        ("small", "tear_down_tier", -1, Outcome.APPROVAL),
        ("dev", "tear_down_tier", -1, Outcome.PASS),
        ("", "tear_down_all", -1, Outcome.APPROVAL),
    ],
)
def test_production_is_not_ended_alone(
    judged: Judged, tier: str, action: str, delta: int, outcome: Outcome
) -> None:
    """Ending a production tier, or most of it, needs a second person; dev does not."""
    step = make_step("gke.delete_node_pool", "nodePools/a", {"node_count": 1}, {})
    change = {
        "request": Request(action, tier, {}),
        "slice_delta": delta,
        **({"steps": (step,)} if action.startswith("tear") else {}),
    }
    verdict = judged(alone_in_production.judge, change=change)
    assert verdict.outcome is outcome, verdict


def test_a_plan_names_the_sources_that_it_rests_on(judged: Judged) -> None:
    """Only those must be fresh; one that is read hourly may be as old as two reads."""
    unread = make_failure(make_snapshot(), Source.LOAD, keep=False)
    only = {"sources": ("load_balancer", "budgets")}
    verdict = judged(stale_data.judge, snapshot=unread, change=only)
    assert verdict.outcome is Outcome.PASS
    assert verdict.arithmetic[1].endswith("(limit 7,200 s)")
