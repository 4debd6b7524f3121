"""TPU VMs and queued resources of the Cloud TPU API made, changed and deleted, over both wires."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from google.api_core import exceptions

from emulator.apis.monitoring.fleet import hosts_of
from emulator.apis.tpu import model
from emulator.context import make_cloud
from emulator.settings import Settings
from emulator.world.parts import PartKind
from emulator.world.world import World
from tests.emulator.clients import PROJECT, WIRES, make_client
from tests.emulator.discovery import response_problems
from tests.emulator.lifecycle.conftest import POLL
from tests.processes import EmulatorProcess
from tests.waiting import wait_until

ZONE = f"projects/{PROJECT}/locations/us-central1-b"
NODE: dict[str, Any] = {"accelerator_type": "v6e-8", "runtime_version": "v2-alpha-tpuv6e"}


def _seen(ask: Any, wanted: str) -> list[str]:
    """The states seen until the wanted one."""
    seen = [ask()]

    def look() -> bool:
        state = ask()
        if seen[-1] != state:
            seen.append(state)
        return state == wanted

    wait_until(look, pause_s=0.01)
    return seen


@pytest.mark.parametrize("wire", WIRES)
def test_a_node_lives_and_dies(empty: EmulatorProcess, wire: str) -> None:
    """CREATING → READY, labels changed by mask, DELETING → gone; the operations say so."""
    tpus = make_client("TpuClient", wire, empty)
    name = f"{ZONE}/nodes/n-{wire}"
    rules = f"{empty.rest_url}/_heartwood/faults"
    held = {"preset": "stuck-operation", "service": "tpu", "method": "create_node"}
    (rule,) = httpx.post(rules, json=held).raise_for_status().json()["faults"]
    try:
        operation = tpus.create_node(parent=ZONE, node_id=f"n-{wire}", node=NODE)
        assert tpus.get_node(name=name).state.name == "CREATING"
        assert operation.metadata.verb == "create"
        with pytest.raises(exceptions.Conflict):
            tpus.create_node(parent=ZONE, node_id=f"n-{wire}", node=NODE)
    finally:
        httpx.delete(f"{rules}/{rule['id']}").raise_for_status()
    made = operation.result(polling=POLL)
    assert (made.state.name, made.accelerator_type) == ("READY", "v6e-8")
    assert made.accelerator_config.topology == "2x4"
    change = {"name": name, "labels": {"a": "b"}, "description": "unmasked"}
    after = tpus.update_node(node=change, update_mask={"paths": ["labels"]}).result(polling=POLL)
    assert (dict(after.labels), after.description) == ({"a": "b"}, "")
    with pytest.raises(exceptions.BadRequest, match="cannot be updated"):
        tpus.update_node(node=change, update_mask={"paths": ["runtime_version"]})
    tpus.delete_node(name=name).result(polling=POLL)
    with pytest.raises(exceptions.NotFound):
        tpus.get_node(name=name)


REFUSED = [
    ("n", {"accelerator_type": "tpu7x-8"}, exceptions.BadRequest, "Kubernetes Engine"),
    ("n", {"accelerator_type": "v5p-8"}, exceptions.BadRequest, "not available in zone"),
    ("n", {"accelerator_type": "v6e-3"}, exceptions.BadRequest, "not available in zone"),
    ("n", {"runtime_version": ""}, exceptions.BadRequest, "must be set"),
    ("n", {"runtime_version": "tpu-ubuntu2204-base"}, exceptions.BadRequest, "does not support"),
    ("n", {"network_config": {"network": "none"}}, exceptions.BadRequest, "'none' was not found"),
    ("n", {"service_account": {"email": "none@heartwood-demo.iam.gserviceaccount.com"}},
     exceptions.BadRequest, "does not exist"),
    ("Bad", {}, exceptions.BadRequest, "Invalid node ID"),
    ("n", {"accelerator_type": "v6e-256"}, exceptions.TooManyRequests, "Quota limit"),
    ("n", {"accelerator_type": "", "accelerator_config": {"type_": "V6E", "topology": "3x3"}},
     exceptions.BadRequest, "nearest legal: 2x4"),
]  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("node_id", "change", "error", "words"), REFUSED)
def test_refused_nodes(
    empty: EmulatorProcess, wire: str, node_id: str, change: dict[str, Any],
    error: type[Exception], words: str,
) -> None:  # fmt: skip
    """TPU7x, what the zone lacks, wrong runtimes, names and quota: Google's errors."""
    with pytest.raises(error, match=words):
        make_client("TpuClient", wire, empty).create_node(
            parent=ZONE, node_id=node_id, node={**NODE, **change}
        )


