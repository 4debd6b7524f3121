"""Verbs of load balancer, Vertex and budgets over the emulator's wire, from plan to verified."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from control.appliers import Appliers, TakenBack, make_appliers
from control.appliers.canary import WatchTier
from control.appliers.traffic import SetWeights
from core.actions import PlanContext, make_plan
from core.actions.restart_slice import restartable
from core.errors import Conflict, NotFound, Unavailable
from core.fleet import assemble_fleet
from core.plans import Plan, Request, Step
from core.records import Snapshot
from services.budgets import Budgets
from services.clients import Clients
from services.gke import Gke
from services.kube import Kube
from services.load_balancer import LoadBalancers
from services.load_balancer_writes import LoadBalancerWrites
from services.vertex import Vertex
from tests.contracts.conftest import emulated_cloud
from tests.control.vertex_canary import hidden_in_its_tier, with_its_tier
from tests.emulator.lifecycle.test_vertex import _deployed
from tests.make import make_snapshot, make_sources, make_specs
from tests.processes import EmulatorProcess, start_emulator

PLACE = "hw-serving tiers /simple/*"
SMALL_TO_MEDIUM = {"place": PLACE, "to": "hw-medium", "percent": 20}


@dataclass
class Side:
    """An emulator, and what the console has for it."""

    process: EmulatorProcess
    clients: Clients
    appliers: Appliers
    inside: tuple[Any, Any, Any] | None = None  # pools, hosts and pods, read once

    def slices(self, tier: str) -> tuple[str, ...]:
        """Names of the tier's slices in GKE."""
        return restartable(assemble_fleet(self.snapshot()).tier(tier))

    def snapshot(self) -> Snapshot:
        """The tiers' usual load before the emulator's load balancer, endpoints and budgets."""
        specs = make_specs()
        if self.inside is None:
            (cluster,), pools = Gke(self.clients).list_inventory()
            kube = Kube(self.clients)
            self.inside = (pools, kube.list_hosts(cluster), kube.list_pods(cluster))
        pools, hosts, pods = self.inside
        return replace(
            make_snapshot("normal", datetime.now(UTC)),
            node_pools=pools,
            hosts=hosts,
            pods=pods,
            load_balancer=LoadBalancers(self.clients).read_load_balancer(),
            endpoints=Vertex(self.clients).list_endpoints(specs),
            budgets=Budgets(self.clients).list_budgets(),
        )

    def plan(self, action: str, tier: str = "small", **values: Any) -> Plan:
        """A plan from what is there now."""
        target = self.clients.target
        context = PlanContext(target.project, billing_account=target.billing_account)
        return make_plan(self.snapshot(), Request(action, tier, values), _now(), context)

    def apply(self, plan: Plan) -> list[str]:
        """Every step started, waited for and verified; what each verification said."""
        return [self.do(step) for step in plan.steps]

    def do(self, step: Step) -> str:
        """One step."""
        applier, stop = self.appliers.applier(step.verb), threading.Event()
        applier.wait(applier.start(step), lambda _: None, stop)
        return applier.verify(step, stop)

    def shares(self, place: str = PLACE) -> object:
        """What a plan would observe there."""
        _, differs = self.appliers.observe(
            replace(EMPTY, observed={f"url map: {place}": "nothing"}), self.snapshot()
        )
        return differs[0].rpartition(" and is ")[2]


def _now() -> datetime:
    return datetime.now(UTC)


EMPTY = Plan(
    Request("none", "small", {}), "", (), {}, None, (), (), (), _now(), _now()  # type: ignore[arg-type]
)  # fmt: skip


@pytest.fixture(scope="module")
def side() -> Iterator[Side]:
    """One emulator for this module, whose operations take moments."""
    process = start_emulator("normal", speed=1200)
    clients = emulated_cloud(process).clients
    yield Side(process, clients, make_appliers(clients, make_snapshot))
    clients.close()
    process.stop()


