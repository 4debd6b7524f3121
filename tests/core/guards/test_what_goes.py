"""last_healthy_backend, not_drained, dependent_resources, orphans_left: what goes, what stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.guards import dependent_resources, last_healthy_backend, not_drained, orphans_left
from core.plans import Outcome, Request, Step, Verdict
from core.records import Snapshot
from tests.core.guards.conftest import make_step
from tests.make import make_snapshot

Judged = Callable[..., Verdict]
CLUSTER = "locations/us-central1/clusters/hw-serving"
DRAIN = make_step(
    "compute.set_backend_capacity", "global/backendServices/hw-small",
    {"capacity_ratio": 1.0}, {"capacity_ratio": 0.0},
)  # fmt: skip
REROUTE = make_step("compute.update_url_map", "global/urlMaps/hw-map", {"to": "a"}, {"to": "b"})


def delete(collection: str, name: str, where: str = "global") -> Step:
    """A step that deletes a resource."""
    return make_step(f"x.delete_{collection}", f"{where}/{collection}/{name}", {"there": True}, {})


def with_health(healthy: int | None, snapshot: Snapshot | None = None) -> Snapshot:
    """One backend of small has so many healthy members, the others none."""
    base = snapshot or make_snapshot()
    assert base.load_balancer is not None
    services = tuple(
        replace(
            s,
            backends=tuple(
                replace(b, healthy=healthy if i == 0 else 0) for i, b in enumerate(s.backends)
            ),
        )
        if s.name == "hw-small"
        else s
        for s in base.load_balancer.backend_services
    )
    return replace(base, load_balancer=replace(base.load_balancer, backend_services=services))


def test_the_last_healthy_backend_stays(judged: Judged) -> None:
    """One healthy member left is asked about, none is blocked, with the service named."""
    judge = last_healthy_backend.judge
    assert judged(judge).outcome is Outcome.PASS
    assert judged(judge, snapshot=with_health(2)).outcome is Outcome.CONSENT
    verdict = judged(judge, snapshot=with_health(1))
    assert verdict.outcome is Outcome.BLOCK
    assert "hw-small would have no healthy backend" in verdict.reason
    assert judged(judge, 1, snapshot=with_health(0)).outcome is Outcome.PASS


def test_unknown_health_is_asked_about(judged: Judged) -> None:
    """Neither the load balancer nor a health check that was not read counts as healthy."""
    judge = last_healthy_backend.judge
    assert judged(judge, snapshot=with_health(None)).outcome is Outcome.CONSENT
    unread = replace(make_snapshot(), load_balancer=None)
    assert judged(judge, snapshot=unread).outcome is Outcome.CONSENT


def test_draining_the_only_healthy_group_is_blocked(judged: Judged) -> None:
    """A drain takes groups out without touching slices; what else is healthy decides."""
    judge, change = last_healthy_backend.judge, {"steps": (DRAIN,), "slice_delta": 0}
    only = {**change, "takes_out": ("neg-small-0",)}
    assert judged(judge, snapshot=with_health(16), change=only).outcome is Outcome.BLOCK
    assert judged(judge, change=only).outcome is Outcome.PASS  # two other groups are healthy
    whole = {**change, "takes_out": ("hw-small",)}
    assert judged(judge, change=whole).outcome is Outcome.BLOCK
    moved = {**whole, "steps": (REROUTE, DRAIN)}
    assert judged(judge, change=moved).outcome is Outcome.PASS  # its paths go elsewhere first


def test_a_tier_with_requests_is_drained_before_it_ends(judged: Judged) -> None:
    """Ending small at 412 requests/s is blocked, unless the plan moves them away first."""
    judge, action = not_drained.judge, {"request": Request("tear_down_tier", "small", {})}
    verdict = judged(judge, change=action)
    assert verdict.outcome is Outcome.BLOCK
    assert "412.0 requests/s" in verdict.reason
    pool = delete("nodePools", "hw-small-00", CLUSTER)
    assert judged(judge, change={**action, "steps": (DRAIN, pool)}).outcome is Outcome.PASS
    assert judged(judge, change={**action, "steps": (pool, DRAIN)}).outcome is Outcome.BLOCK
    assert judged(judge).outcome is Outcome.PASS  # 47 slices go on serving


def test_a_quiet_tier_ends_and_an_unknown_one_is_asked_about(judged: Judged) -> None:
    """No request: passed. Load never read: asked. No figure for the tier: warned."""
    judge, action = not_drained.judge, {"request": Request("tear_down_tier", "small", {})}
    snapshot = make_snapshot()
    loads = dict(snapshot.loads or {})
    quiet = replace(snapshot, loads={**loads, "small": replace(loads["small"], requests_per_s=0)})
    assert judged(judge, snapshot=quiet, change=action).outcome is Outcome.PASS
    unread = replace(snapshot, loads=None)
    assert judged(judge, snapshot=unread, change=action).outcome is Outcome.CONSENT
    assert judged(judge, snapshot=replace(snapshot, loads={}), change=action).outcome is (
        Outcome.WARN
    )


def test_what_is_still_called_is_not_deleted(judged: Judged) -> None:
    """A backend service that a URL map calls, a cluster with pools: blocked with who needs them."""
    judge = dependent_resources.judge
    service = delete("backendServices", "hw-small")
    verdict = judged(judge, change={"steps": (service,)})
    assert verdict.outcome is Outcome.BLOCK
    assert "URL map hw-map needs hw-small" in verdict.reason
    assert judged(judge, change={"steps": (REROUTE, service)}).outcome is Outcome.PASS
    check = delete("healthChecks", "hw-small-ready")
    assert "backend service hw-small" in judged(judge, change={"steps": (check,)}).reason
    cluster = delete("clusters", "hw-serving", "locations/us-central1")
    verdict = judged(judge, change={"steps": (cluster,)})
    assert verdict.outcome is Outcome.BLOCK
    assert len(verdict.arithmetic) == len(make_snapshot().node_pools or ())


def test_dependents_that_cannot_be_read_are_asked_about(judged: Judged) -> None:
    """The load balancer was never read: nobody knows who calls the service."""
    unread = replace(make_snapshot(), load_balancer=None)
    change = {"steps": (delete("backendServices", "hw-small"),)}
    verdict = judged(dependent_resources.judge, snapshot=unread, change=change)
    assert verdict.outcome is Outcome.CONSENT
    assert judged(dependent_resources.judge, snapshot=unread).outcome is Outcome.PASS


def test_another_tiers_pods_on_a_pool_block_its_deletion(judged: Judged) -> None:
    """Pods of medium on small's pool: it stays until they are gone."""
    snapshot = make_snapshot()
    host = next(h for h in snapshot.hosts or () if h.pool == "hw-small-00")
    pods = snapshot.pods or ()
    mine = next(p for p in pods if p.namespace == "small")
    guest = replace(mine, name="guest", namespace="medium", host=host.name)
    own = replace(mine, host=host.name)
    change = {"steps": (delete("nodePools", "hw-small-00", CLUSTER),)}
    shared = replace(snapshot, pods=(*pods, own, guest))
    verdict = judged(dependent_resources.judge, snapshot=shared, change=change)
    assert verdict.outcome is Outcome.BLOCK
    assert "tier medium" in verdict.reason
    assert judged(dependent_resources.judge, change=change).outcome is Outcome.PASS


