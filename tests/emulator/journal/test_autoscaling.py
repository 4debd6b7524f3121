"""Autoscalers over the wire: what they do follows from the calls and their instants alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import kubernetes

from tests.emulator.clients import CLUSTER, PROJECT
from tests.emulator.journal.calls import K8S
from tests.emulator.journal.conftest import Starts
from tests.processes import EmulatorProcess
from tests.waiting import wait_until

_SPEED = 600.0
_QUEUE = "prometheus.googleapis.com|vllm:num_requests_running|gauge"
_GROUPS = "apis/leaderworkerset.x-k8s.io/v1/namespaces/medium/leaderworkersets/hw-medium-server"
_GROWN, _WHOLE = f"{CLUSTER}/nodePools/hw-small-00", f"{CLUSTER}/nodePools/hw-medium-63"
_TOLD = ("TriggeredScaleUp", "NotTriggerScaleUp", "ScaleDown", "SuccessfulRescale")


def _get(running: EmulatorProcess, path: str) -> Any:
    return httpx.get(f"{running.rest_url}/{path}", timeout=60).raise_for_status().json()


def _bounded(running: EmulatorProcess, pool: str, least: int, most: int) -> None:
    bounds = {"enabled": True, "minNodeCount": least, "maxNodeCount": most}
    place = f"{running.rest_url}/container/v1/{pool}:setAutoscaling"
    httpx.post(place, json={"autoscaling": bounds}, timeout=60).raise_for_status()


def _autoscaler(running: EmulatorProcess) -> None:
    """A HorizontalPodAutoscaler of the small tier, made by Kubernetes' own client."""
    configuration = kubernetes.client.Configuration(host=f"{running.rest_url}/{K8S}")
    metric = {"name": _QUEUE}
    target = {"type": "AverageValue", "averageValue": "1m"}
    body = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "queue"}, "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": "hw-small-server"},
            "minReplicas": 48, "maxReplicas": 52,
            "metrics": [{"type": "Pods", "pods": {"metric": metric, "target": target}}],
        },
    }  # fmt: skip
    with kubernetes.client.ApiClient(configuration) as api:
        made = kubernetes.client.AutoscalingV2Api(api)
        made.create_namespaced_horizontal_pod_autoscaler("small", body)


def _slices(running: EmulatorProcess, count: int) -> None:
    kind = {"content-type": "application/merge-patch+json"}
    body = json.dumps({"spec": {"replicas": count}})
    place = f"{running.rest_url}/{K8S}/{_GROUPS}/scale"
    httpx.patch(place, content=body, headers=kind, timeout=60).raise_for_status()


def _size(running: EmulatorProcess, pool: str) -> int:
    path = f"api/v1/nodes?labelSelector=cloud.google.com/gke-nodepool={pool.rsplit('/', 1)[-1]}"
    nodes = _get(running, f"{K8S}/{path}")["items"]
    return sum(any(c["type"] == "Ready" and c["status"] == "True"
                   for c in node["status"]["conditions"]) for node in nodes)  # fmt: skip


def _events(running: EmulatorProcess) -> list[Mapping[str, Any]]:
    items = _get(running, f"{K8S}/api/v1/events")["items"]
    return [item for item in items if item["reason"] in _TOLD]


def _seen(running: EmulatorProcess) -> dict[str, Any]:
    """Replicas, hosts and events, with their times; not what is measured anew each minute."""
    found: dict[str, Any] = {}
    for path in ("nodes", "namespaces/small/pods", "namespaces/medium/pods"):
        items = _get(running, f"{K8S}/api/v1/{path}")["items"]
        found[path] = {
            i["metadata"]["name"]: (i["metadata"]["creationTimestamp"], i["spec"].get("nodeName"))
            for i in items
        }  # fmt: skip
    scaler = _get(running, f"{K8S}/apis/autoscaling/v2/namespaces/small/horizontalpodautoscalers")
    status = scaler["items"][0]["status"]
    found["scaler"] = {k: status[k] for k in ("lastScaleTime", "desiredReplicas", "conditions")}
    found["events"] = sorted(
        (e["reason"], e["message"], e["firstTimestamp"], e["lastTimestamp"], e["count"])
        for e in _events(running)
    )
    for kind in (f"{K8S}/apis/apps/v1/namespaces/small/deployments", f"{K8S}/{_GROUPS}/scale"):
        found[kind] = json.dumps(_get(running, kind)).count('"replicas": 5')
    pools = _get(running, f"container/v1/{CLUSTER}/nodePools")["nodePools"]
    found["pools"] = {p["name"]: (p["status"], p.get("autoscaling")) for p in pools}
    groups = f"compute/v1/projects/{PROJECT}/zones/us-central1-c/instanceGroupManagers"
    found["sizes"] = {g["name"]: g["targetSize"] for g in _get(running, groups)["items"]}
    return found


def test_autoscalers_do_the_same_again_after_a_crash(tmp_path: Path, starts: Starts) -> None:
    """Replicas follow a metric, pools follow pods up to their bounds, a slice goes and comes whole;
    killed and started again the project has the same pods, hosts and events at the same times.
    """
    first = starts(tmp_path / "state", _SPEED)
    _bounded(first, _GROWN, 16, 18)
    _bounded(first, _WHOLE, 0, 4)
    _autoscaler(first)
    _slices(first, 63)
    wait_until(lambda: _size(first, _GROWN) == 18)
    wait_until(lambda: _size(first, _WHOLE) == 0)
    _slices(first, 64)
    wait_until(lambda: _size(first, _WHOLE) == 4)
    wait_until(lambda: {e["reason"] for e in _events(first)} == set(_TOLD))
    told = " ".join(e["message"] for e in _events(first))
    for words in (" 16->18 (max: 18)}]", " 0->4 (max: 4)}]", "1 max node group size reached"):
        assert words in told
    listed = _get(first, f"container/v1/{CLUSTER.rsplit('/', 2)[0]}/operations")
    assert {o["operationType"] for o in listed["operations"]} == {"UPDATE_CLUSTER"}
    before = _seen(first)
    first.process.kill()
    first.process.wait()
    assert _seen(starts(tmp_path / "state", _SPEED)) == before