@pytest.fixture
def fault(side: Side) -> Iterator[Callable[..., None]]:
    """Enters a rule; all go when the test ends."""
    url = f"{side.process.rest_url}/_heartwood/faults"

    def enter(**rule: Any) -> None:
        assert httpx.post(url, json=rule).status_code == 200

    yield enter
    httpx.delete(url)


def test_traffic_is_shifted_and_shifted_back(side: Side) -> None:
    """Weights are written, verified, and nothing is written twice; one service is plain again."""
    plan = side.plan("shift_traffic", **SMALL_TO_MEDIUM)
    assert side.appliers.observe(plan, side.snapshot())[1] == []
    (said,) = side.apply(plan)
    assert "hw-small 80, hw-medium 20" in said
    assert side.shares() == "'hw-small 80, hw-medium 20'"
    (step,) = plan.steps
    assert side.appliers.applier(step.verb).start(step) == "", "it is there already"
    assert side.appliers.observe(plan, side.snapshot())[1], "the plan is stale now"
    side.apply(side.plan("shift_traffic", place=PLACE, to="hw-small", percent=100))
    assert side.shares() == "'hw-small 100'"
    assert LoadBalancers(side.clients).read_load_balancer().url_maps[0].matchers[0].rules[0] == (
        replace(
            LoadBalancers(side.clients).read_load_balancer().url_maps[0].matchers[0].rules[0],
            service="hw-small", shares=(),
        )
    )  # fmt: skip


@pytest.mark.parametrize("ttft_ms", [420.0, 900.0, None])
def test_a_canary_goes_on_or_goes_back(side: Side, ttft_ms: float | None) -> None:
    """Medium keeps its objectives: all of it goes there. It misses one, or none can tell: back."""
    now = [_now()]
    calm = make_snapshot("normal", now[0])
    loads = dict(calm.loads or {})
    slow = replace(loads["medium"], ttft=replace(loads["medium"].ttft, p95_ms=ttft_ms))
    heavy = {name: load for name, load in loads.items() if name != "medium"}
    if ttft_ms is not None:
        heavy["medium"] = slow

    def look() -> Snapshot:
        """Each look is two minutes later; the harm shows at the second."""
        now[0] += timedelta(minutes=2)
        sources = make_sources(now[0])
        seen = calm if now[0] < first + timedelta(minutes=3) else replace(calm, loads=heavy)
        return replace(seen, sources=sources)

    first = now[0]
    request = {**SMALL_TO_MEDIUM, "percent": 60, "canary_percent": 10, "watch_min": 5}
    plan = side.plan("shift_traffic", **request)
    assert [s.verb for s in plan.steps] == ["compute.set_weights", "canary.watch"] * 2
    writers = {"compute.set_weights": SetWeights(LoadBalancerWrites(side.clients))}
    watcher = WatchTier(writers, look, lambda: now[0], 0.0)
    said: list[str] = []
    give, watch, rest, _ = plan.steps
    side.do(give)
    assert side.shares() == "'hw-small 90, hw-medium 10'"
    if ttft_ms == 420:
        watcher.wait(watcher.start(watch), said.append, threading.Event())
        side.do(rest)
        assert side.shares() == "'hw-small 40, hw-medium 60'"
        side.apply(side.plan("shift_traffic", place=PLACE, to="hw-small", percent=100))
        return
    begun = watcher.start(watch)
    word = "not known" if ttft_ms is None else "TTFT p95: 900 ms now"
    with pytest.raises(TakenBack, match=word):
        watcher.wait(begun, said.append, threading.Event())
    assert side.shares() == "'hw-small 100'"
    assert any("written back" in sentence for sentence in said)
    with pytest.raises(TakenBack):  # resumed after a kill: it looks again, and writes nothing twice
        watcher.wait(begun, said.append, threading.Event())


def test_what_somebody_else_wrote_is_not_overwritten(side: Side) -> None:
    """Planned on one division, started on another: a conflict that tells both; nothing changed."""
    plan = side.plan("shift_traffic", **SMALL_TO_MEDIUM)
    side.apply(side.plan("shift_traffic", place=PLACE, to="hw-medium", percent=55))
    with pytest.raises(Conflict, match="hw-small 45, hw-medium 55: somebody else"):
        side.apply(plan)
    assert side.shares() == "'hw-small 45, hw-medium 55'"
    side.apply(side.plan("shift_traffic", place=PLACE, to="hw-small", percent=100))


