"""SetNodePoolSize: the whole cycle over both wires, and everything that GKE refuses."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.api_core import exceptions

from emulator.apis.gke.checks import MAX_NODES_PER_POOL
from emulator.apis.quotas.model import CHIPS
from emulator.context import Cloud, make_cloud
from emulator.settings import Settings
from tests.emulator.clients import CLUSTER, LOCATION, PROJECT, WIRES, make_client, make_compute
from tests.emulator.discovery import response_problems
from tests.processes import EmulatorProcess, start_emulator

SMALL = f"{CLUSTER}/nodePools/hw-small-{{:02d}}"


@pytest.fixture(scope="module")
def slow() -> Iterator[EmulatorProcess]:
    """An emulator of this file's own, in which growing takes 4.8 s and shrinking 2.4 s."""
    running = start_emulator("normal", speed=50)
    yield running
    running.stop()


def _wait(client: Any, operation: Any) -> list[str]:
    """The statuses seen until the operation is done."""
    name = f"{LOCATION}/operations/{operation.name}"
    seen: list[str] = []
    until = time.monotonic() + 60
    while time.monotonic() < until:
        status = client.get_operation(name=name).status.name
        if not seen or seen[-1] != status:
            seen.append(status)
        if status == "DONE":
            return seen
        time.sleep(0.05)
    raise AssertionError(f"not done: {seen}")


def _group(emulator: EmulatorProcess, pool: Any) -> Any:
    zone, _, name = pool.instance_group_urls[0].split("/zones/")[1].split("/")
    managers = make_compute("InstanceGroupManagersClient", emulator)
    return managers.get(project=PROJECT, zone=zone, instance_group_manager=name)


@pytest.mark.parametrize("wire", WIRES)
def test_pool_grows_and_shrinks(slow: EmulatorProcess, wire: str) -> None:
    """PENDING → RUNNING → DONE; the pool reconciles meanwhile, then its group has the new size."""
    gke = make_client("ClusterManagerClient", wire, slow)
    name = SMALL.format(WIRES.index(wire))
    for size in (18, 15):
        before = gke.get_cluster(name=CLUSTER).current_node_count
        was = _group(slow, gke.get_node_pool(name=name)).target_size
        operation = gke.set_node_pool_size(request={"name": name, "node_count": size})
        assert operation.operation_type.name == "SET_NODE_POOL_SIZE"
        assert gke.get_node_pool(name=name).status.name == "RECONCILING"
        assert operation.status.name == "PENDING"
        assert _wait(gke, operation)[-2:] == ["RUNNING", "DONE"]
        done = gke.get_operation(name=f"{LOCATION}/operations/{operation.name}")
        assert done.end_time > done.start_time
        assert not done.error.message
        pool = gke.get_node_pool(name=name)
        assert pool.status.name == "RUNNING"
        assert pool.initial_node_count == 16
        group = _group(slow, pool)
        assert (group.target_size, group.status.is_stable) == (size, True)
        assert gke.get_cluster(name=CLUSTER).current_node_count == before + size - was
        assert operation.name in [o.name for o in gke.list_operations(parent=LOCATION).operations]


def test_operation_answers_validate(slow: EmulatorProcess) -> None:
    """An operation, running and done, is what Google's discovery document allows."""
    path = f"v1/{SMALL.format(2)}:setSize"
    response = httpx.post(f"{slow.rest_url}/container/{path}", json={"nodeCount": 17})
    operation = response.json()
    # The document gives setSize by its older path too; both answer with an Operation.
    assert response_problems("container.v1", "POST", path, operation) == []
    path = f"v1/{LOCATION}/operations/{operation['name']}"
    until = time.monotonic() + 60
    while operation["status"] != "DONE" and time.monotonic() < until:
        operation = httpx.get(f"{slow.rest_url}/container/{path}").json()
        assert response_problems("container.v1", "GET", path, operation) == []
        time.sleep(0.1)
    assert operation["status"] == "DONE"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("pool", "size", "error", "words"),
    [
        (SMALL.format(0), -1, exceptions.BadRequest, "non-negative"),
        (SMALL.format(0), MAX_NODES_PER_POOL + 1, exceptions.BadRequest, "exceeds the limit"),
        (f"{CLUSTER}/nodePools/hw-medium-00", 8, exceptions.BadRequest, "atomic"),
        (f"{CLUSTER}/nodePools/hw-none", 1, exceptions.NotFound, "Not found: projects/"),
        (SMALL.format(0).replace("hw-serving", "x"), 1, exceptions.NotFound, "Not found"),
        (SMALL.format(0).replace("us-central1", "us-east1"), 1, exceptions.NotFound, "Not found"),
        (SMALL.format(0).replace(PROJECT, "other"), 1, exceptions.Forbidden, "Permission denied"),
    ],
)
def test_refusals(
    emulator: EmulatorProcess, wire: str, pool: str, size: int, error: type[Exception], words: str
) -> None:
    """What GKE refuses is refused with its error on both wires, and nothing changes."""
    gke = make_client("ClusterManagerClient", wire, emulator)
    operations = len(gke.list_operations(parent=LOCATION).operations)
    with pytest.raises(error, match=words):
        gke.set_node_pool_size(request={"name": pool, "node_count": size})
    assert len(gke.list_operations(parent=LOCATION).operations) == operations


