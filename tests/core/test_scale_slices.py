"""Plans that add and remove whole multi-host slices with the groups of pods on them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.actions import CHAINS, PlanContext, make_plan
from core.actions.chain_steps import DELETE
from core.actions.scale_slices import VERB
from core.cloud_limits import ChipQuota, Seller
from core.cloud_resources import CloudResource, short_name
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.guards import GuardContext, quota_exceeded
from core.guards.change import chips_by_seller
from core.plans import Outcome, Plan, Request, order_of
from core.records import Snapshot
from tests.make import NOW, make_snapshot

GROUP = "leaderworkerset.sigs.k8s.io/group-index"
POLICY = "hw-medium-2x2x4"


def world(pools: int = 4, idle: str = "", policy: str = "", *, labelled: bool = True) -> Snapshot:
    """Medium on that many slices, group n on the pool with the n-th name from the end."""
    found = make_snapshot()
    mine = [p for p in found.node_pools or () if p.name.startswith("hw-medium")][:pools]
    mine = [replace(p, placement_policy=policy) for p in mine]
    names = [p.name for p in mine]
    pods = []
    for pod, host in zip(found.pods or (), found.hosts or (), strict=True):
        if host.pool in names and host.pool != idle:
            group = {GROUP: str(len(names) - 1 - names.index(host.pool))} if labelled else {}
            pods.append(replace(pod, labels=group))
    served = pools - bool(idle)
    workloads = tuple(
        replace(w, replicas_wanted=served, replicas_ready=served)
        for w in found.workloads or ()
        if w.namespace == "medium"
    )
    hosts = tuple(h for h in found.hosts or () if h.pool in names)
    return replace(
        found, node_pools=tuple(mine), hosts=hosts, pods=tuple(pods), workloads=workloads
    )


def plan(snapshot: Snapshot, there: tuple[str, ...] = (), **parameters: object) -> Plan:
    """The plan, where of what new slices consist of that exists (by its last word)."""
    request = Request("scale_tier", "medium", parameters)  # type: ignore[arg-type]
    context = PlanContext("p", resources={})
    names = CHAINS["scale_tier"](snapshot, request, context).names
    kept = {n: CloudResource(n, "platform") for n in names if short_name(n) in there}
    return make_plan(snapshot, request, NOW, replace(context, resources=kept))


def test_added_slices_are_pools_and_then_groups() -> None:
    """Account, policy and pools that lack are made; the groups wait for every pool."""
    found = plan(world(), delta=2)
    order_of(found.steps)
    last = found.steps[-1]
    assert (last.verb, last.before, last.after) == (VERB, {"replicas": 4}, {"replicas": 6})
    assert set(last.needs) == {"pool-04", "pool-05"}
    assert "scale leaderworkerset" in last.command
    pool = next(s for s in found.steps if s.key == "pool-04")
    assert {"policy", "nodes-account", "nodes-role"} <= set(pool.needs)
    assert json.loads(pool.body)["placementPolicy"] == {"policyName": POLICY}
    assert (found.slice_delta, found.chip_delta) == (2, 32)
    assert found.cost.delta_usd_per_hour == pytest.approx(384)
    assert "replicas:" in " ".join(found.observed)


def test_a_pool_that_could_not_be_made_is_no_slice() -> None:
    """Adding makes it anew and counts it then; removing leaves it, and says so."""
    snapshot = world()
    pools = tuple(
        replace(p, status="ERROR", node_count=0) if p.name == "hw-medium-03" else p
        for p in snapshot.node_pools or ()
    )
    workloads = tuple(replace(w, replicas_wanted=3) for w in snapshot.workloads or ())
    snapshot = replace(snapshot, node_pools=pools, workloads=workloads)
    found = plan(snapshot, delta=1)
    (pool,) = (s for s in found.steps if s.key.startswith("pool-"))
    assert short_name(pool.resource) == "hw-medium-03"
    assert found.steps[-1].after == {"replicas": 4}
    assert found.title.endswith("3 → 4")
    assert any("hw-medium-03 is in ERROR" in line and "anew" in line for line in found.affected)
    found = plan(snapshot, delta=-1)
    assert [short_name(s.resource) for s in found.steps if s.verb == DELETE] == ["hw-medium-00"]
    assert any("hw-medium-03 is in ERROR" in line and "stays" in line for line in found.affected)


def test_new_pools_are_as_their_siblings_and_take_free_names() -> None:
    """The policy that they have; a name in between that is free; on the terms that are asked."""
    snapshot = world(policy="mine")
    pools = tuple(p for p in snapshot.node_pools or () if p.name != "hw-medium-01")
    found = plan(replace(snapshot, node_pools=pools), delta=1, spot=True)
    (pool,) = (s for s in found.steps if s.key.startswith("pool-"))
    assert short_name(pool.resource) == "hw-medium-01"
    body = json.loads(pool.body)
    assert (body["placementPolicy"]["policyName"], body["config"]["spot"]) == ("mine", True)
    assert "--placement-policy=mine" in pool.command
    assert not any(s.key == "policy" for s in found.steps)
    assert found.cost.after_usd_per_hour is None  # no preemptible price is in the catalogue


def test_removed_are_the_slices_whose_groups_end_first() -> None:
    """The highest groups, which is not the order of names; groups first, then their pools."""
    found = plan(world(), delta=-2)
    assert [s.verb for s in found.steps] == [VERB, DELETE, DELETE]
    assert [short_name(s.resource) for s in found.steps[1:]] == ["hw-medium-00", "hw-medium-01"]
    assert all(s.needs == ("groups",) for s in found.steps[1:])
    assert (found.slice_delta, found.chip_delta) == (-2, -32)
    assert found.observed["us-central1/hw-serving/hw-medium-00.node_count"] == 4
    assert any("hw-medium-00 (group 3)" in line for line in found.affected)


def test_an_idle_slice_goes_before_any_that_serves() -> None:
    """As one that an interrupted change left; the groups stay as they are."""
    found = plan(world(idle="hw-medium-02"), delta=-1)
    assert [short_name(s.resource) for s in found.steps] == ["hw-medium-02"]
    assert (found.slice_delta, found.chip_delta) == (0, -16)  # nothing that serves goes
    assert not any("cut off" in line for line in found.affected)


def test_an_idle_slice_is_used_before_another_is_made() -> None:
    """A change that failed before its groups is completed when asked again, and not doubled."""
    found = plan(world(idle="hw-medium-02"), delta=1)
    assert [(s.verb, s.after) for s in found.steps] == [(VERB, {"replicas": 4})]
    assert (found.title.endswith("3 → 4"), found.chip_delta) == (True, 0)
    assert found.cost.delta_usd_per_hour == 0
    assert "1 slice stood idle: used first" in found.affected
    found = plan(world(idle="hw-medium-02"), delta=2)
    assert [s.key for s in found.steps if s.key.startswith("pool-")] == ["pool-04"]
    assert (found.steps[-1].after, found.chip_delta) == ({"replicas": 5}, 16)


def asleep(most_nodes: int | None, *, status: str = "RUNNING") -> Snapshot:
    """Medium with one pool that no group wants, and that has no nodes."""
    found = world(idle="hw-medium-02")
    pools = tuple(
        replace(p, node_count=0, least_nodes=most_nodes and 0, most_nodes=most_nodes, status=status)
        if p.name == "hw-medium-02" else p
        for p in found.node_pools or ()
    )  # fmt: skip
    hosts = tuple(h for h in found.hosts or () if h.pool != "hw-medium-02")
    return replace(found, node_pools=pools, hosts=hosts)


@pytest.mark.parametrize(("most_nodes", "status"), [(4, "RUNNING"), (None, "PROVISIONING")])
def test_a_slice_whose_nodes_are_yet_to_come_is_paid_for(
    most_nodes: int | None, status: str
) -> None:
    """No pool is made, but its chips and their price are the plan's; so the guards see them."""
    snapshot = asleep(most_nodes, status=status)
    found = plan(snapshot, delta=1)
    assert [(s.verb, s.after) for s in found.steps] == [(VERB, {"replicas": 4})]
    assert (found.slice_delta, found.chip_delta) == (1, 16)
    assert found.cost.delta_usd_per_hour == pytest.approx(192)
    assert any("bills 16 chips" in line for line in found.affected)
    quota = ChipQuota("us-central1", "TPU7x", 63.0)  # 48 are used
    context = GuardContext(NOW, assemble_fleet(snapshot), 1.3, 300.0)
    tight = replace(snapshot, quotas=(quota,))
    assert quota_exceeded.judge(found, tight, context).outcome is Outcome.BLOCK
    found = plan(snapshot, delta=2)  # what no step says counts beside what one says
    assert (found.chip_delta, chips_by_seller(found, snapshot)) == (32, {Seller.COMPUTE: 32})


