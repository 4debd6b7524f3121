"""legal_size, over_budget, price_known, stale_data, action_in_progress, and all together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from core import guards
from core.actions import PlanContext, make_plan
from core.errors import Blocked, Unconfirmed
from core.fleet import assemble_fleet
from core.guards import (
    action_in_progress,
    autoscaler_moves,
    legal_size,
    over_budget,
    price_known,
    stale_data,
)
from core.guards.context import GuardContext, Running
from core.plans import CostChange, Outcome, Plan, Request, Verdict
from core.records import NodePool, Snapshot, Source
from tests.core.guards.conftest import demand
from tests.make import NOW, make_failure, make_snapshot

Judged = Callable[..., Verdict]


def test_a_legal_size_passes(judged: Judged) -> None:
    """2x2x1 in us-central1-c is legal and 63 slices are within the configured 64."""
    verdict = judged(legal_size.judge)
    assert verdict.outcome is Outcome.PASS
    assert "63 of 64" in verdict.reason


def test_more_than_configured_needs_consent(judged: Judged) -> None:
    """65 slices of a tier configured for 64."""
    assert judged(legal_size.judge, 1).outcome is Outcome.CONSENT


def test_too_many_nodes_for_a_pool_block(judged: Judged) -> None:
    """More than 1,000 nodes in one pool is more than GKE allows."""
    assert judged(legal_size.judge, 3000).outcome is Outcome.BLOCK


@pytest.mark.parametrize(("field", "value"), [("topology", "2x2x3"), ("zone", "us-central1-a")])
def test_an_illegal_shape_or_zone_blocks(judged: Judged, field: str, value: str) -> None:
    """The reason names what is legal."""
    snapshot = make_snapshot()
    specs = tuple(replace(s, **{field: value}) if s.name == "small" else s for s in snapshot.specs)
    verdict = judged(legal_size.judge, 1, snapshot=replace(snapshot, specs=specs))
    assert verdict.outcome is Outcome.BLOCK
    assert "us-central1-c" in verdict.reason or "nearest legal" in verdict.reason


def test_a_known_price_passes_and_an_unknown_one_blocks_growth(judged: Judged) -> None:
    """Growth at an unknown price is blocked; giving back is warned about only."""
    assert judged(price_known.judge).outcome is Outcome.PASS
    unpriced = replace(make_snapshot(), prices=None)
    assert judged(price_known.judge, 1, snapshot=unpriced).outcome is Outcome.BLOCK
    assert judged(price_known.judge, -1, snapshot=unpriced).outcome is Outcome.WARN


def test_what_lifts_an_unknown_price_is_named(judged: Judged) -> None:
    """A catalogue that was not read; a price that it lacks, and for spot chips the way around."""
    snapshot = make_snapshot()
    unread = judged(price_known.judge, 1, snapshot=replace(snapshot, prices=None))
    assert unread.lift == "the price catalogue must be readable (see Connections)"
    cost = CostChange(21.6, None, "list", "not priced: v6e preemptible: not in the catalogue")
    lacking = judged(price_known.judge, change={"cost": cost})
    assert lacking.lift == "a SKU for that chip, region and use in Cloud Billing's catalogue"
    spot = Request("provision_tier", "dev", {"spot": True})
    found = judged(price_known.judge, change={"cost": cost, "request": spot, "slice_delta": 1})
    assert found.outcome is Outcome.BLOCK
    assert found.lift.endswith("or leave out spot, where the price on demand is known")


def test_spending_less_is_within_any_budget(judged: Judged) -> None:
    """A removal passes, also when its price is unknown."""
    assert judged(over_budget.judge).outcome is Outcome.PASS
    unpriced = replace(make_snapshot(), prices=None)
    assert judged(over_budget.judge, snapshot=unpriced).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("budget_usd", "outcome"),
    [(1e9, Outcome.PASS), (2.0e6, Outcome.CONSENT), (1e5, Outcome.BLOCK)],
)
def test_budgets_pass_ask_or_block(judged: Judged, budget_usd: float, outcome: Outcome) -> None:
    """Within the budget passes, passed by the forecast asks, spent already blocks."""
    snapshot = make_snapshot()
    budgets = tuple(replace(b, amount_usd=budget_usd) for b in snapshot.budgets or ())
    verdict = judged(over_budget.judge, 1, snapshot=replace(snapshot, budgets=budgets))
    assert verdict.outcome is outcome
    assert any("spent this month" in line for line in verdict.arithmetic)


def test_no_budget_is_said(judged: Judged) -> None:
    """Growth without a budget is warned about."""
    snapshot = replace(make_snapshot(), budgets=())
    specs = tuple(replace(s, monthly_budget_usd=None) for s in snapshot.specs)
    verdict = judged(over_budget.judge, 1, snapshot=replace(snapshot, specs=specs))
    assert verdict.outcome is Outcome.WARN


def test_fresh_data_passes(judged: Judged) -> None:
    """All needed sources read six seconds ago."""
    assert judged(stale_data.judge).outcome is Outcome.PASS


def test_old_or_missing_data_blocks(judged: Judged) -> None:
    """Older than the limit, or never read: blocked, with the source named."""
    verdict = judged(stale_data.judge, now=NOW + timedelta(seconds=300))
    assert verdict.outcome is Outcome.BLOCK
    unread = make_failure(make_snapshot(), Source.LOAD, keep=False)
    assert "load never read" in judged(stale_data.judge, snapshot=unread).reason


def test_a_source_that_just_failed_warns(judged: Judged) -> None:
    """Young enough, but failing now."""
    snapshot = make_failure(make_snapshot(), Source.KUBE, for_s=30)
    assert judged(stale_data.judge, snapshot=snapshot).outcome is Outcome.WARN


def test_one_action_per_tier(judged: Judged) -> None:
    """Another intent on the same tier blocks, one on another tier does not."""
    mine = Running("i1", "small", "Remove 1", "running")
    assert judged(action_in_progress.judge, running=(mine,)).outcome is Outcome.BLOCK
    other = replace(mine, tier="medium")
    assert judged(action_in_progress.judge, running=(other,)).outcome is Outcome.PASS
    reaching = replace(other, locked=("medium", "small"))
    assert judged(action_in_progress.judge, running=(reaching,)).outcome is Outcome.BLOCK


def test_nobody_is_sent_to_a_tier_that_is_being_changed() -> None:
    """What gets more requests is concerned as well as what gives them; what gets none is not."""
    snapshot = make_snapshot()
    plan = make_plan(
        snapshot, Request("fail_over", "small", {"to": "medium"}), NOW, PlanContext("demo")
    )
    for tier, outcome in (("medium", Outcome.BLOCK), ("large", Outcome.PASS)):
        running = (Running("i1", tier, "Tear down", "running"),)
        context = GuardContext(NOW, assemble_fleet(snapshot), 1.3, 120.0, running=running)
        assert action_in_progress.judge(plan, snapshot, context).outcome is outcome


def test_all_guards_are_evaluated(judged: Judged) -> None:
    """Each guard gives a verdict under its own module's name, also after one has blocked."""
    unread = make_failure(make_snapshot(), Source.LOAD, keep=False)
    verdicts = [judged(g, snapshot=unread, demand=demand(1.0)) for g in guards.GUARDS]
    assert [v.guard for v in verdicts] == [g.__module__.rpartition(".")[2] for g in guards.GUARDS]
    assert len({v.guard for v in verdicts}) == len(verdicts) == 25