@pytest.mark.parametrize("wire", WIRES)
def test_one_operation_per_pool_and_cancel(slow: EmulatorProcess, wire: str) -> None:
    """A second resize of the pool is refused with a reason; a cancelled one leaves the old size."""
    gke = make_client("ClusterManagerClient", wire, slow)
    name = SMALL.format(2)
    before = _group(slow, gke.get_node_pool(name=name)).target_size
    operation = gke.set_node_pool_size(request={"name": name, "node_count": before + 5})
    with pytest.raises(exceptions.GoogleAPICallError, match="Please wait") as refused:
        gke.set_node_pool_size(request={"name": name, "node_count": before + 6})
    assert refused.value.reason == "CLUSTER_ALREADY_HAS_OPERATION"
    gke.cancel_operation(name=f"{LOCATION}/operations/{operation.name}")
    done = gke.get_operation(name=f"{LOCATION}/operations/{operation.name}")
    assert (done.status.name, done.error.code) == ("DONE", 1)
    assert _group(slow, gke.get_node_pool(name=name)).target_size == before
    with pytest.raises(exceptions.GoogleAPICallError):
        gke.cancel_operation(name=f"{LOCATION}/operations/{operation.name}")


def test_quota_refuses_as_google_does() -> None:
    """A resize beyond the region's chips is PERMISSION_DENIED and says how many are short."""
    running = start_emulator("full-fleet", speed=600)
    try:
        gke = make_client("ClusterManagerClient", "grpc", running)
        with pytest.raises(exceptions.PermissionDenied, match="is short '") as refused:
            gke.set_node_pool_size(request={"name": SMALL.format(0), "node_count": 900})
        assert f"project has a quota of '{CHIPS['TPU7x']:.1f}'" in refused.value.message
    finally:
        running.stop()


@pytest.fixture
def cloud() -> Cloud:
    """A project in this process whose operations end within milliseconds."""
    return make_cloud(Settings(speed=10_000.0))


def test_nodes_follow_the_resize(cloud: Cloud) -> None:
    """New nodes come up not ready and turn ready at the end; the change is logged once."""
    fleet = cloud.fleet
    pool = fleet.pool("hw-small-00")
    assert pool is not None
    names = {n.name for n in fleet.nodes(pool=pool.name)}
    shown = time.time()
    cloud.clock.wall = lambda: shown
    job = fleet.resize(pool, 18, "container/us-central1/operation-1")
    shown = (job.started_at + job.due_at) / 2
    cloud.operations.settle()
    coming = {n.name for n in fleet.nodes(pool=pool.name) if not n.ready}
    assert not job.done
    shown = job.due_at
    cloud.operations.settle()
    assert job.done
    ready = {n.name for n in fleet.nodes(pool=pool.name) if n.ready}
    assert len(ready) == 18
    assert names < ready
    assert coming == ready - names
    (change,) = cloud.log.changes("small")
    assert change.kind == "gke.node_pool.resized"
    assert (change.data["before"], change.data["after"]) == (16, 18)


def test_node_names_are_unique_and_stay(cloud: Cloud) -> None:
    """Names, addresses and ids differ between nodes and are the same after down and up again."""
    fleet = cloud.fleet
    nodes = fleet.nodes()
    for key in ("name", "internal_ip", "instance_id"):
        assert len({getattr(n, key) for n in nodes}) == len(nodes)
    pool = fleet.pool("hw-small-01")
    assert pool is not None
    before = [n.name for n in fleet.nodes(pool=pool.name)]
    for number, size in enumerate((3, 16)):
        job = fleet.resize(pool, size, f"container/us-central1/operation-{number}")
        deadline = time.monotonic() + 60
        while not job.done and time.monotonic() < deadline:
            cloud.operations.settle()
            time.sleep(0.001)
    assert [n.name for n in fleet.nodes(pool=pool.name)] == before


def test_changes_and_effects_never_wait_for_each_other(cloud: Cloud) -> None:
    """Resizes begun by several threads while others come due all end: no deadlock."""
    cloud.started()
    errors: list[Exception] = []

    def resize_often(pool_name: str) -> None:
        pool = cloud.fleet.pool(pool_name)
        assert pool is not None
        try:
            for number in range(40):
                with cloud.lock:
                    job = cloud.fleet.resize(pool, 10 + number % 9, f"{pool_name}/{number}")
                while not job.done:
                    cloud.fleet.nodes(pool=pool_name)
        except Exception as error:  # noqa: BLE001 - reported to the test's own thread
            errors.append(error)

    names = [f"hw-small-{i:02d}" for i in range(3)]
    threads = [threading.Thread(target=resize_often, args=(n,), daemon=True) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(t.is_alive() for t in threads)
    assert errors == []
    cloud.stopped()
