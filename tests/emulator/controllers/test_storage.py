"""Claims, volumes and population from a bucket, on a state in memory with a real Cloud Storage."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.apis.iam.model import iam_state
from emulator.apis.kubernetes.controllers.objects import copy_of
from emulator.apis.storage.model import storage_state
from tests.emulator.controllers.memory_state import MemoryState, Obj, node, template

_REF = {"apiGroup": "datalayer.gke.io", "kind": "GCPDataSource", "name": "weights"}


@pytest.fixture
def state() -> MemoryState:
    """Two hosts; classes that bind at once and that wait."""
    made = MemoryState()
    made.create(node("cpu-0", "system", 0))
    made.create(node("cpu-1", "system", 0))
    for name, mode in (("now", "Immediate"), ("later", "WaitForFirstConsumer")):
        made.create({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                     "metadata": {"name": name}, "provisioner": "pd.csi.storage.gke.io",
                     "parameters": {"provisioned-throughput-on-create": "1Mi"},
                     "volumeBindingMode": mode})  # fmt: skip
    return made


def _claim(state: MemoryState, name: str, storage_class: str, **spec: Any) -> None:
    body = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
            "resources": {"requests": {"storage": "10Gi"}}, **spec}  # fmt: skip
    state.add("PersistentVolumeClaim", name, body)


def _mounting(claim: str) -> Obj:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": claim}}
    spec: Obj = template(volumes=[volume])["spec"]
    return spec


def _phase(state: MemoryState, kind: str, name: str) -> str:
    found = state.get(kind, "default", name)
    return str(((found or {}).get("status") or {}).get("phase"))


def test_claims_bind_at_once_or_with_their_first_pod(state: MemoryState) -> None:
    """Immediate claims get a volume by themselves; others when a pod comes, whose containers wait
    for it; an unknown class and a missing claim are told; the volume goes with its claim.
    """
    _claim(state, "a", "now")
    _claim(state, "b", "later")
    _claim(state, "c", "nothing")
    state.add("Pod", "lost", _mounting("absent"))
    state.run(60)
    assert _phase(state, "PersistentVolumeClaim", "a") == "Bound"
    assert _phase(state, "PersistentVolumeClaim", "b") != "Bound"
    assert state.reasons("b") == ["WaitForFirstConsumer"]
    assert state.reasons("c") == ["ProvisioningFailed"]
    assert ("lost", "FailedScheduling") in [e[:2] for e in state.events]
    assert 'persistentvolumeclaim "absent" not found' in str(state.events)
    state.add("Pod", "first", _mounting("b"))
    state.run(3)
    assert _phase(state, "Pod", "first") == "Pending"
    state.run(100)
    assert _phase(state, "Pod", "first") == "Running"
    volume = next(v for v in state.list("PersistentVolume")
                  if v["spec"]["claimRef"]["name"] == "b")  # fmt: skip
    assert volume["status"]["phase"] == "Bound"
    assert "us-central1-c" in str(volume["spec"]["nodeAffinity"])
    state.delete("PersistentVolumeClaim", "default", "a")
    state.run(1)
    left = [v["spec"]["claimRef"]["name"] for v in state.list("PersistentVolume")]
    assert left == ["b"]


def test_volume_that_is_there_is_taken_before_one_is_made(state: MemoryState) -> None:
    """The smallest fitting volume is bound; when its claim goes a retained one is released."""
    for size in ("50Gi", "20Gi", "5Gi"):
        spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
                "storageClassName": "now", "persistentVolumeReclaimPolicy": "Retain"}  # fmt: skip
        state.create({"apiVersion": "v1", "kind": "PersistentVolume",
                      "metadata": {"name": f"v{size.lower()}"}, "spec": spec})  # fmt: skip
    _claim(state, "a", "now")
    state.run(1)
    claim = state.get("PersistentVolumeClaim", "default", "a")
    assert claim
    assert claim["spec"]["volumeName"] == "v20gi"
    state.delete("PersistentVolumeClaim", "default", "a")
    state.run(1)
    volume = state.get("PersistentVolume", "", "v20gi")
    assert volume
    assert volume["status"]["phase"] == "Released"


def test_population_copies_a_bucket_or_says_why_not(state: MemoryState) -> None:
    """Without data source, account, bucket or permission nothing begins, and an event says which;
    then progress is reported until the bytes are copied, at the class's rate.
    """
    storage = {"uri": "gs://w/m/", "serviceAccountName": "loader"}
    _claim(state, "p", "now", dataSourceRef=_REF)
    told = []
    state.run(70)
    state.add("GCPDataSource", "weights", {"cloudStorage": storage}, "datalayer.gke.io/v1")
    state.run(70)
    state.create({"apiVersion": "v1", "kind": "ServiceAccount",
                  "metadata": {"name": "loader", "namespace": "default"}})  # fmt: skip
    state.run(70)
    disk = storage_state(state.cloud)
    disk.add_bucket("w", {"location": "US"})
    disk.add("w", "m/weights", disk.disk.put(b"x" * (100 * 2**20)), {})
    disk.add("w", "other", disk.disk.put(b"x" * 1000), {})
    state.run(70)
    project = state.cloud.project
    member = (
        f"principal://iam.googleapis.com/projects/{project.number}/locations/global/"
        f"workloadIdentityPools/{project.id}.svc.id.goog/subject/ns/default/sa/loader"
    )
    iam_state(state.cloud).policies.grant("buckets/w", "roles/storage.objectViewer", member)
    began = state.time
    state.run(60)
    assert _phase(state, "PersistentVolumeClaim", "p") != "Bound"
    state.run(300)
    assert _phase(state, "PersistentVolumeClaim", "p") == "Bound"
    told = [(r, m) for about, r, m in state.events if about == "p"]
    errors = [m for r, m in told if r == "PopulateOperationStartError"]
    words = ("gcpdatasources", "serviceaccounts", "doesn't exist", "access")
    assert [next(w for w in words if w in m) for m in errors] == list(words)
    reasons = [r for r, _ in told]
    assert reasons[-5:] == [
        "TransferJobCompleted", "TransferJobCompleted", "PopulateOperationFinished",
        "PopulatorFinished", "ProvisioningSucceeded",
    ]  # fmt: skip
    assert reasons.count("TransferInProgress") >= 3
    claim = state.get("PersistentVolumeClaim", "default", "p")
    assert claim
    started = next(i for i, r in enumerate(reasons) if r == "PopulateOperationStartSuccess")
    assert started < reasons.index("TransferInProgress")
    assert state.time - began == 360


def test_pod_waits_for_what_it_mounts_and_reads(state: MemoryState) -> None:
    """A missing ConfigMap keeps a volume from being mounted, a missing Secret a container from
    being made; both go on when they come.
    """
    spec = template(volumes=[{"name": "c", "configMap": {"name": "conf"}}])["spec"]
    state.add("Pod", "mounts", spec)
    reads = copy_of(template())["spec"]
    reads["containers"][0]["envFrom"] = [{"secretRef": {"name": "key"}}]
    state.add("Pod", "reads", reads)
    state.run(40)
    assert "FailedMount" in state.reasons("mounts")
    pod = state.get("Pod", "default", "reads")
    assert pod
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "key" not found'}
    for kind, name in (("ConfigMap", "conf"), ("Secret", "key")):
        state.create({"apiVersion": "v1", "kind": kind,
                      "metadata": {"name": name, "namespace": "default"}})  # fmt: skip
    state.run(60)
    assert {_phase(state, "Pod", p) for p in ("mounts", "reads")} == {"Running"}