def test_every_guard_judges_a_plan_of_all_tiers(judged: Judged) -> None:
    """A plan of the platform is of no single tier: no guard fails on that."""
    change = {"request": Request("tear_down_all", "", {}), "slice_delta": -65}
    for scenario in ("normal", "empty", "unread"):
        snapshot = make_snapshot() if scenario == "normal" else make_snapshot(scenario)
        plan = make_plan(
            make_snapshot(), Request("scale_tier", "small", {"delta": -1}), NOW, PlanContext("p")
        )
        context = GuardContext(NOW, assemble_fleet(snapshot), 1.3, 120)
        assert len(guards.judge(replace(plan, **change), snapshot, context)) == len(guards.GUARDS)


def test_whatever_blocks_or_passes_says_what_would_lift_it(judged: Judged) -> None:
    """Every verdict that is no pass names its way out."""
    for scenario in ("normal", "unread"):
        snapshot = make_snapshot(scenario)
        if scenario == "unread":
            snapshot = replace(snapshot, node_pools=make_snapshot().node_pools)
        for delta in (-1, 1, -48, 100):
            for guard in guards.GUARDS:
                verdict = judged(guard, delta, snapshot=snapshot)
                assert verdict.reason
                # A month without a known rate can only be told: nothing the person does lifts it.
                if verdict.outcome is not Outcome.PASS and verdict.guard != "over_budget":
                    assert verdict.lift, verdict


def test_check_wants_every_consent_and_no_block() -> None:
    """Blocked on a block or a missing second person, Unconfirmed names what was not ticked."""

    def verdict(name: str, outcome: Outcome) -> Verdict:
        return Verdict(name, outcome, "why", "how")

    guards.check([verdict("a", Outcome.PASS), verdict("b", Outcome.WARN)], ())
    guards.check([verdict("a", Outcome.CONSENT)], ("a",))
    with pytest.raises(Unconfirmed, match="a"):
        guards.check([verdict("a", Outcome.CONSENT)], ("b",))
    for outcome in (Outcome.BLOCK, Outcome.APPROVAL):
        with pytest.raises(Blocked) as caught:
            guards.check([verdict("a", outcome)], ("a",))
        assert caught.value.hint == "how"


@pytest.mark.parametrize(
    ("bounds", "delta", "words"),
    [
        ((None, None), 1, ""),
        ((10, 20), 1, "kept between 10 and 20 nodes, 17 are asked for: nodes that no pod needs go"),
        ((10, 20), -1, "kept between 10 and 20 nodes, 15 are asked for: it grows again when pods"),
        ((16, 20), -1, "15 are asked for: it grows again, to 16 and more, only when pods find no"),
    ],
)
def test_a_pool_that_an_autoscaler_moves_is_told(
    judged: Judged, bounds: tuple[int | None, int | None], delta: int, words: str
) -> None:
    """With what becomes of the size; without an autoscaler it passes."""
    least, most = bounds
    pools = tuple(
        replace(p, least_nodes=least, most_nodes=most) for p in make_snapshot().node_pools or ()
    )
    verdict = judged(autoscaler_moves.judge, delta, read={"node_pools": pools})
    assert verdict.outcome is (Outcome.WARN if words else Outcome.PASS)
    assert words in "".join(verdict.arithmetic)


@pytest.mark.parametrize("pools", [None, ()])
def test_pools_that_were_not_read_may_be_autoscaled(
    judged: Judged, pools: tuple[NodePool, ...] | None
) -> None:
    """What is not known is told: no pool was read, or not this one."""

    def unread(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
        return autoscaler_moves.judge(plan, replace(snapshot, node_pools=pools), context)

    verdict = judged(unread)
    assert verdict.outcome is Outcome.WARN
    assert "not known" in verdict.reason
