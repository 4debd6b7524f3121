"""The one change: resizing a GKE pool, and following its operation. On an emulator of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.errors import Conflict, Invalid
from core.records import NodePool
from services.gke import Gke, OperationState
from services.kube import Kube
from tests.contracts.conftest import emulated_cloud
from tests.processes import EmulatorProcess, held_resizes, start_emulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """An emulator that may be changed, whose operations take a second or so."""
    process = start_emulator("normal", speed=300)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def gke(emulator: EmulatorProcess) -> Iterator[Gke]:
    """Our adapter, connected to it."""
    side = emulated_cloud(emulator)
    yield Gke(side.clients)
    side.clients.close()


def _pool(gke: Gke, name: str) -> NodePool:
    return next(p for p in gke.list_node_pools() if p.name == name)


def _wait(gke: Gke, operation: str) -> list[OperationState]:
    states: list[OperationState] = []
    end = time.monotonic() + 120
    while time.monotonic() < end:
        states.append(gke.get_operation(operation))
        if states[-1].done:
            return states
        time.sleep(0.1)
    raise AssertionError(f"not done in 120 s: {states[-1]}")


def test_a_resize_runs_to_its_end_and_changes_pool_and_nodes(
    gke: Gke, emulator: EmulatorProcess
) -> None:
    """The operation goes on for a while, ends without error, and both APIs show the new size."""
    before = _pool(gke, "hw-small-00")
    with held_resizes(emulator):
        name = gke.apply_node_pool_size(before, before.node_count + 1)
        assert "/operations/" in name
        assert gke.find_resize(before) == name
        assert gke.find_resize(_pool(gke, "hw-small-01")) == ""
        assert gke.get_operation(name).done is False
    states = _wait(gke, name)
    assert states[-1].error is None
    assert states[-1].progress_ratio == 1.0
    progress = [s.progress_ratio for s in states if s.progress_ratio is not None]
    assert progress == sorted(progress)
    assert gke.find_resize(before) == ""
    after = _pool(gke, "hw-small-00")
    assert after.node_count == before.node_count + 1
    assert after.etag != before.etag
    (cluster,) = gke.list_clusters()
    hosts = Kube(gke._clients).list_hosts(cluster)  # the same emulator
    assert sum(h.pool == "hw-small-00" for h in hosts) == after.node_count


def test_a_pool_that_changed_meanwhile_is_not_resized(gke: Gke) -> None:
    """The etag that the caller saw must still be the pool's."""
    seen = _pool(gke, "hw-small-01")
    stale = replace(seen, etag="another")
    with pytest.raises(Conflict):
        gke.apply_node_pool_size(stale, seen.node_count + 1)
    assert _pool(gke, "hw-small-01") == seen


def test_a_size_that_no_zone_can_have_is_refused_before_the_call(gke: Gke) -> None:
    """GKE's size is per zone."""
    pool = _pool(gke, "hw-small-02")
    with pytest.raises(Invalid):
        gke.apply_node_pool_size(pool, -1)
    with pytest.raises(Invalid):
        gke.apply_node_pool_size(replace(pool, zones=("a", "b")), 17)