def test_what_only_the_deleted_had_a_use_for_is_listed(judged: Judged) -> None:
    """All of medium's pools go and its backend service stays: asked, with its name."""
    snapshot = make_snapshot()
    names = [p.name for p in snapshot.node_pools or () if p.name.startswith("hw-medium-")]
    pools = tuple(delete("nodePools", n, CLUSTER) for n in names)
    medium = {"request": Request("x", "medium", {})}
    verdict = judged(orphans_left.judge, change={**medium, "steps": pools})
    assert verdict.outcome is Outcome.CONSENT
    assert verdict.arithmetic == ("backend service hw-medium of Medium",)
    whole = (*pools, delete("backendServices", "hw-medium"))
    assert judged(orphans_left.judge, change={**medium, "steps": whole}).outcome is Outcome.PASS
    some = {**medium, "steps": pools[:-1]}
    assert judged(orphans_left.judge, change=some).outcome is Outcome.PASS  # one pool stays in use
    torn = {"request": Request("tear_down_tier", "medium", {}), "steps": pools[:-1]}
    assert "node pool" in judged(orphans_left.judge, change=torn).reason


def test_what_the_plan_says_it_leaves_is_asked_about(judged: Judged) -> None:
    """The planner names what no snapshot shows, such as a disk."""
    change = {"leaves": ("disk weights, 12 USD/day",)}
    verdict = judged(orphans_left.judge, change=change)
    assert verdict.outcome is Outcome.CONSENT
    assert "disk weights" in verdict.reason
