"""The controllers behind a running API server: what a caller writes comes to life."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.emulator.clients import PROJECT
from tests.emulator.controllers.memory_state import template
from tests.emulator.discovery import problems
from tests.processes import EmulatorProcess

Obj = dict[str, Any]
_CLUSTER = f"/k8s/{PROJECT}/us-central1/hw-serving"
_SPACE = "namespaces/e2e"
_APPS, _LWS = "apis/apps/v1", "apis/leaderworkerset.x-k8s.io/v1"
_NEG = f"/compute/v1/projects/{PROJECT}/zones/us-central1-c/networkEndpointGroups"
_FREE, _SLICE = ({"cloud.google.com/gke-nodepool": p} for p in ("free", "slice"))


class Wire:
    """Calls to the emulator that have to succeed."""

    def __init__(self, base: str) -> None:
        self.client = httpx.Client(base_url=base, timeout=30, trust_env=False)

    def call(self, method: str, path: str, body: Obj | None = None) -> Obj:
        merge = {"content-type": "application/merge-patch+json"} if method == "PATCH" else None
        answer = self.client.request(method, path, json=body, headers=merge)
        assert answer.is_success, answer.text
        found: Obj = answer.json()
        return found

    def kube(self, method: str, path: str, body: Obj | None = None) -> Obj:
        """A call to the cluster."""
        return self.call(method, f"{_CLUSTER}/{path}", body)

    def make(self, group: str, plural: str, kind: str, name: str, **body: Any) -> Obj:
        """Create an object in the namespace."""
        meta = {"name": name, **body.pop("metadata", {})}
        version = group.removeprefix("apis/") if group != "api/v1" else "v1"
        whole = {"apiVersion": version, "kind": kind, "metadata": meta, **body}
        return self.kube("POST", f"{group}/{_SPACE}/{plural}", whole)

    def pods(self, selector: str = "") -> list[Obj]:
        """Pods of the namespace."""
        path = f"api/v1/{_SPACE}/pods?labelSelector={selector}"
        items: list[Obj] = self.kube("GET", path)["items"]
        return items

    def until(self, what: Callable[[], Any], seconds: float = 15) -> Any:
        """What it gives, once that is true."""
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, self.client.get(
                f"{_CLUSTER}/api/v1/{_SPACE}/events"
            ).text[-4000:]
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def wire(living: EmulatorProcess) -> Iterator[Wire]:
    """With the namespace there."""
    made = Wire(living.rest_url)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "e2e"}}
    made.kube("POST", "api/v1/namespaces", space)
    yield made
    made.client.close()


def _rolled_out(found: Obj, replicas: int) -> bool:
    """What `kubectl rollout status` waits for."""
    status = found.get("status") or {}
    counts = [status.get(c, 0) for c in ("replicas", "updatedReplicas", "availableReplicas")]
    fresh = status.get("observedGeneration") == found["metadata"]["generation"]
    return fresh and counts == [replicas] * 3


def test_deployment_and_its_negs(wire: Wire) -> None:
    """A Deployment with chips runs on a TPU pool and the NEG of its Service has its pods'
    addresses; both follow scaling, a rollout and the end.
    """
    pods = template(4, nodeSelector=_FREE, hostNetwork=True)
    pods["spec"]["containers"][0] |= {"ports": [{"name": "http", "containerPort": 8000}]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": pods,
            "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}  # fmt: skip
    wire.make(_APPS, "deployments", "Deployment", "d", spec=spec)
    annotation = {"cloud.google.com/neg": '{"exposed_ports":{"80":{"name":"e2e-neg"}}}'}
    ports = [{"port": 80, "targetPort": "http"}]
    wire.make("api/v1", "services", "Service", "d", metadata={"annotations": annotation},
              spec={"selector": {"app": "a"}, "ports": ports})  # fmt: skip
    path = f"{_APPS}/{_SPACE}/deployments/d"
    wire.until(lambda: _rolled_out(wire.kube("GET", path), 2))
    service = wire.kube("GET", f"api/v1/{_SPACE}/services/d")
    told = service["metadata"]["annotations"]["cloud.google.com/neg-status"]
    assert told == '{"network_endpoint_groups":{"80":"e2e-neg"},"zones":["us-central1-c"]}'

    def endpoints() -> set[tuple[str, str, int]]:
        answer = wire.call("POST", f"{_NEG}/e2e-neg/listNetworkEndpoints", {})
        found = [i["networkEndpoint"] for i in answer.get("items", ())]
        return {(e["instance"], e["ipAddress"], e["port"]) for e in found}

    def serving() -> set[tuple[str, str, int]]:
        return {(p["spec"]["nodeName"], p["status"]["podIP"], 8000) for p in wire.pods("app=a")}

    listed = {n["name"]: n for n in wire.call("GET", _NEG)["items"]}
    assert listed["e2e-neg"] == wire.call("GET", f"{_NEG}/e2e-neg")
    assert problems("compute.v1", "NetworkEndpointGroup", listed["e2e-neg"]) == []
    assert listed["e2e-neg"]["size"] == 2
    assert len(endpoints()) == 2
    assert endpoints() == serving()
    assert all("-free-" in instance for instance, _, _ in endpoints())
    slices = wire.kube("GET", f"apis/discovery.k8s.io/v1/{_SPACE}/endpointslices")["items"]
    addresses = {a for e in slices[0]["endpoints"] for a in e["addresses"]}
    assert addresses == {address for _, address, _ in serving()}
    wire.kube("PATCH", path, {"spec": {"replicas": 3}})
    wire.until(lambda: _rolled_out(wire.kube("GET", path), 3) and len(endpoints()) == 3)
    changed = template(4, "server:2", nodeSelector=_FREE, hostNetwork=True)["spec"]
    wire.kube("PATCH", path, {"spec": {"template": {"spec": changed}}})
    wire.until(lambda: _rolled_out(wire.kube("GET", path), 3))
    assert {p["spec"]["containers"][0]["image"] for p in wire.pods("app=a")} == {"server:2"}
    wire.kube("DELETE", f"api/v1/{_SPACE}/services/d")
    wire.kube("DELETE", path)
    wire.until(lambda: not wire.pods("app=a"))
    assert wire.client.get(f"{_NEG}/e2e-neg").status_code == 404


def test_leader_worker_set_on_a_slice(wire: Wire) -> None:
    """A group of four lands on the slice's four hosts; a second one has no room and says so."""
    workers = template(4, nodeSelector=_SLICE)
    spec = {"replicas": 2, "leaderWorkerTemplate": {"size": 4, "workerTemplate": workers}}
    wire.make(_LWS, "leaderworkersets", "LeaderWorkerSet", "w", spec=spec)
    path = f"{_LWS}/{_SPACE}/leaderworkersets/w"
    found = wire.until(
        lambda: (f := wire.kube("GET", path))["status"].get("readyReplicas") == 1 and f
    )
    assert found["status"]["replicas"] == 2
    name = "leaderworkerset.sigs.k8s.io/group-index"
    placed = wire.pods(f"{name}=0")
    assert len({p["spec"]["nodeName"] for p in placed}) == 4
    assert all("-slice-" in p["spec"]["nodeName"] for p in placed)
    waiting = wire.pods(f"{name}=1")
    assert len(waiting) == 4
    told = waiting[0]["status"]["conditions"][0]["message"]
    assert "4 Insufficient google.com/tpu" in told
    assert "node(s) didn't match Pod's node affinity/selector" in told
    events = wire.kube("GET", f"api/v1/{_SPACE}/events")["items"]
    assert "FailedScheduling" in {e["reason"] for e in events}
    wire.kube("DELETE", path)
    wire.until(lambda: not wire.pods("leaderworkerset.sigs.k8s.io/name=w"))


