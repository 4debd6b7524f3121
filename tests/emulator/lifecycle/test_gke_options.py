"""Node pools' and clusters' settings, v6e slices of several hosts, reservations, idle chips."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from google.api_core import exceptions
from google.cloud import container_v1

from core import tpu
from emulator.apis.gke import lifecycle, pool_checks
from emulator.apis.gke.model import Cluster
from emulator.apis.monitoring.align import unfold
from emulator.apis.monitoring.sources import accelerators
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.context import make_cloud
from emulator.settings import Settings
from tests.emulator.clients import LOCATION, PROJECT, make_client
from tests.emulator.lifecycle.conftest import Compute
from tests.emulator.lifecycle.test_gke import _pool, _wait
from tests.processes import EmulatorProcess

ZONE = "zones/us-central1-b"
CLUSTER = f"{LOCATION}/clusters/opts"


@pytest.fixture(scope="module")
def fast_compute(fast: EmulatorProcess) -> Iterator[Compute]:
    """Compute of the empty project."""
    with httpx.Client(timeout=30) as client:
        yield Compute(fast.rest_url, client)


@pytest.fixture(scope="module")
def gke(fast: EmulatorProcess, fast_compute: Compute) -> Any:
    """A client of an empty project in which a cluster was made."""
    client = make_client("ClusterManagerClient", "grpc", fast)
    fast_compute.make("global/networks", name="opts-net", autoCreateSubnetworks=False)
    fast_compute.make("regions/us-central1/subnetworks", name="opts-subnet",
                      network="global/networks/opts-net", ipCidrRange="10.9.0.0/16")  # fmt: skip
    _wait(client, client.create_cluster(parent=LOCATION, cluster={
        "name": "opts", "network": "opts-net", "subnetwork": "opts-subnet",
        "release_channel": {"channel": "RAPID"},
        "node_pools": [_pool("base", machine="e2-standard-4", zone="us-central1-b")]}))  # fmt: skip
    return client


def _set(client: Any, method: str, **request: Any) -> None:
    done = _wait(client, getattr(client, method)(request=request))
    assert not done.error.message


def test_settings_are_kept_and_checked(gke: Any) -> None:
    """Autoscaling, management, labels, maintenance and zones are shown as set, and validated."""
    name = f"{CLUSTER}/nodePools/base"
    bounds = {"enabled": True, "min_node_count": 1, "max_node_count": 5}
    _set(gke, "set_node_pool_autoscaling", name=name, autoscaling=bounds)
    assert gke.get_node_pool(name=name).autoscaling.max_node_count == 5
    with pytest.raises(exceptions.BadRequest, match="out of range"):
        gke.set_node_pool_autoscaling(request={"name": name, "autoscaling": {
            "enabled": True, "min_node_count": 6, "max_node_count": 5}})  # fmt: skip
    with pytest.raises(exceptions.BadRequest, match="Auto_upgrade must be true"):
        gke.set_node_pool_management(request={"name": name, "management": {"auto_repair": True}})
    _set(gke, "set_node_pool_management", name=name, management={"auto_upgrade": True})
    assert not gke.get_node_pool(name=name).management.auto_repair
    with pytest.raises(exceptions.BadRequest, match="fingerprint"):
        gke.set_labels(request={"name": CLUSTER, "resource_labels": {"a": "b"},
                                "label_fingerprint": "old"})  # fmt: skip
    mark = gke.get_cluster(name=CLUSTER).label_fingerprint
    _set(gke, "set_labels", name=CLUSTER, resource_labels={"a": "b"}, label_fingerprint=mark)
    window = {"daily_maintenance_window": {"start_time": "03:00"}}
    _set(gke, "set_maintenance_policy", name=CLUSTER, maintenance_policy={"window": window})
    _set(gke, "set_locations", name=CLUSTER, locations=["us-central1-b", "us-central1-c"])
    found = gke.get_cluster(name=CLUSTER)
    assert dict(found.resource_labels) == {"a": "b"}
    assert found.maintenance_policy.window.daily_maintenance_window.start_time == "03:00"
    assert list(found.locations) == ["us-central1-b", "us-central1-c"]
    with pytest.raises(exceptions.BadRequest, match="no upgrade to roll back"):
        gke.rollback_node_pool_upgrade(request={"name": name})


def test_v6e_slices_of_one_host_and_of_two(gke: Any) -> None:
    """2x4 is one ct6e-standard-8t or two ct6e-standard-4t, which are atomic."""
    for name, machine, nodes in (("one", "ct6e-standard-8t", 1), ("two", "ct6e-standard-4t", 2)):
        pool = _pool(name, machine=machine, nodes=nodes, zone="us-central1-b",
                     placement_policy={"tpu_topology": "2x4"})  # fmt: skip
        done = _wait(gke, gke.create_node_pool(parent=CLUSTER, node_pool=pool))
        assert not done.error.message, done.error.message
    labels = gke.get_node_pool(name=f"{CLUSTER}/nodePools/two").config.labels
    assert labels["cloud.google.com/gke-tpu-topology"] == "2x4"
    with pytest.raises(exceptions.BadRequest, match="atomic"):
        gke.set_node_pool_size(request={"name": f"{CLUSTER}/nodePools/two", "node_count": 4})
    with pytest.raises(exceptions.BadRequest, match="exactly 2 nodes"):
        gke.create_node_pool(parent=CLUSTER, node_pool=_pool(
            "three", machine="ct6e-standard-4t", nodes=3, zone="us-central1-b",
            placement_policy={"tpu_topology": "2x4"}))  # fmt: skip
    with pytest.raises(exceptions.BadRequest, match="between 0 and 2"):
        gke.set_node_pool_autoscaling(request={
            "name": f"{CLUSTER}/nodePools/two",
            "autoscaling": {"enabled": True, "max_node_count": 3}})  # fmt: skip
    for name in ("one", "two"):
        _wait(gke, gke.delete_node_pool(name=f"{CLUSTER}/nodePools/{name}"))


def test_a_reservation_is_consumed(gke: Any, fast_compute: Compute) -> None:
    """A pool that names a reservation takes of its VMs, and no more than it has."""
    fast_compute.make(f"{ZONE}/reservations", name="held", specificReservation={
        "count": "2", "instanceProperties": {"machineType": "ct6e-standard-4t"}})  # fmt: skip
    affinity = {"key": "compute.googleapis.com/reservation-name", "values": ["held"],
                "consume_reservation_type":
                    container_v1.ReservationAffinity.Type.SPECIFIC_RESERVATION}  # fmt: skip
    pool = _pool("held", machine="ct6e-standard-4t", nodes=1, zone="us-central1-b")
    pool["config"]["reservation_affinity"] = affinity
    _wait(gke, gke.create_node_pool(parent=CLUSTER, node_pool=pool))
    shown = fast_compute.call("GET", f"{ZONE}/reservations/held")["specificReservation"]
    assert (shown["count"], shown["inUseCount"]) == ("2", "1")
    with pytest.raises(exceptions.BadRequest, match="3 VMs are asked for, 2 of 2 are free"):
        gke.set_node_pool_size(request={"name": f"{CLUSTER}/nodePools/held", "node_count": 3})
    with pytest.raises(exceptions.BadRequest, match="does not have available resources"):
        gke.create_node_pool(parent=CLUSTER, node_pool={**pool, "name": "more",
                                                        "initial_node_count": 2})  # fmt: skip


@pytest.mark.parametrize("name", ["memory_used", "tensorcore_utilization", "duty_cycle"])
def test_chips_of_callers_show_that_they_idle(name: str) -> None:
    """A tier made in an empty project has node series from when its hosts were ready: nothing is
    computed, little memory is held, and the duty cycle has no points, as on real idle chips.
    """
    cloud = make_cloud(Settings(scenario="empty-project", speed=10_000.0))
    cluster = cloud.fleet.clusters["mine"] = Cluster("mine", "us-central1", "1.35.0-gke.1", 0.0)
    asked = container_v1.NodePool(
        _pool("hw-mine-00", machine="ct6e-standard-4t", nodes=2, zone="us-central1-b",
              labels={"heartwood-tier": "mine"})
    )  # fmt: skip
    pool = pool_checks.new_pool(cloud, cluster, asked, "us-central1-b")
    job = lifecycle.create_pool(cloud, cluster, pool, "container/us-central1/o-1")
    while not job.done:
        cloud.operations.settle()
    found = accelerators.node_blocks(Telemetry(cloud), name)
    if name == "duty_cycle":
        assert found == []
        return
    (block,) = found
    assert block.labels.size == 8
    assert set(block.labels.columns["user.heartwood-tier"].values) == {"mine"}
    now = int(time.time() // 60)
    values = unfold(block, np.array([now - 60, now + 60]))
    assert np.isnan(values[:, 0]).all()
    wanted = 0.02 * tpu.V6E.hbm_bytes if name == "memory_used" else 0.0
    assert values[:, 1] == pytest.approx(wanted)


def test_global_groups_of_internet_endpoints(fast_compute: Compute) -> None:
    """A global NEG holds names outside; its backend has neither health check nor mode."""
    neg = "global/networkEndpointGroups"
    fast_compute.make(neg, name="outside", networkEndpointType="INTERNET_FQDN_PORT",
                      defaultPort=443)  # fmt: skip
    told = fast_compute.call("POST", neg, {
        "name": "wrong", "networkEndpointType": "GCE_VM_IP_PORT"}, status=400)  # fmt: skip
    assert "cannot have this type" in told["error"]["message"]
    added = {"networkEndpoints": [{"fqdn": "model.example.com", "port": 443}]}
    fast_compute.done(fast_compute.call("POST", f"{neg}/outside/attachNetworkEndpoints", added))
    found = fast_compute.call("POST", f"{neg}/outside/listNetworkEndpoints")
    assert found["items"][0]["networkEndpoint"]["fqdn"] == "model.example.com"
    fast_compute.make("global/backendServices", name="outside", protocol="HTTPS",
                      loadBalancingScheme="EXTERNAL_MANAGED",
                      backends=[{"group": f"projects/{PROJECT}/{neg}/outside"}])  # fmt: skip
    assert "resourceInUseByAnotherResource" in fast_compute.reason("DELETE", f"{neg}/outside")
    fast_compute.drop("global/backendServices/outside")
    fast_compute.drop(f"{neg}/outside")
