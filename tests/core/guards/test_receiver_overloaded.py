"""receiver_overloaded: nobody is sent to where no answer comes from."""

from __future__ import annotations

from dataclasses import replace

from core.actions import PlanContext, make_plan
from core.fleet import assemble_fleet
from core.guards import GuardContext, last_healthy_backend, receiver_overloaded
from core.plans import Outcome, Plan, Request, Verdict
from core.records import Snapshot
from core.series import Series
from tests.core.guards.conftest import demand
from tests.make import NOW, make_load_balancer, make_snapshot

NORMAL = make_snapshot()


def plan_of(snapshot: Snapshot = NORMAL, action: str = "fail_over", **values: object) -> Plan:
    """A plan that moves small's traffic."""
    request = Request(action, "small", values)  # type: ignore[arg-type]
    return make_plan(NORMAL, request, NOW, PlanContext("p"))


def judged(to: str, level: float | None = 9_000.0, snapshot: Snapshot = NORMAL) -> Verdict:
    """The verdict on a fail over at that demand of small (tokens/s; None: not known)."""
    series: Series | None = None if level is None else demand(level)
    context = GuardContext(NOW, assemble_fleet(snapshot), 1.3, 120, demand=series)
    return receiver_overloaded.judge(plan_of(to=to), snapshot, context)


def test_where_nothing_is_healthy_no_request_goes() -> None:
    """A tier that is off has no healthy endpoint; neither has one that is drained."""
    balancer = make_load_balancer()
    services = tuple(
        replace(s, backends=tuple(replace(b, healthy=0) for b in s.backends))
        if s.name == "hw-large" else s
        for s in balancer.backend_services
    )  # fmt: skip
    off = replace(NORMAL, load_balancer=replace(balancer, backend_services=services))
    found = judged("large", snapshot=off)
    assert found.outcome is Outcome.BLOCK
    assert "no endpoint of hw-large is healthy" in found.reason
    drained = tuple(
        replace(s, backends=tuple(replace(b, capacity_ratio=0.0) for b in s.backends))
        for s in balancer.backend_services
    )
    none = replace(NORMAL, load_balancer=replace(balancer, backend_services=drained))
    assert judged("medium", snapshot=none).outcome is Outcome.BLOCK


def test_the_takers_capacity_must_carry_both() -> None:
    """Its own load and what it takes over, times the safety factor, with the arithmetic."""
    fits = judged("medium")
    assert fits.outcome is Outcome.PASS
    assert any("× 100% moved" in line for line in fits.arithmetic)
    too_much = judged("medium", 9_000_000.0)
    assert too_much.outcome is Outcome.BLOCK
    assert "of its capacity" in too_much.reason


def test_what_is_not_known_is_asked() -> None:
    """Demand, health, load: each missing one is named, and none counts as enough."""
    assert "the demand of the last hour" in judged("medium", None).reason
    unread = judged("medium", snapshot=replace(NORMAL, load_balancer=None))
    assert unread.outcome is Outcome.CONSENT
    idle = judged("medium", snapshot=replace(NORMAL, loads={}))
    assert (idle.outcome, "generates now" in idle.reason) == (Outcome.CONSENT, True)


def test_a_split_still_leads_to_a_service() -> None:
    """A canary's service is called: draining it leaves its share without an answer."""
    balancer = make_load_balancer()
    (url_map,) = balancer.url_maps
    (matcher,) = url_map.matchers
    words = "split: hw-medium 95, hw-small 5"
    shares = (("hw-medium", 95), ("hw-small", 5))
    split = replace(
        url_map,
        default_service="hw-medium",
        matchers=(replace(matcher, default_service=words, default_shares=shares),),
    )
    found = replace(NORMAL, load_balancer=replace(balancer, url_maps=(split,)))
    plan = make_plan(found, Request("drain_tier", "small", {}), NOW, PlanContext("p"))
    context = GuardContext(NOW, assemble_fleet(found), 1.3, 120)
    assert last_healthy_backend.judge(plan, found, context).outcome is Outcome.BLOCK