def test_what_changed_since_it_was_read_is_not_written(side: Side) -> None:
    """Another fingerprint is a conflict, and the change of somebody else stays."""
    writes = LoadBalancerWrites(side.clients)
    seen = writes.get_url_map("hw-serving")
    side.apply(side.plan("shift_traffic", **SMALL_TO_MEDIUM))
    with pytest.raises(Conflict):
        writes.apply_weights(seen, {})
    assert side.shares() == "'hw-small 80, hw-medium 20'"
    side.apply(side.plan("shift_traffic", place=PLACE, to="hw-small", percent=100))
    with pytest.raises(NotFound):
        writes.get_backend_service("gone")


def test_a_lost_answer_is_asked_for_again(side: Side, fault: Callable[..., None]) -> None:
    """The change was made and its answer cut off: it is found, not made twice, and verified."""
    fault(preset="truncated", service="compute", method="urlMaps.update", times=1)
    assert side.apply(side.plan("shift_traffic", **SMALL_TO_MEDIUM))
    fault(preset="unavailable", service="compute", method="urlMaps.update", times=2)
    assert side.apply(side.plan("shift_traffic", place=PLACE, to="hw-small", percent=100))
    assert side.shares() == "'hw-small 100'"


def test_a_failed_operation_fails_the_step_and_changes_nothing(
    side: Side, fault: Callable[..., None]
) -> None:
    """Compute accepted it and could not do it."""
    plan = side.plan("fail_over", to="medium")
    fault(preset="failed-operation", service="compute", method="urlMaps.update", times=1)
    with pytest.raises(Conflict, match="Compute Engine"):
        side.apply(plan)
    assert side.shares() == "'hw-small 100'"
    assert side.apply(plan)
    assert side.shares() == "'hw-medium 100'"
    side.apply(side.plan("shift_traffic", "medium", place=PLACE, to="hw-small", percent=100))


def test_a_tier_is_drained_and_restored(side: Side, fault: Callable[..., None]) -> None:
    """Capacity 0 and back, once each, also when an answer is lost; who else changed it wins."""
    drain = side.plan("drain_tier")
    fault(preset="truncated", service="compute", method="backendServices.patch", times=1)
    assert side.apply(drain) == ["capacity of hw-small: hw-small-neg 0"]
    (step,) = drain.steps
    assert side.appliers.applier(step.verb).start(step) == ""
    restore = side.plan("restore_tier")
    assert side.apply(restore) == ["capacity of hw-small: hw-small-neg 1"]
    (group,) = step.after
    writes = LoadBalancerWrites(side.clients)
    half = writes.apply_capacity(writes.get_backend_service("hw-small"), {group: 0.5})
    assert half
    side.appliers.applier(step.verb).wait(half, lambda _: None, threading.Event())
    with pytest.raises(Conflict, match=r"capacity 0\.5"):
        side.apply(drain)
    writes.apply_capacity(writes.get_backend_service("hw-small"), {group: 1.0})


