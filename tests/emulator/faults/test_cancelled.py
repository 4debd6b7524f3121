"""A cancelled operation of Cloud TPU takes back what it began; a rule counts what it hit."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from google.api_core import exceptions

from tests.emulator.clients import PROJECT, WIRES, make_client
from tests.emulator.faults.conftest import Fault
from tests.emulator.lifecycle.conftest import POLL
from tests.processes import EmulatorProcess

ZONE = f"projects/{PROJECT}/locations/us-central1-b"
NODE: dict[str, Any] = {"accelerator_type": "v6e-1", "runtime_version": "v2-alpha-tpuv6e"}


def _cancel(client: Any, operation: Any) -> None:
    client.cancel_operation({"name": operation.operation.name})
    assert client.get_operation({"name": operation.operation.name}).error.code == 1


@pytest.mark.parametrize("wire", WIRES)
def test_each_verb_of_a_node(broken: EmulatorProcess, fault: Fault, wire: str) -> None:
    """Created: it is gone; stopped, started and deleted: it is as it was, and can be deleted."""
    client, node_id = make_client("TpuClient", wire, broken), f"held-{wire}"
    name = f"{ZONE}/nodes/{node_id}"

    def state() -> str:
        return client.get_node(name=name).state.name

    def rule(method: str) -> None:
        fault(id="hold", preset="stuck-operation", service="tpu", method=method, times=1)

    rule("CreateNode")
    _cancel(client, client.create_node(parent=ZONE, node_id=node_id, node=NODE))
    with pytest.raises(exceptions.NotFound):
        state()
    client.create_node(parent=ZONE, node_id=node_id, node=NODE).result(polling=POLL)
    rule("StopNode")
    _cancel(client, client.stop_node({"name": name}))
    assert state() == "READY"
    client.stop_node({"name": name}).result(polling=POLL)
    rule("StartNode")
    _cancel(client, client.start_node({"name": name}))
    assert state() == "STOPPED"
    rule("DeleteNode")
    _cancel(client, client.delete_node(name=name))
    assert state() == "STOPPED"
    client.delete_node(name=name).result(polling=POLL)


def test_a_queued_resource(broken: EmulatorProcess, fault: Fault) -> None:
    """Cancelled while CREATING it is FAILED, and can be deleted."""
    fault(preset="stuck-operation", service="tpu", method="CreateQueuedResource", times=1)
    client = make_client("TpuClient", "grpc", broken)
    spec = {"parent": ZONE, "node_id": "queued", "node": NODE}
    name = f"{ZONE}/queuedResources/held"
    _cancel(client, client.create_queued_resource(
        parent=ZONE, queued_resource_id="held", queued_resource={"tpu": {"node_spec": [spec]}}
    ))  # fmt: skip
    assert client.get_queued_resource(name=name).state.state.name == "FAILED"
    client.delete_queued_resource(name=name).result(polling=POLL)


def test_a_rule_counts_calls_that_begin_an_operation(broken: EmulatorProcess, fault: Fault) -> None:
    """Reads and refused changes use up none of its `times`."""
    rule = fault(preset="stuck-operation", service="tpu", times=1)
    client = make_client("TpuClient", "grpc", broken)
    for _ in range(3):
        client.list_nodes(parent=ZONE)
    with pytest.raises(exceptions.NotFound):
        client.delete_node(name=f"{ZONE}/nodes/nobody")
    place = f"{broken.rest_url}/_heartwood/faults/{rule['id']}"
    assert httpx.get(place, timeout=30).json()["hits"] == 0
    operation = client.create_node(parent=ZONE, node_id="counted", node=NODE)
    shown = httpx.get(place, timeout=30).json()
    assert (shown["hits"], shown["active"]) == (1, False)
    _cancel(client, operation)
