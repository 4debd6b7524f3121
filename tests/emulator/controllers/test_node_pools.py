"""The cluster autoscaler on a fleet in memory, with a clock to turn."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import pytest
from google.cloud.container_v1.types import cluster_service as types
from hypothesis import given, settings
from hypothesis import strategies as st

from core import tpu
from emulator.apis.gke import lifecycle
from emulator.apis.gke.checks import TPU_QUOTA
from emulator.apis.gke.model import NodePool
from emulator.apis.kubernetes import garbage
from emulator.apis.kubernetes.api import KubernetesApi
from emulator.apis.kubernetes.resources import (
    DEPLOYMENTS,
    EVENTS,
    LEADER_WORKER_SETS,
    NODES,
    PODS,
    Kind,
)
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

    def made(self, name: str, **more: Any) -> None:
        """An autoscaled pool without hosts, of machines without chips unless it is said."""
        with self.cloud.turns.take():
            pool = NodePool(**{  # pyright: ignore[reportArgumentType] - fields of several types
                "name": name, "cluster": self._cluster.name, "zone": "us-central1-c", "tier": "",
                "machine_type": "e2-standard-4", "initial": 0, "target": 0, "created_at": self.now,
                "network": self.cloud.fleet.next_block(), **more,
            })  # fmt: skip
            self._cluster.pools[name] = pool
        self.bounded(name, 0, 10)

    def deployed(self, name: str, replicas: int, selector: dict[str, str], asks: Any) -> None:
        """Pods of a Deployment of somebody's own."""
        container = {"name": "c", "image": "i", "resources": {"requests": asks, "limits": asks}}
        body = {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "nodeSelector": selector}}},
        }  # fmt: skip
        with self.cloud.turns.take():
            self._objects.store.refresh()
            self._objects.state.create(body)
            self._objects.converge()

    def ready(self, name: str) -> int:
        """Pods of such a Deployment that are ready."""
        self.look()
        found = self._objects.state.get("Deployment", "default", name) or {}
        return int((found.get("status") or {}).get("readyReplicas", 0))

    def cordon(self, pool: str) -> None:
        with self.cloud.turns.take():
            for host in self.pool(pool).nodes.values():
                item = self._objects.state.item(NODES, "", host.name)
                assert item is not None
                body = copy.deepcopy(item.body)
                body["spec"]["unschedulable"] = True
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


def test_another_pool_grows_where_the_best_one_may_not(project: _Project) -> None:
    """After a failure the next scan takes a pool that is not left alone."""
    project.made("less-stock", zone="us-central1-ai1a", extra={"use": "two"},
                 machine_type="tpu7x-standard-4t", generation=tpu.generation("TPU7x"),
                 topology="2x2x1")  # fmt: skip
    project.made("more-stock", extra={"use": "two"}, machine_type="tpu7x-standard-4t",
                 generation=tpu.generation("TPU7x"), topology="2x2x1")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lifecycle.STOCK, ("TPU7x", "us-central1-ai1a"), 0)
        project.deployed("two", 1, {"use": "two"}, {"google.com/tpu": "4"})
        project.wait(15)
        told = [e[1] for e in project.events() if e[0] == "FailedScaleUp" and e[2][:3] == "two"]
        assert "in zones us-central1-ai1a associated with this pod failed" in told[0]
        project.wait(15)
    assert (project.pool("less-stock").target, project.pool("more-stock").target) == (0, 1)


def test_hosts_are_filled_and_a_cordoned_one_is_none_to_come(project: _Project) -> None:
    """Ten small pods need one host; once it takes no more, further pods bring another."""
    selector, asks = {"cloud.google.com/gke-nodepool": "batch"}, {"cpu": "100m"}
    project.made("batch")
    project.deployed("many", 10, selector, asks)
    project.wait(15)
    assert project.pool("batch").target == 1
    project.wait(400)
    project.cordon("batch")
    project.deployed("more", 10, selector, asks)
    project.wait(15)
    assert project.pool("batch").target == 2
    project.wait(400)
    assert project.pods("default") == 21


def test_controllers_go_on_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What failed as a whole is tried again by itself, without anybody's change."""
    project = _Project()
    project.deployed("web", 2, {}, {})
    with monkeypatch.context() as patch:
        patch.setattr(garbage, "collect", mock.Mock(side_effect=RuntimeError))
        project.wait(60)
    assert project.ready("web") == 0
    assert any(r.exc_info for r in caplog.records)
    caplog.clear()
    project.wait(600)
    assert project.ready("web") == 2


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