def test_population_from_a_bucket(wire: Wire) -> None:
    """A claim is filled from a bucket that its service account may read; its pod then runs."""
    project = wire.call("GET", f"/cloudresourcemanager/v3/projects/{PROJECT}")
    number = project["name"].removeprefix("projects/")
    wire.call("POST", f"/storage/v1/b?project={PROJECT}", {"name": "e2e-weights"})
    media = "/upload/storage/v1/b/e2e-weights/o?uploadType=media&name=m/w"
    assert wire.client.post(media, content=b"w" * 5000).is_success
    wire.make("api/v1", "serviceaccounts", "ServiceAccount", "loader")
    kind = {"provisioner": "pd.csi.storage.gke.io", "volumeBindingMode": "WaitForFirstConsumer"}
    wire.kube("POST", "apis/storage.k8s.io/v1/storageclasses",
              {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
               "metadata": {"name": "e2e-ml"}, **kind})  # fmt: skip
    storage = {"uri": "gs://e2e-weights/m/", "serviceAccountName": "loader"}
    wire.make("apis/datalayer.gke.io/v1", "gcpdatasources", "GCPDataSource", "weights",
              spec={"cloudStorage": storage})  # fmt: skip
    reference = {"apiGroup": "datalayer.gke.io", "kind": "GCPDataSource", "name": "weights"}
    size = {"requests": {"storage": "10Gi"}}
    claim = {"accessModes": ["ReadOnlyMany"], "storageClassName": "e2e-ml", "resources": size,
             "dataSourceRef": reference}  # fmt: skip
    wire.make("api/v1", "persistentvolumeclaims", "PersistentVolumeClaim", "p", spec=claim)
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "p"}}
    wire.make("api/v1", "pods", "Pod", "reader", spec=template(volumes=[volume])["spec"])

    def reasons() -> set[str]:
        path = f"api/v1/{_SPACE}/events?fieldSelector=involvedObject.name=p"
        return {e["reason"] for e in wire.kube("GET", path)["items"]}

    wire.until(lambda: "PopulateOperationStartError" in reasons())
    member = (
        f"principal://iam.googleapis.com/projects/{number}/locations/global/"
        f"workloadIdentityPools/{PROJECT}.svc.id.goog/subject/ns/e2e/sa/loader"
    )
    policy = wire.call("GET", "/storage/v1/b/e2e-weights/iam")
    policy["bindings"].append({"role": "roles/storage.objectViewer", "members": [member]})
    wire.call("PUT", "/storage/v1/b/e2e-weights/iam", policy)
    path = f"api/v1/{_SPACE}/pods/reader"
    wire.until(lambda: wire.kube("GET", path)["status"]["phase"] == "Running")
    assert {"PopulateOperationFinished", "PopulatorFinished"} <= reasons()
    found = wire.kube("GET", f"api/v1/{_SPACE}/persistentvolumeclaims/p")
    assert found["status"]["phase"] == "Bound"
    wire.kube("DELETE", path)
    wire.kube("DELETE", f"api/v1/{_SPACE}/persistentvolumeclaims/p")
    wire.until(lambda: not wire.kube("GET", "api/v1/persistentvolumes")["items"])