def test_queued_resources(empty: EmulatorProcess) -> None:
    """ACCEPTED → PROVISIONING → ACTIVE; SUSPENDED when its node goes; reset; gone by force."""
    tpus = make_client("TpuClient", "grpc", empty)
    name = f"{ZONE}/queuedResources/q"
    asked = {"tpu": {"node_spec": [{"parent": ZONE, "node_id": "qn", "node": NODE}]}}

    def state() -> str:
        return str(tpus.get_queued_resource(name=name).state.state.name)

    tpus.create_queued_resource(parent=ZONE, queued_resource_id="q", queued_resource=asked)
    assert _seen(state, "ACTIVE")[-3:] == ["ACCEPTED", "PROVISIONING", "ACTIVE"]
    assert tpus.get_node(name=f"{ZONE}/nodes/qn").queued_resource == name
    for path in (f"{ZONE}/queuedResources", name, f"{ZONE}/nodes/qn"):
        body = httpx.get(f"{empty.rest_url}/tpu/v2/{path}").json()
        assert response_problems("tpu.v2", "GET", f"v2/{path}", body) == []
    with pytest.raises(exceptions.BadRequest, match="delete its nodes"):
        tpus.delete_queued_resource(name=name)
    tpus.delete_node(name=f"{ZONE}/nodes/qn").result(polling=POLL)
    assert state() == "SUSPENDED"
    tpus.reset_queued_resource(name=name).result(polling=POLL)
    wait_until(lambda: state() == "ACTIVE")
    with pytest.raises(exceptions.BadRequest, match="only SUSPENDED"):
        tpus.reset_queued_resource(name=name)
    tpus.delete_queued_resource(request={"name": name, "force": True}).result(polling=POLL)
    with pytest.raises(exceptions.NotFound):
        state()
    with pytest.raises(exceptions.NotFound):
        tpus.get_node(name=f"{ZONE}/nodes/qn")


def test_no_stock(empty: EmulatorProcess) -> None:
    """A node fails with the zone's name and is gone; a queued resource waits."""
    tpus = make_client("TpuClient", "grpc", empty)
    zone = f"projects/{PROJECT}/locations/us-east5-b"
    node = {**NODE, "accelerator_type": "v6e-16"}
    operation = tpus.create_node(parent=zone, node_id="none", node=node)
    with pytest.raises(exceptions.ResourceExhausted, match="no more capacity in the zone"):
        operation.result(polling=POLL)
    assert list(tpus.list_nodes(parent=zone)) == []
    asked = {"tpu": {"node_spec": [{"parent": zone, "node_id": "w", "node": node}]}}
    tpus.create_queued_resource(parent=zone, queued_resource_id="w", queued_resource=asked)
    name = f"{zone}/queuedResources/w"
    waiting = "WAITING_FOR_RESOURCES"
    wait_until(lambda: tpus.get_queued_resource(name=name).state.state.name == waiting)
    tpus.delete_queued_resource(name=name).result(polling=POLL)


def test_the_world_follows_nodes() -> None:
    """A deleted TPU VM is capacity and cost no more; its past stays."""
    cloud = make_cloud(Settings(speed=10_000.0))
    state = cloud.store(model.TpuState, lambda: model.initial_state(cloud))
    world = World(cloud.scenario, cloud.log, cloud.seed, cloud.clock.started_at)
    part = next(p for p in world.parts if p.kind is PartKind.TPU_VM)
    (node,) = state.nodes.values()
    job = model.remove(cloud, state, node, {})
    while not job.done:
        cloud.operations.settle()
        time.sleep(0.001)
    now = time.time()
    assert float(world.slices(part, [now])[0]) == 0  # type: ignore[arg-type] # any array
    (host,) = hosts_of(cloud, world, part)
    ((start, end),) = host.absences
    assert start <= now < end
    assert start > cloud.clock.started_at