def test_a_slice_without_nodes_that_none_brings_is_not_counted_on() -> None:
    """Switched off by hand: another pool is made, and it is said that this one is not used."""
    found = plan(asleep(None), delta=1)
    assert [s.key for s in found.steps if s.key.startswith("pool-")] == ["pool-04"]
    assert (found.steps[-1].after, found.chip_delta) == ({"replicas": 4}, 16)
    assert any("hw-medium-02 has no nodes" in line for line in found.affected)


def test_unknown_groups_are_said_to_be() -> None:
    """Then the last by name go."""
    found = plan(world(labelled=False), delta=-1)
    assert short_name(found.steps[-1].resource) == "hw-medium-03"
    assert any("not known" in line for line in found.affected)


@pytest.mark.parametrize(
    ("parameters", "delta"), [({"usd_per_hour": 400}, -2), ({"usd_per_hour": 1000}, 1)]
)
def test_a_rate_is_a_target(parameters: dict[str, object], delta: int) -> None:
    """4 slices cost $768/h: what is asked for is kept, and the arithmetic is shown."""
    found = plan(world(), **parameters)
    assert found.slice_delta == delta
    assert any("rounded down" in line for line in found.affected)


def test_what_cannot_be_is_refused() -> None:
    """More than there is, a reached target, no workload, a tier that is off."""
    with pytest.raises(PlanError, match="4 slices"):
        plan(world(), delta=-5)
    with pytest.raises(PlanError, match="nothing to change"):
        plan(world(), usd_per_hour=800)
    with pytest.raises(PlanError, match="0 workloads"):
        plan(replace(world(), workloads=()), delta=1)
    with pytest.raises(PlanError, match="no slice"):
        plan(replace(world(), node_pools=()), delta=1)
