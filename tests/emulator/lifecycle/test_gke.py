"""Clusters and node pools made, changed and deleted, and what follows in compute and the world."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import container_v1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import tpu
from emulator.apis.gke import lifecycle, pool_checks
from emulator.context import Cloud, make_cloud
from emulator.settings import Settings
from emulator.wire.errors import ApiError
from emulator.world.bill import bill
from emulator.world.parts import PartKind
from emulator.world.world import World
from tests.emulator.clients import CLUSTER, HTTP, LOCATION, PROJECT, WIRES, make_client
from tests.emulator.discovery import find_method, problems
from tests.emulator.lifecycle.conftest import Compute
from tests.processes import EmulatorProcess

REGION = "regions/us-central1"


def _pool(name: str, **more: Any) -> dict[str, Any]:
    machine = more.pop("machine", "tpu7x-standard-4t")
    return {
        "name": name, "initial_node_count": more.pop("nodes", 1),
        "config": {"machine_type": machine, "labels": more.pop("labels", {}),
                   "service_account": more.pop("account", "")},
        "locations": [more.pop("zone", "us-central1-c")], **more,
    }  # fmt: skip


def _wait(client: Any, operation: Any) -> Any:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = client.get_operation(name=f"{LOCATION}/operations/{operation.name}")
        if found.status.name == "DONE":
            return found
        time.sleep(0.05)
    raise AssertionError("not done")


def test_a_slice_is_made_and_deleted(living_compute: Compute, living: EmulatorProcess) -> None:
    """Policy, pool, hosts, endpoint; the policy is in use meanwhile; all goes with the pool."""
    gke = make_client("ClusterManagerClient", "grpc", living)
    compute = living_compute
    compute.make(
        f"{REGION}/resourcePolicies", name="hw-large-4x8x8",
        workloadPolicy={"type": "HIGH_THROUGHPUT", "acceleratorTopology": "4x8x8"},
    )  # fmt: skip
    pool = _pool("hw-large-00", nodes=64, labels={"heartwood-tier": "large"},
                 placement_policy={"policy_name": "hw-large-4x8x8"})  # fmt: skip
    operation = gke.create_node_pool(parent=CLUSTER, node_pool=pool)
    assert operation.operation_type.name == "CREATE_NODE_POOL"
    name = f"{CLUSTER}/nodePools/hw-large-00"
    assert gke.get_node_pool(name=name).status.name == "PROVISIONING"
    with pytest.raises(exceptions.AlreadyExists):
        gke.create_node_pool(parent=CLUSTER, node_pool=pool)
    assert not _wait(gke, operation).error.message
    found = gke.get_node_pool(name=name)
    assert (found.status.name, found.initial_node_count) == ("RUNNING", 64)
    assert found.placement_policy.policy_name == "hw-large-4x8x8"
    assert found.config.labels["cloud.google.com/gke-tpu-topology"] == "4x8x8"
    link = found.instance_group_urls[0].split(f"/projects/{PROJECT}/")[1]
    assert compute.call("GET", link)["targetSize"] == 64
    told = compute.reason("DELETE", f"{REGION}/resourcePolicies/hw-large-4x8x8")
    assert "resourceInUseByAnotherResource" in told
    neg = "zones/us-central1-c/networkEndpointGroups/hw-large-neg"
    health = compute.call("POST", "global/backendServices/hw-large/getHealth", {"group": neg})
    assert [h["healthState"] for h in health["healthStatus"]] == ["HEALTHY"]
    with pytest.raises(exceptions.BadRequest, match="atomic"):
        gke.set_node_pool_size(request={"name": name, "node_count": 32})
    done = _wait(gke, gke.delete_node_pool(name=name))
    assert done.operation_type.name == "DELETE_NODE_POOL"
    with pytest.raises(exceptions.NotFound):
        gke.get_node_pool(name=name)
    health = compute.call("POST", "global/backendServices/hw-large/getHealth", {"group": neg})
    assert "healthStatus" not in health
    compute.drop(f"{REGION}/resourcePolicies/hw-large-4x8x8")


REFUSED = [
    (_pool("Bad"), "lowercase letter"),
    (_pool("p", machine="tpu7x-standard-8t"), "does not exist in zone"),
    (_pool("p", zone="us-central1-b"), "TPU7x is in: us-central1-c, us-central1-ai1a"),
    (_pool("p", zone="us-east5-a"), "is not a zone of the cluster"),
    (_pool("p", nodes=1001), "out of range"),
    (_pool("p", account="none@heartwood-demo.iam.gserviceaccount.com"), "does not exist"),
    (_pool("p", nodes=64, placement_policy={"policy_name": "none"}), "none' was not found"),
    (_pool("p", nodes=64, placement_policy={"tpu_topology": "4x8x8"}), "needs a workload policy"),
    (_pool("p", nodes=4, placement_policy={"policy_name": "hw-medium-2x2x4",
                                           "tpu_topology": "2x2x2"}), "differs from 2x2x4"),
    (_pool("p", nodes=3, placement_policy={"policy_name": "hw-medium-2x2x4"}), "exactly 4 nodes"),
    (_pool("p", placement_policy={"tpu_topology": "3x3x3"}), "nearest legal"),
    (_pool("p", machine="tpu7x-standard-1t", nodes=4,
           placement_policy={"policy_name": "hw-medium-2x2x4"}), "needs tpu7x-standard-4t"),
]  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("pool", "words"), REFUSED)
def test_refused_pools(
    living: EmulatorProcess, wire: str, pool: dict[str, Any], words: str
) -> None:
    """What GKE refuses is refused at once on both wires, with the nearest that is legal."""
    gke = make_client("ClusterManagerClient", wire, living)
    with pytest.raises(exceptions.BadRequest, match=words):
        gke.create_node_pool(parent=CLUSTER, node_pool=pool)


def test_quota_and_stock(living: EmulatorProcess) -> None:
    """Too little quota is refused at once; too little stock fails the operation, the pool stays
    in ERROR until it is deleted.
    """
    gke = make_client("ClusterManagerClient", "grpc", living)
    with pytest.raises(exceptions.PermissionDenied, match="Insufficient regional quota"):
        gke.create_node_pool(parent=CLUSTER, node_pool=_pool("much", nodes=1000, machine=(
            "ct6e-standard-4t"), zone="us-central1-b"))  # fmt: skip
    pool = _pool("short", nodes=65, zone="us-central1-ai1a")
    failed = _wait(gke, gke.create_node_pool(parent=CLUSTER, node_pool=pool))
    assert failed.error.code == 8
    assert "does not have enough resources available" in failed.error.message
    found = gke.get_node_pool(name=f"{CLUSTER}/nodePools/short")
    assert (found.status.name, "GCE_STOCKOUT" in found.status_message) == ("ERROR", True)
    _wait(gke, gke.delete_node_pool(name=f"{CLUSTER}/nodePools/short"))


def test_a_creation_can_be_cancelled(living: EmulatorProcess) -> None:
    """Nothing of the pool is left; deleting it twice at once is refused with the operation."""
    gke = make_client("ClusterManagerClient", "rest", living)
    operation = gke.create_node_pool(
        parent=CLUSTER, node_pool=_pool("off", machine="e2-standard-4")
    )
    gke.cancel_operation(name=f"{LOCATION}/operations/{operation.name}")
    with pytest.raises(exceptions.NotFound):
        gke.get_node_pool(name=f"{CLUSTER}/nodePools/off")


def _rest(emulator: EmulatorProcess, verb: str, path: str, body: Any = None) -> Any:
    method = find_method("container.v1", verb, f"v1/{path}")
    assert method
    if body is not None:
        assert problems("container.v1", method["request"]["$ref"], body) == []
    answer = HTTP.request(verb, f"{emulator.rest_url}/container/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    assert problems("container.v1", method["response"]["$ref"], answer.json()) == []
    return answer.json()


def _rest_wait(emulator: EmulatorProcess, operation: Any) -> None:
    until = time.monotonic() + 60
    while operation["status"] != "DONE":
        assert time.monotonic() < until
        time.sleep(0.1)
        operation = _rest(emulator, "GET", f"{LOCATION}/operations/{operation['name']}")


def test_a_cluster_lives_and_dies(compute: Compute, empty: EmulatorProcess) -> None:
    """Made in a network that exists, upgraded, its pools changed, deleted; all bodies validate."""
    compute.make("global/networks", name="k8s-net", autoCreateSubnetworks=False)
    compute.make(f"{REGION}/subnetworks", name="k8s-sub", network="global/networks/k8s-net",
                 ipCidrRange="10.40.0.0/16")  # fmt: skip
    cluster = {
        "name": "lives", "network": "k8s-net", "subnetwork": "k8s-sub",
        "initialClusterVersion": "1.33", "releaseChannel": {"channel": "REGULAR"},
        "workloadIdentityConfig": {"workloadPool": f"{PROJECT}.svc.id.goog"},
        "nodePools": [{"name": "system", "initialNodeCount": 2,
                       "config": {"machineType": "e2-standard-4"}}],
    }  # fmt: skip
    where = f"{LOCATION}/clusters"
    _rest_wait(empty, _rest(empty, "POST", where, {"cluster": cluster}))
    made = _rest(empty, "GET", f"{where}/lives")
    assert (made["status"], made["currentNodeCount"]) == ("RUNNING", 2)
    assert made["currentMasterVersion"].startswith("1.33.")
    assert "resourceInUse" in compute.reason("DELETE", f"{REGION}/subnetworks/k8s-sub")
    gke = make_client("ClusterManagerClient", "grpc", empty)
    nowhere = f"projects/{PROJECT}/locations/mars"
    for read in (gke.list_clusters, gke.list_operations):
        with pytest.raises(exceptions.BadRequest, match='"mars" does not exist'):
            read(parent=nowhere)
    with pytest.raises(exceptions.BadRequest, match='"mars" does not exist'):
        gke.get_server_config(name=nowhere)
    with pytest.raises(exceptions.AlreadyExists):
        gke.create_cluster(parent=LOCATION, cluster={"name": "lives", "network": "k8s-net",
                                                     "initial_node_count": 1})  # fmt: skip
    tpus = _pool("tpus", nodes=2)
    with pytest.raises(exceptions.BadRequest, match=r"needs GKE version 1\.34"):
        gke.create_node_pool(parent=f"{where}/lives", node_pool=tpus)
    update = {"update": {"desiredMasterVersion": "latest"}}
    _rest_wait(empty, _rest(empty, "PUT", f"{where}/lives", update))
    with pytest.raises(exceptions.BadRequest, match="downgraded"):
        gke.update_cluster(name=f"{where}/lives", update={"desired_master_version": "1.33"})
    pool = {"nodePool": {"name": "tpus", "initialNodeCount": 2, "locations": ["us-central1-c"],
                         "config": {"machineType": "tpu7x-standard-4t", "labels": {"a": "b"},
                                    "serviceAccount": "x@y.iam.gserviceaccount.com"}}}  # fmt: skip
    _rest_wait(empty, _rest(empty, "POST", f"{where}/lives/nodePools", pool))
    found = _rest(empty, "GET", f"{where}/lives/nodePools/tpus")
    assert found["config"]["labels"]["a"] == "b"
    assert found["config"]["serviceAccount"] == "x@y.iam.gserviceaccount.com"
    change = {"labels": {"labels": {"c": "d"}}, "etag": found["etag"]}
    _rest_wait(empty, _rest(empty, "PUT", f"{where}/lives/nodePools/tpus", change))
    with pytest.raises(exceptions.Aborted):
        gke.update_node_pool(request={"name": f"{where}/lives/nodePools/tpus",
                                      "etag": found["etag"], "node_version": "-"})  # fmt: skip
    assert "c" in _rest(empty, "GET", f"{where}/lives/nodePools/tpus")["config"]["labels"]
    begun = _rest(empty, "DELETE", f"{where}/lives")
    with pytest.raises(exceptions.GoogleAPICallError, match="incompatible operation"):
        gke.delete_cluster(name=f"{where}/lives")
    _rest_wait(empty, begun)
    assert _rest(empty, "GET", where).get("clusters", []) == []
    compute.drop(f"{REGION}/subnetworks/k8s-sub")
    compute.drop("global/networks/k8s-net")


@pytest.fixture
def cloud() -> Cloud:
    """A project in this process whose operations end within milliseconds."""
    return make_cloud(Settings(speed=10_000.0))


def _finish(cloud: Cloud, job: Any) -> None:
    until = time.monotonic() + 60
    while not job.done:
        assert time.monotonic() < until
        cloud.operations.settle()
        time.sleep(0.001)


def test_the_world_follows_pools(cloud: Cloud) -> None:
    """A deleted slice is capacity and cost no more; one made again comes back; nodes are seen
    coming, not ready.
    """
    from emulator.apis.monitoring.fleet import hosts_of

    world = World(cloud.scenario, cloud.log, cloud.seed, cloud.clock.started_at)
    part = next(p for p in world.parts if p.key == f"medium/{PartKind.GKE}")
    cluster = cloud.fleet.clusters["hw-serving"]
    pool = cluster.pools["hw-medium-00"]

    def slices() -> float:
        return float(world.slices(part, [time.time()])[0])  # type: ignore[arg-type] # any array

    def hosts_now() -> int:
        at = time.time()
        return sum(
            1 for h in hosts_of(cloud, world, part)
            if not any(start <= at < end for start, end in h.absences)
        )  # fmt: skip

    assert (slices(), hosts_now()) == (64, 256)
    _finish(cloud, lifecycle.delete_pool(cloud, cluster, pool, "container/us-central1/o-1"))
    assert (slices(), hosts_now()) == (63, 252)
    assert len(cloud.fleet.nodes(tier="medium")) == 252
    asked = {"name": "hw-medium-00", "initial_node_count": 4, "locations": ["us-central1-c"],
             "config": {"machine_type": "tpu7x-standard-4t",
                        "labels": {"heartwood-tier": "medium"}},
             "placement_policy": {"policy_name": "hw-medium-2x2x4"}}  # fmt: skip
    message = container_v1.NodePool(asked)
    again = pool_checks.new_pool(cloud, cluster, message, "us-central1-c")
    job = lifecycle.create_pool(cloud, cluster, again, "container/us-central1/o-2")
    coming: set[bool] = set()
    halfway = (job.started_at + job.due_at) / 2
    cloud.operations.at(halfway, lambda: coming.update(n.ready for n in again.nodes.values()))
    _finish(cloud, job)
    assert coming == {False}
    assert (slices(), hosts_now()) == (64, 256)
    assert len({n.internal_ip for n in cloud.fleet.nodes()}) == 307
    kinds = [c.kind for c in cloud.log.changes("medium")]
    assert kinds == ["gke.node_pool.deleted", "gke.node_pool.created"]


def test_a_pool_of_no_tier_costs_too(cloud: Cloud) -> None:
    """Its chips are billed from when it was ready until it was deleted, under its own name."""
    from emulator.apis.monitoring.fleet import hosts_of, strays_of

    world = World(cloud.scenario, cloud.log, cloud.seed, cloud.clock.started_at)
    cluster = cloud.fleet.clusters["hw-serving"]
    pool = pool_checks.new_pool(
        cloud, cluster, container_v1.NodePool(_pool("stray", nodes=3)), "us-central1-c"
    )
    assert strays_of(cloud, world) == []
    _finish(cloud, lifecycle.create_pool(cloud, cluster, pool, "container/us-central1/o-1"))
    # One hour that lies wholly after the creation.
    hour = (time.time() // 3600 + 1) * 3600

    def chips() -> float:
        strays = strays_of(cloud, world)
        lines = bill(world, lambda p: hosts_of(cloud, world, p), hour, 1, strays).lines
        return sum(float(line.amounts[0]) for line in lines if line.resource == "stray")

    assert chips() == 12
    _finish(cloud, lifecycle.delete_pool(cloud, cluster, pool, "container/us-central1/o-2"))
    assert chips() == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(dims=st.lists(st.integers(1, 16), min_size=3, max_size=3),
       machine=st.sampled_from(["tpu7x-standard-1t", "tpu7x-standard-4t"]))  # fmt: skip
def test_topologies_of_new_pools(cloud: Cloud, dims: list[int], machine: str) -> None:
    """A single-host pool is taken exactly when the machine forms the topology; else the message
    names what is legal, or that a workload policy is needed.
    """
    text = tpu.format_topology(tuple(dims))
    asked = container_v1.NodePool(
        {"name": "p", "initial_node_count": 1, "config": {"machine_type": machine},
         "placement_policy": {"tpu_topology": text}}
    )  # fmt: skip
    cluster = cloud.fleet.clusters["hw-serving"]
    chips = 1 if machine.endswith("1t") else 4
    if text in ("1x1x1", "2x2x1") and tpu.chips(text) == chips:
        assert pool_checks.new_pool(cloud, cluster, asked, "us-central1-c").topology == text
        return
    with pytest.raises(ApiError, match=r"nearest legal|workload policy"):
        pool_checks.new_pool(cloud, cluster, asked, "us-central1-c")
