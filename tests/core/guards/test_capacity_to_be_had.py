"""machine_type_unavailable, quota_exceeded, reservation_short: is what the plan adds to be had?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.actions import PlanContext, make_plan
from core.cloud_limits import Seller
from core.fleet import assemble_fleet
from core.guards import GuardContext, machine_type_unavailable, quota_exceeded, reservation_short
from core.plans import Outcome, Request, Verdict
from core.records import ChipQuota, ReservedChips, Source
from tests.core.guards.conftest import make_step
from tests.make import NOW, make_failure, make_snapshot

Judged = Callable[..., Verdict]
ZONE = "us-central1-c"


def quotas(limit: float, used: float | None) -> dict[str, object]:
    """The quota of TPU7x in the tier's region, and one of another region that is not asked."""
    return {
        "quotas": (
            ChipQuota("us-central1", "TPU7x", limit, used),
            ChipQuota("europe-west4", "TPU7x", 0, 0),
        )
    }


@pytest.mark.parametrize(
    ("limit", "used", "outcome"),
    [(260, 256, Outcome.PASS), (259, 256, Outcome.BLOCK)],
)  # fmt: skip
def test_chips_must_fit_into_the_quota(
    judged: Judged, limit: float, used: float, outcome: Outcome
) -> None:
    """One slice is four chips: they fit into what is free, or nothing is tried."""
    verdict = judged(quota_exceeded.judge, 1, read=quotas(limit, used))
    assert verdict.outcome is outcome
    if outcome is Outcome.BLOCK:
        assert "259 chips − 256 used = 3 free" in verdict.arithmetic[0]
        assert "by 1 chips" in verdict.lift


@pytest.mark.parametrize(
    ("free", "outcome"), [(4, Outcome.PASS), (3, Outcome.BLOCK), (-1, Outcome.PASS)]
)
def test_the_use_of_a_quota_is_what_our_pools_hold(
    judged: Judged, free: float, outcome: Outcome
) -> None:
    """Google tells limits alone: what our node pools hold counts against them; -1: no limit."""
    pools = make_snapshot().node_pools or ()
    used = sum(p.node_count * 4 for p in pools if p.machine_type == "tpu7x-standard-4t")
    read = quotas(free if free < 0 else used + free, None)
    verdict = judged(quota_exceeded.judge, 1, read=read)
    assert verdict.outcome is outcome
    assert free < 0 or f"{used:,} used" in verdict.arithmetic[0]


def test_each_seller_of_chips_has_its_own_quota(judged: Judged) -> None:
    """Vertex's replicas do not count against Compute's quota, nor the other way round."""
    replicas = make_step("vertex.set_replicas", "e/deployedModels/1", {}, {"least": 1})
    mine = ChipQuota("", "TPU7x", 64, None, Seller.VERTEX)
    read = {"quotas": (ChipQuota("us-central1", "TPU7x", 0, 0), mine)}
    change = {"steps": (replicas,), "slice_delta": 1, "chip_delta": 4}
    verdict = judged(quota_exceeded.judge, 1, change=change, read=read)
    assert verdict.outcome is Outcome.BLOCK
    assert "64 chips − 64 used" in verdict.arithmetic[0]


def test_a_quota_read_too_long_ago_is_not_known(judged: Judged) -> None:
    """A source that has failed for hours keeps its last value, on which no plan rests."""
    old = make_failure(make_snapshot(), Source.QUOTAS, for_s=7200)
    verdict = judged(quota_exceeded.judge, 1, snapshot=old)
    assert verdict.outcome is Outcome.WARN
    assert "not known" in verdict.reason


def test_an_unknown_quota_warns_about_growth_only(judged: Judged) -> None:
    """Google refuses what does not fit, so not knowing warns; giving back passes."""
    assert judged(quota_exceeded.judge, 1, read={"quotas": None}).outcome is Outcome.WARN
    assert judged(quota_exceeded.judge, 1, read={"quotas": ()}).outcome is Outcome.WARN
    assert judged(quota_exceeded.judge, -1).outcome is Outcome.PASS


