"""Faults that are a state: operations stuck or failed, slices pre-empted, unhealthy backends."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from google.api_core import exceptions

from tests.emulator.clients import PROJECT, WIRES, make_client
from tests.emulator.faults.conftest import Fault
from tests.processes import EmulatorProcess
from tests.waiting import wait_until

LOCATION = f"projects/{PROJECT}/locations/us-central1"
CLUSTER = f"{LOCATION}/clusters/hw-serving"
ZONE = f"projects/{PROJECT}/locations/us-central1-b"


def _done(gke: Any, operation: Any) -> Any:
    name = f"{LOCATION}/operations/{operation.name}"
    return wait_until(lambda: (o := gke.get_operation(name=name)).status.name == "DONE" and o)


def _pool(name: str) -> dict[str, Any]:
    config = {"machine_type": "tpu7x-standard-4t", "labels": {"made-by": "test"}}
    return {
        "parent": CLUSTER,
        "node_pool": {"name": name, "initial_node_count": 1, "config": config,
                      "locations": ["us-central1-c"]},
    }  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
def test_stock_out_of_a_pool(broken: EmulatorProcess, fault: Fault, wire: str) -> None:
    """The creation is accepted; its operation fails with GCE_STOCKOUT, the pool is in ERROR."""
    fault(preset="stock-out", service="container")
    gke = make_client("ClusterManagerClient", wire, broken)
    name = f"dry-{wire}"
    failed = _done(gke, gke.create_node_pool(request=_pool(name)))
    assert failed.error.code == 8
    assert "[GCE_STOCKOUT]" in failed.error.message
    assert gke.get_node_pool(name=f"{CLUSTER}/nodePools/{name}").status.name == "ERROR"
    # Deleting is no creation: it works.
    gone = _done(gke, gke.delete_node_pool(name=f"{CLUSTER}/nodePools/{name}"))
    assert not gone.error.message


def test_a_failed_resize_leaves_the_pool(broken: EmulatorProcess, fault: Fault) -> None:
    """The size is what it was; the next resize works."""
    gke = make_client("ClusterManagerClient", "grpc", broken)
    pool = f"{CLUSTER}/nodePools/hw-small-01"
    fault(preset="stock-out", method="SetNodePoolSize", times=1)
    asked = {"name": pool, "node_count": 17}
    assert _done(gke, gke.set_node_pool_size(request=asked)).error.code == 8
    assert gke.get_node_pool(name=pool).status.name == "RUNNING"
    done = _done(gke, gke.set_node_pool_size(request=asked))
    assert not done.error.message
    _done(gke, gke.set_node_pool_size(request={"name": pool, "node_count": 16}))


def test_a_tpu_that_is_not_to_be_had(broken: EmulatorProcess, fault: Fault) -> None:
    """The operation fails in the TPU API's words; no node stays."""
    fault(preset="stock-out", service="tpu")
    client = make_client("TpuClient", "grpc", broken)
    node = {"accelerator_type": "v6e-1", "runtime_version": "v2-alpha-tpuv6e"}
    operation = client.create_node(parent=ZONE, node_id="dry", node=node)
    with pytest.raises(exceptions.GoogleAPICallError, match="no more capacity in the zone"):
        operation.result(timeout=60)
    with pytest.raises(exceptions.NotFound):
        client.get_node(name=f"{ZONE}/nodes/dry")


def test_a_stuck_operation(broken: EmulatorProcess, fault: Fault) -> None:
    """It stays RUNNING far beyond its time; cancelled it ends; with the rule gone it goes on."""
    gke = make_client("ClusterManagerClient", "grpc", broken)
    pool = f"{CLUSTER}/nodePools/hw-small-02"
    rule = fault(preset="stuck-operation", service="container", method="SetNodePoolSize", times=2)
    held = gke.set_node_pool_size(request={"name": pool, "node_count": 17})
    time.sleep(0.4)  # twice as long as it would take
    name = f"{LOCATION}/operations/{held.name}"
    assert gke.get_operation(name=name).status.name == "RUNNING"
    gke.cancel_operation(name=name)
    assert gke.get_operation(name=name).error.code == 1
    again = gke.set_node_pool_size(request={"name": pool, "node_count": 17})
    time.sleep(0.3)
    assert gke.get_operation(name=f"{LOCATION}/operations/{again.name}").status.name == "RUNNING"
    httpx.delete(f"{broken.rest_url}/_heartwood/faults/{rule['id']}")
    assert not _done(gke, again).error.message
    _done(gke, gke.set_node_pool_size(request={"name": pool, "node_count": 16}))


def test_a_failed_compute_operation(broken: EmulatorProcess, fault: Fault) -> None:
    """The resource is not there afterwards, and its name is free."""
    fault(preset="failed-operation", service="compute", method="healthChecks.insert", times=1)
    base = f"{broken.rest_url}/compute/v1/projects/{PROJECT}/global"
    body = {"name": "unlucky", "type": "TCP", "tcpHealthCheck": {"port": 80}}
    for failing in (True, False):
        begun = httpx.post(f"{base}/healthChecks", json=body).json()
        done = httpx.post(f"{base}/operations/{begun['name']}/wait", timeout=20).json()
        assert ("error" in done) is failing
        found = httpx.get(f"{base}/healthChecks/unlucky").status_code
        assert found == (404 if failing else 200)


def test_a_preempted_slice(broken: EmulatorProcess, fault: Fault) -> None:
    """Its hosts are not ready, its endpoint is unhealthy, for as long as the rule stands."""
    nodes = f"{broken.rest_url}/k8s/{PROJECT}/us-central1/hw-serving/api/v1/nodes"

    def unready() -> set[str]:
        return {
            n["metadata"]["labels"]["cloud.google.com/gke-nodepool"]
            for n in httpx.get(nodes, timeout=30).json()["items"]
            if _ready(n) != "True"
        }

    rule = fault(preset="preempted", pool="hw-medium-07")
    assert rule["slices"] == [{"tier": "medium", "slice": 7}]
    assert unready() == {"hw-medium-07"}
    assert _health(broken, "medium").count("UNHEALTHY") == 1
    httpx.delete(f"{broken.rest_url}/_heartwood/faults/{rule['id']}")
    assert unready() == set()
    assert "UNHEALTHY" not in _health(broken, "medium")


def test_unhealthy_backends(broken: EmulatorProcess, fault: Fault) -> None:
    """As many endpoints of the tier as asked fail their checks, the same ones for a seed."""
    fault(preset="unhealthy-backend", tier="small", count=5)
    states = _health(broken, "small")
    assert (len(states), states.count("UNHEALTHY")) == (48, 5)


def _ready(node: Any) -> str:
    return next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")


def _health(emulator: EmulatorProcess, tier: str) -> list[str]:
    base = f"{emulator.rest_url}/compute/v1/projects/{PROJECT}"
    service = httpx.get(f"{base}/global/backendServices/hw-{tier}").json()
    answer = httpx.post(
        f"{base}/global/backendServices/hw-{tier}/getHealth",
        json={"group": service["backends"][0]["group"]},
    )
    return [s["healthState"] for s in answer.json()["healthStatus"]]
