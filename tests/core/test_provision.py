"""Plans that make and delete whole tiers, from what exists to steps in an order that can be."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from core.actions import CHAINS, PlanContext, make_plan
from core.cloud_resources import PLATFORM, CloudResource, mark, owner_of
from core.errors import PlanError
from core.plans import Plan, Request, order_of
from core.records import NodePool, Snapshot
from tests.make import NOW, make_snapshot

CONTEXT = PlanContext("demo", billing_account="billingAccounts/0-1-2")
EMPTY: dict[str, CloudResource] = {}


def snapshot() -> Snapshot:
    """Nothing runs; prices are known."""
    return replace(make_snapshot(), node_pools=(), hosts=(), pods=(), workloads=())


def plan(action: str, tier: str, there: dict[str, CloudResource], **parameters: int) -> Plan:
    """The plan where that exists."""
    request = Request(action, tier, parameters)
    return make_plan(snapshot(), request, NOW, replace(CONTEXT, resources=there))


def whole(tier: str, **parameters: int) -> dict[str, CloudResource]:
    """All pieces of a tier, as they are when they were made from here."""
    request = Request("provision_tier", tier, parameters)
    pieces = CHAINS["provision_tier"](snapshot(), request, CONTEXT).pieces
    return {p.name: CloudResource(p.name, p.owner) for p in pieces}


@pytest.mark.parametrize("tier", ["small", "medium", "large"])
def test_everything_is_made_after_what_it_needs(tier: str) -> None:
    """Each step's needs stand before it; bodies are JSON; several steps can begin at once."""
    found = plan("provision_tier", tier, EMPTY)
    before = order_of(found.steps)
    assert sum(not needed for needed in before) > 5
    assert all(isinstance(json.loads(step.body), dict) for step in found.steps)
    keys = [step.key for step in found.steps]
    for first, then in (
        ("network", "subnet"), ("cluster", "pool-00"), ("pool-00", "workload"),
        ("workload", "service"), ("neg", "backend"), ("backend", "rule"), ("proxy", "front"),
    ):  # fmt: skip
        assert keys.index(first) < keys.index(then)
    assert found.expected_s is None  # nobody has measured most of the steps


def test_steps_of_all_tiers_at_once_are_told_apart_by_their_titles() -> None:
    """The record names steps by them: two that read alike could be taken for each other."""
    there: dict[str, CloudResource] = {}
    for tier in ("small", "medium", "large", "dev"):
        there |= whole(tier)
    titles = Counter(step.title for step in plan("tear_down_all", "platform", there).steps)
    assert len(titles) > 60
    assert [title for title, count in titles.items() if count > 1] == []


def test_the_large_tier_costs_what_its_chips_cost() -> None:
    """36 pools of 64 hosts, 9,216 chips: $110,592/h at the list price."""
    found = plan("provision_tier", "large", EMPTY)
    assert sum("/nodePools/hw-large-" in step.resource for step in found.steps) == 36
    assert found.cost.delta_usd_per_hour == pytest.approx(110_592)
    assert (found.slice_delta, found.chip_delta) == (36, 9216)


@pytest.mark.parametrize(
    ("tier", "hosts", "sizes"), [("medium", 4, (32, 1)), ("large", 64, (128, 4))]
)
def test_the_servers_of_a_slice_use_all_its_chips(
    tier: str, hosts: int, sizes: tuple[int, int]
) -> None:
    """vLLM's copies times the devices of each are the slice's, two per chip; one host has HTTP."""
    pieces = CHAINS["provision_tier"](
        snapshot(), Request("provision_tier", tier, {}), CONTEXT
    ).pieces
    (workload,) = (piece for piece in pieces if piece.key == "workload")
    group = workload.body["spec"]["leaderWorkerTemplate"]
    (leader,) = group["leaderTemplate"]["spec"]["containers"]
    (worker,) = group["workerTemplate"]["spec"]["containers"]
    words = leader["command"][-1].split()
    span = int(words[words.index("--tensor-parallel-size") + 1])
    copies = int(words[words.index("--data-parallel-size") + 1]) if sizes[1] > 1 else 1
    assert (group["size"], (span, copies)) == (hosts, sizes)
    assert span * copies == 2 * hosts * int(worker["resources"]["limits"]["google.com/tpu"])
    assert "ports" in leader
    assert not {"ports", "readinessProbe"} & worker.keys()