def test_a_vertex_split_is_written_under_its_etag(side: Side, fault: Callable[..., None]) -> None:
    """A canary gets its share; a second start does nothing; another split is not overwritten."""
    snapshot = side.snapshot()
    assert snapshot.endpoints is not None
    (endpoint,) = snapshot.endpoints
    (old,) = endpoint.deployed
    name = f"projects/{side.clients.project}/locations/us-central1/endpoints/{endpoint.id}"
    client: Any = side.clients.vertex_endpoints("us-central1")
    model = client.get_endpoint(name=name).deployed_models[0].model
    client.deploy_model(
        endpoint=name, deployed_model=_deployed(model), traffic_split={old.id: 100, "0": 0}
    ).result(timeout=60)
    (now,) = side.snapshot().endpoints or ()
    (canary,) = [m for m in now.deployed if m.id != old.id]
    wanted = {"endpoint": endpoint.id, "to": canary.id, "percent": 30}
    with_its_tier(side, **wanted)
    hidden_in_its_tier(side, fault, **wanted)
    plan = side.plan("shift_traffic", endpoint=endpoint.id, to=canary.id, percent=10)
    fault(
        code="UNAVAILABLE", service="aiplatform", method="UpdateEndpoint", times=1, message="gone"
    )
    (said,) = side.apply(plan)
    assert f"{canary.id} 10%" in said
    assert side.apply(plan)
    back = side.plan("shift_traffic", endpoint=endpoint.id, to=canary.id, percent=0)
    side.apply(side.plan("shift_traffic", endpoint=endpoint.id, to=canary.id, percent=50))
    with pytest.raises(Conflict, match="somebody changed it"):
        side.apply(back)


def test_replicas_follow_their_operation(side: Side, fault: Callable[..., None]) -> None:
    """Begun, followed, verified; once; a failed operation is told; another's change stays."""
    (endpoint,) = side.snapshot().endpoints or ()
    model = endpoint.deployed[0]
    wanted = {"endpoint": endpoint.id, "model": model.id}
    plan = side.plan("scale_replicas", **wanted, replicas=model.replicas_min - 2)
    assert plan.chip_delta == -8
    fault(preset="failed-operation", service="aiplatform", method="MutateDeployedModel", times=1)
    with pytest.raises(Conflict, match="Vertex:"):
        side.apply(plan)
    (said,) = side.apply(plan)
    assert f"has {model.replicas_min - 2} to {model.replicas_max - 2} replicas" in said
    (step,) = plan.steps
    assert side.appliers.applier(step.verb).start(step) == ""
    side.apply(side.plan("scale_replicas", **wanted, replicas=model.replicas_min))
    other = replace(step, after={"least": 1, "most": 1}, before={"least": 3, "most": 3})
    with pytest.raises(Conflict, match="somebody changed it"):
        side.do(other)


def test_a_budget_is_changed_once(side: Side, fault: Callable[..., None]) -> None:
    """Amount and thresholds; a lost answer is found; another's change stays; outage is told."""
    plan = side.plan("change_budget", amount_usd=2_500_000.5, thresholds="40, 100")
    fault(code="UNAVAILABLE", cut="truncate", service="billingbudgets", method="UpdateBudget",
          times=1)  # fmt: skip
    assert side.apply(plan) == ["heartwood small: $2,500,000.5 at 40%, 100%"]
    assert side.apply(plan)
    other = side.plan("change_budget", amount_usd=1.0)
    side.apply(side.plan("change_budget", amount_usd=2_000_000))
    with pytest.raises(Conflict, match=r"2,000,000.0 at 40%, 100%: somebody else"):
        side.apply(other)
    fault(preset="unavailable", service="billingbudgets", method="UpdateBudget")
    with pytest.raises(Unavailable, match="whether it was written is not known"):
        side.apply(side.plan("change_budget", amount_usd=3_000_000))


def test_a_slice_is_restarted_pod_by_pod(side: Side) -> None:
    """Its pods end once, new ones come on the same hosts; a second start does nothing."""
    plan = side.plan("restart_slice", slice=side.slices("small")[0])
    assert side.appliers.observe(plan, side.snapshot())[1] == []
    (said,) = side.apply(plan)
    assert said == "1 of 1 hosts have a new, ready pod"
    assert side.appliers.applier(plan.steps[0].verb).start(plan.steps[0]) == ""
    (differs,) = side.appliers.observe(plan, side.snapshot())[1]
    assert "pods: us-central1/hw-serving/" in differs


def test_a_slice_of_many_hosts_is_restarted_whole(side: Side) -> None:
    """All pods of an atomic pool end, and all come back."""
    plan = side.plan("restart_slice", "medium", slice=side.slices("medium")[0])
    assert side.apply(plan) == ["4 of 4 hosts have a new, ready pod"]