@pytest.mark.parametrize(("limit", "outcome"), [(2, Outcome.BLOCK), (260, Outcome.WARN)])
def test_a_use_that_is_not_known_warns(judged: Judged, limit: float, outcome: Outcome) -> None:
    """Above the whole quota it cannot fit; below it, nobody knows."""
    mine = ChipQuota("us-central1", "v5p", limit)
    snapshot = replace(make_snapshot(), quotas=(mine,), tpu_vms=None)
    small = next(s for s in snapshot.specs if s.name == "small")
    dev = replace(small, generation="v5p", zone="us-central1-a")
    others = tuple(s for s in snapshot.specs if s.name != "small")
    read = {"specs": (dev, *others), "quotas": (replace(mine, seller=Seller.TPU, place=""),)}
    node = make_step("resources.create", "x", {}, {})
    on_tpu = replace(node, resource="//tpu.googleapis.com/projects/p/locations/z/nodes/n")
    plan = {"steps": (on_tpu,), "chip_delta": 4, "slice_delta": 1}
    verdict = judged(quota_exceeded.judge, 1, snapshot=snapshot, change=plan, read=read)
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("found", "outcome", "word"),
    [
        (ReservedChips("r1", ZONE, "TPU7x", 256, 252), Outcome.PASS, "fit"),
        (ReservedChips("r1", ZONE, "TPU7x", 256, 253), Outcome.BLOCK, "3 free"),
        (ReservedChips("r1", "us-central1-ai1a", "TPU7x", 256, 0), Outcome.BLOCK, "ai1a"),
        (ReservedChips("r1", ZONE, "v6e", 256, 0), Outcome.BLOCK, "holds v6e"),
        (ReservedChips("other", ZONE, "TPU7x", 256, 0), Outcome.BLOCK, "there is no"),
    ],
)
def test_a_named_reservation_must_have_the_chips(
    judged: Judged, found: ReservedChips, outcome: Outcome, word: str
) -> None:
    """Of the right kind, in the right zone, and free."""
    change = {"reservation": "r1"}
    verdict = judged(reservation_short.judge, 1, change=change, read={"reservations": (found,)})
    assert verdict.outcome is outcome
    assert word in verdict.reason


def test_a_reservation_that_cannot_be_read_is_asked_about(judged: Judged) -> None:
    """Named but not read: somebody must agree. None named: it is said that stock is not known."""
    change, unread = {"reservation": "r1"}, {"reservations": None}
    verdict = judged(reservation_short.judge, 1, change=change, read=unread)
    assert verdict.outcome is Outcome.CONSENT
    verdict = judged(reservation_short.judge, 1)
    assert verdict.outcome is Outcome.PASS
    assert "in stock" in verdict.reason


def test_a_zone_without_the_machine_type_blocks(judged: Judged) -> None:
    """Listed without the type: blocked; with it: passed; not read: warned about."""
    judge = machine_type_unavailable.judge
    listed = {"machine_types": {ZONE: frozenset({"n2-standard-4"})}}
    verdict = judged(judge, 1, read=listed)
    assert verdict.outcome is Outcome.BLOCK
    assert "tpu7x-standard-4t in us-central1-c" in verdict.reason
    offered = {"machine_types": {ZONE: frozenset({"tpu7x-standard-4t"})}}
    assert judged(judge, 1, read=offered).outcome is Outcome.PASS
    assert judged(judge, 1, read={"machine_types": {}}).outcome is Outcome.WARN
    assert judged(judge, 1, read={"machine_types": None}).outcome is Outcome.WARN
    assert judged(judge, -1).outcome is Outcome.PASS


def test_the_steps_own_machine_type_is_looked_for(judged: Judged) -> None:
    """A step that makes machines names their type and zone."""
    step = make_step(
        "gke.create_node_pool", "locations/us-central1/clusters/c/nodePools/new", {},
        {"machine_type": "ct6e-standard-4t", "zone": "us-central1-b", "node_count": 1},
    )  # fmt: skip
    verdict = judged(
        machine_type_unavailable.judge,
        change={"steps": (step,)},
        read={"machine_types": {"us-central1-b": frozenset()}},
    )
    assert verdict.outcome is Outcome.BLOCK
    assert "ct6e-standard-4t in us-central1-b" in verdict.reason


def test_a_tier_without_tpu_needs_none(judged: Judged) -> None:
    """What has no generation needs no quota."""
    snapshot = make_snapshot()
    plan = make_plan(snapshot, Request("scale_tier", "small", {"delta": 1}), NOW, PlanContext("p"))
    local = replace(plan, request=replace(plan.request, tier="local"))
    context = GuardContext(NOW, assemble_fleet(snapshot), 1.3, 120)
    assert quota_exceeded.judge(local, snapshot, context).outcome is Outcome.PASS
    assert machine_type_unavailable.judge(local, snapshot, context).outcome is Outcome.PASS
