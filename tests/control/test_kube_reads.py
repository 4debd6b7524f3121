"""Kubernetes by cluster: those that matter are read, one that fails leaves the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from control.kube_reads import KEEP_S, KubeReads
from control.refresh import Fields, Partial
from core.errors import Denied, Unavailable
from core.fleet import State, assemble_fleet
from core.records import Cluster, Host, KubeEvent, Pod, Snapshot
from services.kube import Kube, Workloads
from tests.make import make_snapshot, make_specs

SERVING = Cluster("hw-serving", "us-central1", "1.34", "RUNNING", "", {})
FOREIGN = replace(SERVING, name="web-shop")
LAB = replace(SERVING, name="lab")


@dataclass
class FakeKube:
    """Gives each cluster the hosts planted for it, or fails as planted."""

    hosts: Mapping[str, tuple[Host, ...]]
    failing: dict[str, Exception] = field(default_factory=dict[str, Exception])
    no_sets: bool = False
    asked: set[str] = field(default_factory=set[str])
    pods: tuple[Pod, ...] = ()
    log: tuple[str, ...] | None = None  # None: nobody may read it
    logs_asked: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])

    def list_hosts(self, cluster: Cluster) -> tuple[Host, ...]:
        self.asked.add(cluster.name)
        if cluster.name in self.failing:
            raise self.failing[cluster.name]
        return self.hosts.get(cluster.name, ())

    def list_workloads(self, _cluster: Cluster) -> Workloads:
        return Workloads((), Denied("no LeaderWorkerSets") if self.no_sets else None)

    def list_pods(self, cluster: Cluster) -> tuple[Pod, ...]:
        return tuple(p for p in self.pods if p.cluster == cluster.name)

    def read_log(self, _cluster: Cluster, pod: Pod, *, previous: bool) -> tuple[str, ...]:
        self.logs_asked.append((pod.name, previous))
        if self.log is None:
            raise Denied("logs are not yours to read")
        return self.log

    def list_events(self, _cluster: Cluster) -> tuple[KubeEvent, ...]:
        return ()


class Clock:
    """Monotonic seconds that stand until they are set."""

    s = 100.0

    def __call__(self) -> float:
        return self.s


def world() -> tuple[Snapshot, FakeKube, KubeReads, Clock]:
    """Three clusters: the tiers', one with TPU pools of nobody, one without any."""
    base = make_snapshot()
    lab_pool = replace((base.node_pools or ())[0], name="x", cluster="lab", labels={})
    snapshot = replace(
        base,
        clusters=(SERVING, FOREIGN, LAB),
        node_pools=(*(base.node_pools or ()), lab_pool),
    )
    lab_host = replace((base.hosts or ())[0], name="lab-1", cluster="lab", labels={})
    kube = FakeKube({"hw-serving": base.hosts or (), "lab": (lab_host,)})
    clock = Clock()
    reads = KubeReads(cast(Kube, kube), make_specs(), lambda: (), clock=clock)
    return snapshot, kube, reads, clock


def fields(answer: Fields | Partial) -> Any:
    """What is filled."""
    return answer.fields if isinstance(answer, Partial) else answer


def test_a_cluster_that_nobody_named_and_without_tpu_is_not_asked() -> None:
    """Somebody else's cluster may be as broken as it likes."""
    snapshot, kube, reads, _ = world()
    kube.failing["web-shop"] = Denied("not yours")
    answer = reads.read(snapshot)
    assert not isinstance(answer, Partial)
    assert kube.asked == {"hw-serving", "lab"}
    assert {h.cluster for h in fields(answer)["hosts"]} == {"hw-serving", "lab"}


def test_one_bad_cluster_leaves_the_others_and_its_own_last_data() -> None:
    """Its last hosts stay for a while, then they are unknown; the problem names it."""
    snapshot, kube, reads, clock = world()
    before = fields(reads.read(snapshot))
    kube.failing["lab"] = Unavailable("no route", resource="us-central1/lab: nodes")
    answer = reads.read(snapshot)
    assert isinstance(answer, Partial)
    assert "us-central1/lab" in answer.problem.message
    assert fields(answer) == before
    clock.s += KEEP_S + 1
    later = fields(reads.read(snapshot))
    assert {h.cluster for h in later["hosts"]} == {"hw-serving"}
    assert later["clusters_unread"] == (("us-central1", "lab"),)


def test_an_unread_clusters_tiers_are_unknown_and_not_lost() -> None:
    """Hosts that nobody could ask about are not hosts that are gone."""
    snapshot, kube, reads, _ = world()
    kube.failing["hw-serving"] = Unavailable("no route")
    found = replace(snapshot, **fields(reads.read(snapshot)))
    assert assemble_fleet(found).tier("medium").state is State.UNKNOWN
    assert assemble_fleet(found).tier("dev").state is State.RUNNING


def test_all_failing_fails_the_source() -> None:
    """Nothing read is no partial answer."""
    snapshot, kube, reads, _ = world()
    kube.failing |= {"hw-serving": Unavailable("a"), "lab": Unavailable("b")}
    with pytest.raises(Unavailable):
        reads.read(snapshot)


def test_what_may_not_be_read_inside_a_cluster_is_told() -> None:
    """LeaderWorkerSets without the right to: hosts are there, the problem too."""
    snapshot, kube, reads, _ = world()
    kube.no_sets = True
    answer = reads.read(snapshot)
    assert isinstance(answer, Partial)
    assert isinstance(answer.problem, Denied)
    assert fields(answer)["hosts"]
    assert fields(answer)["clusters_unread"] == ()


def test_one_log_of_servers_that_crash_is_read_and_none_of_those_that_serve() -> None:
    """Of the run before, of what crashed most; where nobody may read it, all else stands."""
    snapshot, kube, reads, _ = world()
    own = [p for p in snapshot.pods or () if p.namespace == "small"]
    crashed = [replace(p, ready=False, restarts=5 + n) for n, p in enumerate(own[:2])]
    kube.pods = (*crashed, *own[2:])
    assert {p.said for p in fields(reads.read(snapshot))["pods"]} == {""}
    kube.log = ("INFO starting", "ERROR RESOURCE_EXHAUSTED: out of HBM")
    pods = fields(reads.read(snapshot))["pods"]
    assert {p.name: p.said for p in pods if p.said} == {crashed[1].name: "RESOURCE_EXHAUSTED"}
    assert kube.logs_asked == [(crashed[1].name, True)] * 2
    kube.pods = tuple(own)
    reads.read(snapshot)
    assert len(kube.logs_asked) == 2
