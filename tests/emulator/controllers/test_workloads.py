"""Workloads over time, on a state in memory: they arrive where they should, by the usual way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.emulator.controllers.memory_state import MemoryState, Obj, node, template

_SELECTOR = {"matchLabels": {"app": "a"}}


@pytest.fixture
def state() -> MemoryState:
    """Four hosts with chips in a pool, two without."""
    made = MemoryState()
    for index in range(4):
        made.create(node(f"tpu-{index}"))
    for index in range(2):
        made.create(node(f"cpu-{index}", "system", 0))
    return made


def _deployment(state: MemoryState, replicas: int, **spec: Any) -> Obj:
    body = {"replicas": replicas, "selector": _SELECTOR, "template": template(4), **spec}
    return state.add("Deployment", "d", body, "apps/v1")


def _status(state: MemoryState, kind: str, name: str) -> Obj:
    found = state.get(kind, "default", name)
    assert found
    return found["status"]


def _condition(status: Obj, kind: str) -> Obj:
    return next(c for c in status["conditions"] if c["type"] == kind)


def test_deployment_runs_rolls_and_comes_back(state: MemoryState) -> None:
    """Pods get hosts with chips and turn ready; a new template rolls with revision 2, the old one
    again is revision 3; what fits nowhere waits, with Kubernetes' words; deletion leaves nothing.
    """
    _deployment(state, 5, strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    state.run(10)
    assert {p["status"]["phase"] for p in state.pods()} == {"Pending"}
    state.run(60)
    running = [p for p in state.pods() if p["status"]["phase"] == "Running"]
    assert sorted(p["spec"]["nodeName"] for p in running) == [f"tpu-{i}" for i in range(4)]
    waiting = next(p for p in state.pods() if "nodeName" not in p["spec"])
    scheduled = _condition(waiting["status"], "PodScheduled")
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert scheduled["message"] == (
        "0/6 nodes are available: 6 Insufficient google.com/tpu. "
        "preemption: 0/6 nodes are available: 6 No preemption victims found for incoming pod."
    )
    assert _status(state, "Deployment", "d")["unavailableReplicas"] == 1
    state.change("Deployment", "d", replicas=3)
    state.run(60)
    status = _status(state, "Deployment", "d")
    assert (status["availableReplicas"], status["replicas"]) == (3, 3)
    assert _condition(status, "Progressing")["reason"] == "NewReplicaSetAvailable"
    first = {p["metadata"]["name"] for p in state.pods()}
    state.change("Deployment", "d", template=template(4, "server:2"))
    state.run(2)
    told = _condition(_status(state, "Deployment", "d"), "Progressing")
    assert told["reason"] == "ReplicaSetUpdated"
    state.run(900)
    assert not first & {p["metadata"]["name"] for p in state.pods()}
    assert {p["spec"]["containers"][0]["image"] for p in state.pods()} == {"server:2"}
    state.change("Deployment", "d", template=template(4))
    state.run(900)
    revision = "deployment.kubernetes.io/revision"
    sets = {s["metadata"]["annotations"][revision] for s in state.list("ReplicaSet")}
    found = state.get("Deployment", "default", "d")
    assert found
    assert found["metadata"]["annotations"][revision] == "3"
    assert sets == {"2", "3"}
    state.delete("Deployment", "default", "d")
    state.run(1)
    assert not state.pods()
    assert not state.list("ReplicaSet")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_replica_set_converges_to_its_last_size(sizes: list[int], pause_s: int) -> None:
    """Whatever sizes were asked for in between, in the end there are as many pods as asked last,
    all ready, and none besides.
    """
    state = MemoryState()
    for index in range(3):
        state.create(node(f"cpu-{index}", "system", 0))
    body = {"replicas": 0, "selector": _SELECTOR, "template": template()}
    state.add("ReplicaSet", "r", body, "apps/v1")
    for size in sizes:
        state.change("ReplicaSet", "r", replicas=size)
        state.run(pause_s)
    state.run(200)
    assert len(state.pods()) == sizes[-1]
    assert _status(state, "ReplicaSet", "r")["readyReplicas"] == sizes[-1]


def test_deployment_that_never_gets_ready_exceeds_its_deadline(state: MemoryState) -> None:
    """Progressing turns False after progressDeadlineSeconds, and back when there is room."""
    _deployment(state, 6, progressDeadlineSeconds=120)
    state.run(400)
    told = _condition(_status(state, "Deployment", "d"), "Progressing")
    assert (told["status"], told["reason"]) == ("False", "ProgressDeadlineExceeded")
    state.create(node("tpu-8"))
    state.create(node("tpu-9"))
    state.run(200)
    told = _condition(_status(state, "Deployment", "d"), "Progressing")
    assert told["reason"] == "NewReplicaSetAvailable"


def test_lost_node_costs_its_pods_and_they_come_back_elsewhere(state: MemoryState) -> None:
    """A pod whose node goes is made anew; one whose node is not ready is first unready, then
    evicted after five minutes.
    """
    _deployment(state, 3)
    state.run(60)
    taken = {p["spec"]["nodeName"] for p in state.pods()}
    lost, *_, sick = sorted(taken)
    state.delete("Node", "", lost)
    state.run(50)
    assert lost in {p["spec"]["nodeName"] for p in state.pods()}  # PodGC waits for a minute
    state.run(70)
    assert _status(state, "Deployment", "d")["readyReplicas"] == 3
    found = state.get("Node", "", sick)
    assert found
    state.update({**found, "status": {**found["status"], "conditions": []}})
    state.run(10)
    assert _status(state, "Deployment", "d")["readyReplicas"] == 2
    assert sick in {p["spec"]["nodeName"] for p in state.pods()}
    state.create(node("tpu-new"))
    state.run(500)
    assert _status(state, "Deployment", "d")["readyReplicas"] == 3
    assert sick not in {p["spec"]["nodeName"] for p in state.pods()}


def test_stateful_set_goes_in_order_with_claims_of_its_own(state: MemoryState) -> None:
    """Each pod is made when the one before is ready; claims are bound and outlive the pods; an
    update goes from the highest number down.
    """
    state.create({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                  "metadata": {"name": "rwo"}, "provisioner": "pd.csi.storage.gke.io",
                  "volumeBindingMode": "WaitForFirstConsumer"})  # fmt: skip
    claim = {"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "rwo",
        "resources": {"requests": {"storage": "10Gi"}}}}  # fmt: skip
    spec = {"replicas": 3, "selector": _SELECTOR, "template": template(),
            "serviceName": "s", "volumeClaimTemplates": [claim]}  # fmt: skip
    state.add("StatefulSet", "s", spec, "apps/v1")
    state.run(30)
    assert [p["metadata"]["name"] for p in state.pods()] == ["s-0"]
    state.run(300)
    assert [p["metadata"]["name"] for p in state.pods()] == ["s-0", "s-1", "s-2"]
    claims = state.list("PersistentVolumeClaim")
    assert [c["metadata"]["name"] for c in claims] == ["data-s-0", "data-s-1", "data-s-2"]
    assert {c["status"]["phase"] for c in claims} == {"Bound"}
    assert len(state.list("PersistentVolume")) == 3
    state.change("StatefulSet", "s", template=template(0, "server:2"))
    state.run(32)
    images = [p["spec"]["containers"][0]["image"] for p in state.pods()]
    assert images[:2] == ["server:1", "server:1"]
    state.run(600)
    assert {p["spec"]["containers"][0]["image"] for p in state.pods()} == {"server:2"}
    status = _status(state, "StatefulSet", "s")
    assert status["currentRevision"] == status["updateRevision"]
    state.change("StatefulSet", "s", replicas=1)
    state.run(200)
    assert [p["metadata"]["name"] for p in state.pods()] == ["s-0"]
    assert len(state.list("PersistentVolumeClaim")) == 3


def test_jobs_complete_or_give_up(state: MemoryState) -> None:
    """Pods run to their end; failures are tried again with growing waits until backoffLimit; a
    finished Job goes when its time to live is over.
    """
    good = template(restartPolicy="Never")
    spec = {"completions": 3, "parallelism": 2, "template": good, "ttlSecondsAfterFinished": 60}
    state.add("Job", "good", spec, "batch/v1")
    bad = template(restartPolicy="Never")
    bad["spec"]["containers"][0]["command"] = ["sh", "-c", "sleep 2; exit 3"]
    state.add("Job", "bad", {"backoffLimit": 2, "template": bad}, "batch/v1")
    state.run(80)
    assert len([p for p in state.pods() if p["metadata"]["name"].startswith("good")]) <= 3
    state.run(120)
    done = _status(state, "Job", "good")
    assert (done["succeeded"], _condition(done, "Complete")["status"]) == (3, "True")
    failed = _status(state, "Job", "bad")
    assert _condition(failed, "Failed")["reason"] == "BackoffLimitExceeded"
    assert failed["failed"] == 3
    ended = next(p for p in state.pods() if p["metadata"]["name"].startswith("bad"))
    code = ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    assert (ended["status"]["phase"], code) == ("Failed", 3)
    state.run(120)
    assert state.get("Job", "default", "good") is None
    assert state.get("Job", "default", "bad")


@pytest.mark.parametrize(
    ("budget", "desired", "allowed"),
    [
        ({"minAvailable": 2}, 2, 2),
        ({"minAvailable": "60%"}, 3, 1),
        ({"maxUnavailable": 1}, 3, 1),
        ({"maxUnavailable": "0%"}, 4, 0),
    ],
)
def test_disruption_budget_counts_what_may_go(
    state: MemoryState, budget: Obj, desired: int, allowed: int
) -> None:
    """Healthy pods less those that must stay; a share is of what the owner keeps, rounded up."""
    _deployment(state, 4)
    state.add("PodDisruptionBudget", "b", {**budget, "selector": _SELECTOR}, "policy/v1")
    state.run(1)
    assert _status(state, "PodDisruptionBudget", "b")["disruptionsAllowed"] == 0
    state.run(120)
    told = _status(state, "PodDisruptionBudget", "b")
    figures = (told["expectedPods"], told["currentHealthy"], told["desiredHealthy"])
    assert (*figures, told["disruptionsAllowed"]) == (4, 4, desired, allowed)
    assert _condition(told, "DisruptionAllowed")["status"] == str(allowed > 0)


def test_a_shell_that_becomes_a_server_runs_on(state: MemoryState) -> None:
    """What it waited for before `exec` says nothing of how long the program runs."""
    waiting = ["bash", "-c", "until ready; do sleep 2; done; exec serve --port 8000"]
    _deployment(state, 1)
    body = state.get("Deployment", "default", "d")
    assert body
    body["spec"]["template"]["spec"]["containers"][0]["command"] = waiting
    state.change("Deployment", "d", template=body["spec"]["template"])
    state.run(600)
    (pod,) = state.pods()
    (seen,) = pod["status"]["containerStatuses"]
    assert (pod["status"]["phase"], seen["restartCount"]) == ("Running", 0)


def test_crashing_container_backs_off(state: MemoryState) -> None:
    """A container that ends is started again with growing waits, and says so."""
    crashing = template()
    crashing["spec"]["containers"][0]["command"] = ["sh", "-c", "exit 1"]
    state.add("Pod", "crash", crashing["spec"])
    state.run(31)
    state.run(60)
    status = _status(state, "Pod", "crash")["containerStatuses"][0]
    assert status["restartCount"] >= 2
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 1
    state.run(100_000)
    assert _status(state, "Pod", "crash")["containerStatuses"][0]["restartCount"] > 300


def test_leader_worker_set_keeps_to_slices_and_rolls_by_groups(state: MemoryState) -> None:
    """Each group lands on one pool, whole or not at all; labels and variables as upstream; a lost
    pod costs its group; a new template rolls group by group.
    """
    for pool in ("slice-a", "slice-b"):
        for index in range(2):
            state.create(node(f"{pool}-{index}", pool))
    workers = template(4, nodeSelector={"slices": "yes"})
    spec = {"replicas": 2, "leaderWorkerTemplate": {"size": 2, "workerTemplate": workers}}
    state.add("LeaderWorkerSet", "w", spec, "leaderworkerset.x-k8s.io/v1")
    state.run(10)
    assert all("nodeName" not in p["spec"] for p in state.pods())
    for name in ("slice-a-0", "slice-a-1", "slice-b-0", "slice-b-1"):
        found = state.get("Node", "", name)
        assert found
        labels = {**found["metadata"]["labels"], "slices": "yes"}
        state.update({**found, "metadata": {**found["metadata"], "labels": labels}})
    state.run(100)
    pods = {p["metadata"]["name"]: p for p in state.pods()}
    assert sorted(pods) == ["w-0", "w-0-1", "w-1", "w-1-1"]
    nodes = {n: p["spec"]["nodeName"] for n, p in pods.items()}
    assert nodes["w-0"][:7] == nodes["w-0-1"][:7] != nodes["w-1"][:7] == nodes["w-1-1"][:7]
    told = {e["name"]: e["value"] for e in pods["w-1-1"]["spec"]["containers"][0]["env"]}
    assert told["LWS_LEADER_ADDRESS"] == "w-1.w.default"
    assert (told["LWS_GROUP_SIZE"], told["TPU_WORKER_ID"]) == ("2", "1")
    assert told["TPU_WORKER_HOSTNAMES"] == "w-1.w,w-1-1.w"
    status = _status(state, "LeaderWorkerSet", "w")
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert _condition(status, "Available")["status"] == "True"
    state.delete("Pod", "default", "w-0-1")
    state.run(200)
    again = {p["metadata"]["name"]: p["metadata"]["uid"] for p in state.pods()}
    assert again["w-0"] != pods["w-0"]["metadata"]["uid"]
    assert again["w-1"] == pods["w-1"]["metadata"]["uid"]
    new = {"size": 2, "workerTemplate": template(4, "server:2", nodeSelector={"slices": "yes"})}
    state.change("LeaderWorkerSet", "w", leaderWorkerTemplate=new)
    state.run(20)
    assert _status(state, "LeaderWorkerSet", "w")["readyReplicas"] == 1
    state.run(400)
    status = _status(state, "LeaderWorkerSet", "w")
    assert (status["readyReplicas"], status["updatedReplicas"]) == (2, 2)
    assert _condition(status, "UpdateInProgress")["status"] == "False"


@given(st.lists(st.floats(0.3, 40), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_state_does_not_depend_on_when_somebody_looked(looks: list[float]) -> None:
    """The same objects at the same time, however often the controllers ran in between."""
    found: list[list[tuple[str, Any]]] = []
    for pauses in (looks, [sum(looks)]):
        state = MemoryState()
        for index in range(2):
            state.create(node(f"tpu-{index}"))
        _deployment(state, 3)
        job = template(restartPolicy="Never")
        state.add("Job", "j", {"template": job, "completions": 2}, "batch/v1")
        for pause_s in pauses:
            state.run(pause_s)
        found.append([
            (p["metadata"]["name"], {**p["spec"], "phase": p["status"]["phase"]})
            for p in state.pods()
        ])  # fmt: skip
    assert found[0] == found[1]


def test_a_group_that_is_lost_for_ever_is_made_anew_less_and_less_often(state: MemoryState) -> None:
    """At once the first time, then after waits that double up to five minutes."""
    state.create(node("n", chips=0))
    crashing = template()
    crashing["spec"]["containers"][0]["command"] = ["sh", "-c", "sleep 1; exit 1"]
    spec = {"replicas": 1, "leaderWorkerTemplate": {"size": 2, "workerTemplate": crashing}}
    state.add("LeaderWorkerSet", "w", spec, "leaderworkerset.x-k8s.io/v1")
    state.run(300)
    early = state.reasons("w").count("RecreateGroup")
    assert 4 <= early <= 8
    state.run(3000)
    assert state.reasons("w").count("RecreateGroup") - early <= 12