def test_only_what_is_missing_or_broken_is_made() -> None:
    """A failed pool is made again; what is whole is left; with all there, there is no plan."""
    there = whole("small", slices=2)
    with pytest.raises(PlanError, match="missing"):
        plan("provision_tier", "small", there, slices=2)
    pool = next(name for name in there if "/nodePools/hw-small" in name)
    broken = {**there, pool: replace(there[pool], broken=True)}
    (step,) = plan("provision_tier", "small", broken, slices=2).steps
    assert (step.resource, step.needs, step.after["node_count"]) == (pool, (), 2)


def test_a_tier_goes_in_the_opposite_order_and_the_platform_stays() -> None:
    """Path, backend, Service, NEG, namespace, pool; nothing of the platform."""
    there = whole("small", slices=2) | whole("medium", slices=3)
    found = plan("tear_down_tier", "small", there)
    keys = [step.key for step in found.steps]
    order_of(found.steps)
    wanted = ["rule", "backend", "service", "neg", "namespace", "pool-00"]
    assert [key for key in keys if key in wanted] == wanted
    assert not any(there[s.resource].owner == PLATFORM for s in found.steps)


def test_everything_ours_goes_and_nothing_else() -> None:
    """All tiers, the platform and what no chain names; what others made stays, and is told."""
    there = whole("small", slices=2) | whole("medium", slices=3)
    odd = "//compute.googleapis.com/projects/demo/global/addresses/odd"
    there[odd] = CloudResource(odd, "small")
    network = next(name for name in there if name.endswith("/networks/hw-net"))
    found = plan("tear_down_all", PLATFORM, there)
    order_of(found.steps)
    going = {step.resource for step in found.steps}
    stays = {name for name in there if name not in going}
    assert odd in going
    parts = ("serviceusage.", "/k8s/", "workloadIdentity", "/nodePools/system")
    assert [n for n in stays if not any(part in n for part in parts)] == []
    foreign = {**there, network: CloudResource(network, None)}
    kept = plan("tear_down_all", PLATFORM, foreign)
    assert network not in {step.resource for step in kept.steps}
    assert any("hw-net stays" in sentence for sentence in kept.affected)
    with pytest.raises(PlanError, match="platform"):
        plan("tear_down_all", "small", there)


def test_orphans_are_what_belongs_to_nothing() -> None:
    """A tier that is not configured, the rest of one without pools; each with what it costs."""
    there = whole("small", slices=2) | whole("medium", slices=1)
    budget = "//billingbudgets.googleapis.com/billingAccounts/0-1-2/budgets/heartwood%20dev"
    there[budget] = CloudResource(budget, "dev")  # which runs as a TPU VM, and has no node pools
    with pytest.raises(PlanError, match="no orphans"):
        plan("clean_up_orphans", PLATFORM, there)
    cluster = next(n for n in there if n.endswith("/clusters/hw-serving"))
    old = f"{cluster}/nodePools/hw-old-00"
    rest = {n: r for n, r in there.items() if "/nodePools/hw-small" not in n}
    rest[old] = CloudResource(old, "old")
    pool = NodePool("hw-old-00", "hw-serving", "us-central1", ("us-central1-c",),
                    "tpu7x-standard-4t", "2x2x1", 3, "RUNNING", "", "1.34", {})  # fmt: skip
    request = Request("clean_up_orphans", PLATFORM, {})
    world = replace(snapshot(), node_pools=(pool,))
    found = make_plan(world, request, NOW, replace(CONTEXT, resources=rest))
    going = {step.resource for step in found.steps}
    assert old in going
    assert any("/backendServices/hw-small" in name for name in going)
    assert not any("medium" in name for name in going)
    assert not any(rest[name].owner == PLATFORM for name in going)
    assert "$3,456.00/day" in found.title  # 3 × 4 chips × $12 × 24
    assert found.chip_delta == -12


def test_what_is_ours_says_so() -> None:
    """By label, else by a line of JSON in the description; other words are nobody's."""
    assert owner_of({"heartwood-tier": "a"}, mark("b")) == "a"
    assert owner_of({}, f"made by hand\n{mark('b')}") == "b"
    assert owner_of({}, '["heartwood-tier"]\n{"heartwood-tier": 3}\n{broken') is None
