"""Tiers outside GKE: nodes of the Cloud TPU API, replicas on Vertex; made and taken down."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.actions import make_plan
from core.cloud_limits import ChipQuota, Seller
from core.cloud_resources import PLATFORM, CloudResource
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.guards.context import GuardContext
from core.guards.quota_exceeded import judge
from core.plans import Outcome, Plan, Request, order_of
from core.records import Snapshot
from tests.core.test_provision import CONTEXT, EMPTY, whole
from tests.make import NOW, make_snapshot

Values = dict[str, str | int | float | bool]


def empty() -> Snapshot:
    """Nothing runs anywhere; prices are known."""
    return make_snapshot("empty")


def plan(action: str, tier: str, there: dict[str, CloudResource], **parameters: object) -> Plan:
    """The plan where that exists, and nothing runs."""
    values: Values = parameters  # type: ignore[assignment]
    return make_plan(empty(), Request(action, tier, values), NOW, replace(CONTEXT, resources=there))


def made(found: Plan) -> dict[str, CloudResource]:
    """What is there after a plan that makes things."""
    owner = found.request.tier
    ours = ("/networks/", "/subnetworks/", "/services/")
    return {
        s.resource: CloudResource(
            s.resource, PLATFORM if any(o in s.resource for o in ours) else owner
        )
        for s in found.steps
    }


@pytest.mark.parametrize("queued", [False, True])
def test_a_dev_tier_comes_through_the_cloud_tpu_api(queued: bool) -> None:
    """Node and account, network and watchers; no cluster and nothing of the balancer; $21.60/h."""
    found = plan("provision_tier", "dev", EMPTY, queued=queued)
    order_of(found.steps)
    names = [step.resource for step in found.steps]
    assert not any("/clusters/" in n or "/urlMaps/" in n or "/backendServices/" in n for n in names)
    body = json.loads(
        next(s for s in found.steps if s.key == ("queue-00" if queued else "node-00")).body
    )
    node = body["tpu"]["nodeSpec"][0]["node"] if queued else body
    assert node["acceleratorConfig"] == {"type": "V6E", "topology": "2x4"}
    assert "--tensor-parallel-size 8" in node["metadata"]["startup-script"]
    assert (found.slice_delta, found.chip_delta) == (1, 8)
    assert found.cost.delta_usd_per_hour == pytest.approx(21.6)
    assert any("do not stand behind the load balancer" in line for line in found.affected)
    there = made(found)
    down = [s.key for s in plan("tear_down_tier", "dev", there).steps]
    if queued:
        assert down.index("node-00") < down.index("queue-00")
    assert down.index("node-00") < down.index("clients") < len(down)
    assert "network" not in down
    everything = [s.resource for s in plan("tear_down_all", PLATFORM, there).steps]
    assert everything[-1].endswith("/networks/hw-net")


def test_replicas_come_through_endpoint_model_and_deployment() -> None:
    """All as configured without a word, one part alone when it is named; the other way back."""
    both = plan("provision_tier", "small", EMPTY)
    assert (both.slice_delta, both.chip_delta) == (64, 256)
    assert plan("provision_tier", "small", EMPTY, slices=2).chip_delta == 8
    found = plan("provision_tier", "small", EMPTY, replicas=3)
    assert not any("/clusters/" in step.resource for step in found.steps)
    step = next(s for s in found.steps if s.key == "replicas")
    assert set(step.needs) == {"endpoint", "model"}
    asked = json.loads(step.body)["deployedModel"]["dedicatedResources"]
    assert asked["machineSpec"] == {"machineType": "tpu7x-standard-4t", "tpuTopology": "2x2x1"}
    assert (asked["minReplicaCount"], found.chip_delta) == (3, 12)
    down = [s.key for s in plan("tear_down_tier", "small", made(found)).steps]
    assert down.index("replicas") < min(down.index("endpoint"), down.index("model"))
    with pytest.raises(PlanError, match="no part on Vertex"):
        plan("provision_tier", "medium", EMPTY, replicas=1)
    for wrong in ({"slices": 0}, {"replicas": -1}, {"slices": 0, "replicas": 0}, {"spot": "yes"}):
        with pytest.raises(PlanError):
            plan("provision_tier", "small", EMPTY, **wrong)


def test_what_runs_already_is_taken_down_by_its_own_name() -> None:
    """An endpoint that was not made from here under our names, with a second model on it."""
    base = f"//aiplatform.googleapis.com/projects/{CONTEXT.project}/locations/us-central1"
    names = ("endpoints/4410", "endpoints/4410/deployedModels/7301",
             "endpoints/4410/deployedModels/7302", "models/9")  # fmt: skip
    there = {f"{base}/{n}": CloudResource(f"{base}/{n}", "small") for n in names}
    request = Request("tear_down_tier", "small", {})
    found = make_plan(make_snapshot(), request, NOW, replace(CONTEXT, resources=there))
    order = [step.resource.removeprefix(f"{base}/") for step in found.steps]
    assert set(order) == set(names)
    assert order.index("endpoints/4410") > max(order.index(names[1]), order.index(names[2]))
    assert order.index("models/9") > order.index(names[2])
    assert (found.slice_delta, found.chip_delta) == (-16, -64)


def test_terms_are_written_into_what_is_asked_for() -> None:
    """Spot and reservations for pools and nodes; GKE has no queues."""
    spot = plan("provision_tier", "medium", EMPTY, slices=1, spot=True)
    pool = next(s for s in spot.steps if s.key == "pool-00")
    assert json.loads(pool.body)["config"]["spot"] is True
    assert " --spot " in pool.command
    kept = plan("provision_tier", "medium", EMPTY, slices=1, reservation="r1")
    pool = next(s for s in kept.steps if s.key == "pool-00")
    assert json.loads(pool.body)["config"]["reservationAffinity"]["values"] == ["r1"]
    assert kept.reservation == "r1"
    node = next(s for s in plan("provision_tier", "dev", EMPTY, spot=True).steps
                if s.key == "node-00")  # fmt: skip
    assert json.loads(node.body)["schedulingConfig"] == {"spot": True}
    assert " --spot " in node.command
    with pytest.raises(PlanError, match="no queued"):
        plan("provision_tier", "medium", EMPTY, queued=True)


@pytest.mark.parametrize(("action", "tier", "wish", "why"), [
    ("provision_tier", "dev", {"reservation": "r1"}, "takes no reservation by its name"),
    ("provision_tier", "small", {"replicas": 1, "spot": True}, "spot cannot be asked for here"),
    ("provision_tier", "small", {"replicas": 1, "reservation": "r"}, "reservation cannot be asked"),
    ("provision_tier", "medium", {"image": "x"}, "image cannot be asked for here"),
    ("scale_tier", "small", {"delta": 1, "spot": True}, "resizing the node pools that it has"),
    ("provision_tier", "small", {"slice": 1}, "provision_tier has no parameter 'slice'"),
    ("tear_down_all", "platform", {"only": "small"}, "tear_down_all has no parameter 'only'"),
])  # fmt: skip
def test_no_wish_is_passed_over(
    action: str, tier: str, wish: dict[str, str | int | bool], why: str
) -> None:
    """What cannot be had so, and what nobody would read, is refused; never planned without it."""
    with pytest.raises(PlanError, match=why):
        plan(action, tier, EMPTY, **wish)


def test_each_seller_has_its_own_quota() -> None:
    """Chips on GKE fit, those on Vertex do not: what blocks is told."""
    quotas = (ChipQuota("us-central1", "TPU7x", 1000.0),
              ChipQuota("us-central1", "TPU7x", 8.0, None, Seller.VERTEX))  # fmt: skip
    snapshot = replace(empty(), quotas=quotas)
    context = GuardContext(NOW, assemble_fleet(snapshot), 1.3, 120)
    two = plan("provision_tier", "small", EMPTY, slices=4, replicas=2)
    three = plan("provision_tier", "small", EMPTY, slices=4, replicas=3)
    assert judge(two, snapshot, context).outcome is Outcome.PASS
    assert judge(three, snapshot, context).outcome is Outcome.BLOCK


def test_replicas_are_no_orphans_while_node_pools_are_gone() -> None:
    """What GKE needed goes, what Vertex serves stays with the tier's watchers."""
    there = whole("small", slices=1, replicas=1)
    there = {n: r for n, r in there.items() if "/nodePools/hw-small" not in n}
    request = Request("clean_up_orphans", PLATFORM, {})
    found = make_plan(empty(), request, NOW, replace(CONTEXT, resources=there))
    going = {step.resource for step in found.steps}
    assert any("/backendServices/hw-small" in name for name in going)
    assert not any("aiplatform" in name or "/budgets/" in name for name in going)
