"""The cluster autoscaler on a fleet in memory, with a clock to turn."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from google.cloud.container_v1.types import cluster_service as types
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.apis.gke.checks import TPU_QUOTA
from emulator.apis.gke.model import NodePool
from emulator.apis.kubernetes.api import KubernetesApi
from emulator.apis.kubernetes.resources import DEPLOYMENTS, EVENTS, LEADER_WORKER_SETS, PODS, Kind
from emulator.apis.quotas.model import Preference, quota_state
from emulator.context import make_cloud
from emulator.settings import Settings

_SPEED = 60.0
_SMALL = (DEPLOYMENTS, "small", "hw-small-server")
_MEDIUM = (LEADER_WORKER_SETS, "medium", "hw-medium-server")
_BEGINS = 1_800_000_000.0
_TOLD = ("TriggeredScaleUp", "NotTriggerScaleUp", "FailedScaleUp", "ScaleDown")


class _Project:
    """The scenario `normal`, changed as callers do, each in a turn of its own."""

    def __init__(self) -> None:
        self.cloud = make_cloud(Settings(scenario="normal", speed=_SPEED), _BEGINS)
        self.now = _BEGINS
        self.cloud.clock.wall = lambda: self.now
        self._cluster = next(iter(self.cloud.fleet.clusters.values()))
        api = KubernetesApi(self.cloud)
        self.cloud.turns.answers(api.answer)
        self._objects = api.objects(self._cluster)

    def pool(self, name: str) -> NodePool:
        return self._cluster.pools[name]

    def bounded(self, name: str, least: int, most: int) -> None:
        with self.cloud.turns.take():
            self.pool(name).autoscaling = types.NodePoolAutoscaling(
                enabled=True, min_node_count=least, max_node_count=most
            )
            self.cloud.fleet.touch(self.pool(name))

    def scale(self, workload: tuple[Kind, str, str], replicas: int) -> None:
        with self.cloud.turns.take():
            self._objects.store.refresh()
            item = self._objects.state.item(*workload)
            assert item is not None
            body = copy.deepcopy(item.body)
            body["spec"]["replicas"] = replicas
            self._objects.state.replace(item, body)
            self._objects.converge()

    def look(self) -> None:
        self._objects.store.refresh()

    def wait(self, simulated_s: float) -> None:
        """Let the time pass, and what is due happen."""
        self.now += simulated_s / _SPEED
        self.cloud.operations.settle(wait=True)

    def events(self) -> list[tuple[Any, ...]]:
        self.look()
        bodies = [i.body for i in self._objects.store.peek(EVENTS).values()]
        return sorted(
            (b["reason"], b["message"], b["involvedObject"]["name"], b["firstTimestamp"])
            for b in bodies
            if b["reason"] in _TOLD
        )

    def hosts(self) -> list[tuple[str, float, float | None]]:
        return [(n.name, n.created_at, n.ready_at) for n in self.cloud.fleet.nodes()]

    def pods(self, namespace: str) -> int:
        self.look()
        return sum(
            i.namespace == namespace and bool(i.body["spec"].get("nodeName"))
            for i in self._objects.store.peek(PODS).values()
        )


@pytest.fixture(scope="module")
def project() -> _Project:
    """One for tests that use different tiers."""
    return _Project()


def test_a_slice_goes_and_comes_whole(project: _Project) -> None:
    """Ten minutes without pods take all hosts of a slice; one pod that waits brings all back."""
    project.bounded("hw-medium-63", 0, 4)
    project.scale(_MEDIUM, 63)
    project.wait(500)
    assert project.pool("hw-medium-63").target == 4
    project.wait(300)
    project.wait(200)
    assert (project.pool("hw-medium-63").target, len(project.pool("hw-medium-63").nodes)) == (0, 0)
    assert project.pods("medium") == 63 * 4
    changes = [c.data for c in project.cloud.log.changes("medium")]
    assert [(c["before"], c["after"]) for c in changes] == [(4, 0)]
    project.scale(_MEDIUM, 64)
    project.wait(60)
    project.wait(600)
    assert project.pods("medium") == 64 * 4


def test_a_pool_without_quota_is_left_alone_for_a_while(project: _Project) -> None:
    """What quota forbids fails with a warning and is tried again after five minutes."""
    where = (("region", "us-central1"), ("tpu_family", "TPU7X"))
    used = (48 + 64 * 4) * 4
    preferences = quota_state(project.cloud).preferences
    preferences["less"] = Preference(
        "less", "compute.googleapis.com", TPU_QUOTA, where, used, used, 0.0, 0.0
    )
    project.bounded("hw-small-02", 16, 20)
    project.scale(_SMALL, 50)
    project.wait(30)
    found = [e for e in project.events() if e[0] == "FailedScaleUp"]
    assert "failed: GCE quota exceeded. Pod is at risk" in found[0][1]
    project.scale(_SMALL, 51)
    project.wait(30)
    told = [e[1] for e in project.events() if e[0] == "NotTriggerScaleUp"]
    assert told
    assert all("1 in backoff after failed scale-up" in text for text in told)
    del preferences["less"]
    project.wait(100)
    assert project.pool("hw-small-02").target == 16
    project.wait(200)
    assert project.pool("hw-small-02").target == 19


@given(st.lists(st.floats(1, 900), min_size=1, max_size=8))
@settings(max_examples=2, deadline=None)
def test_moves_do_not_depend_on_when_somebody_looked(looks: list[float]) -> None:
    """The same hosts and events at the same instants, whoever reads meanwhile."""
    found: list[Any] = []
    for pauses in (looks, [sum(looks)]):
        project = _Project()
        project.bounded("hw-small-00", 14, 20)
        project.scale(_SMALL, 50)
        for pause_s in pauses:
            project.wait(pause_s)
            project.look()
        project.wait(10_000 - sum(pauses))
        project.scale(_SMALL, 46)
        for pause_s in pauses:
            project.wait(pause_s)
            project.look()
        project.wait(10_000 - sum(pauses))
        assert 14 <= project.pool("hw-small-00").target <= 20
        found.append((project.hosts(), project.events(), project.pods("small")))
    assert found[0] == found[1]
