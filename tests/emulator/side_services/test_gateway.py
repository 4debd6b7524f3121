"""Gateways, HTTPRoutes and InferencePools: kinds by the cluster's channel, refusals, conditions."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.cloud.container_v1.types import GatewayAPIConfig

from tests.emulator.clients import CLUSTER, HTTP, PROJECT, make_client
from tests.emulator.kubernetes.conftest import PATH, make_http
from tests.emulator.lifecycle.conftest import Compute
from tests.processes import EmulatorProcess
from tests.waiting import wait_until

API = "/apis/gateway.networking.k8s.io/v1"
SPACE = f"{API}/namespaces/default"
POOLS = "/apis/inference.networking.k8s.io/v1/namespaces/default/inferencepools"
_HEADS = {"gateways": ("gateway.networking.k8s.io/v1", "Gateway"),
          "httproutes": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
          "inferencepools": ("inference.networking.k8s.io/v1", "InferencePool")}  # fmt: skip
GATEWAY: dict[str, Any] = {
    "gatewayClassName": "gke-l7-regional-external-managed",
    "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}],
}  # fmt: skip
ROUTE: dict[str, Any] = {
    "parentRefs": [{"name": "inference"}],
    "rules": [{"backendRefs": [
        {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "llama"}]}],
}  # fmt: skip
POOL: dict[str, Any] = {
    "selector": {"matchLabels": {"app": "llama"}}, "targetPorts": [{"number": 8000}],
    "endpointPickerRef": {"name": "picker", "port": {"number": 9002}},
}  # fmt: skip


@pytest.fixture
def cluster(beside: EmulatorProcess) -> Iterator[httpx.Client]:
    """Its API server."""
    with make_http(beside) as opened:
        yield opened


def _body(plural: str, name: str, spec: Any) -> dict[str, Any]:
    version, kind = _HEADS[plural]
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _told(conditions: Any) -> dict[str, str]:
    return {c["type"]: f"{c['status']} {c['reason']}" for c in conditions}


def test_what_is_refused(cluster: httpx.Client) -> None:
    """Bodies that the CRDs' schemas and rules do not allow are 422, an unknown class waits."""
    for plural, spec, words in (
        ("gateways", {**GATEWAY, "listeners": []}, "at least 1"),
        ("gateways", {"listeners": GATEWAY["listeners"]}, "gatewayClassName"),
        ("gateways", {**GATEWAY, "listeners": [{"name": "x", "protocol": "HTTP", "port": 0}]},
         "greater than or equal to 1"),
        ("httproutes", {"rules": [{"backendRefs": [{"name": "x"}]}]}, "Must have port"),
        ("httproutes", {"rules": [{"matches": [{"path": {"type": "Glob"}}]}]}, "PathPrefix"),
        ("httproutes", {"rules": [{"filters": [{"type": "URLRewrite"}]}]}, "urlRewrite"),
        ("inferencepools", {**POOL, "targetPorts": [{"number": 70000}]}, "65535"),
        ("inferencepools", {**POOL, "endpointPickerRef": {"name": "x"}}, "port is required"),
        ("inferencepools", {"selector": POOL["selector"]}, "targetPorts"),
    ):  # fmt: skip
        path = POOLS if plural == "inferencepools" else f"{SPACE}/{plural}"
        answer = cluster.post(path, json=_body(plural, "no", spec))
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["message"]
    other = {**GATEWAY, "gatewayClassName": "istio"}
    made = cluster.post(f"{SPACE}/gateways", json=_body("gateways", "other", other)).json()
    assert made["spec"]["listeners"][0]["allowedRoutes"] == {"namespaces": {"from": "Same"}}
    kept = cluster.get(f"{SPACE}/gateways/other").json()
    assert _told(kept["status"]["conditions"]) == {
        "Accepted": "Unknown Pending", "Programmed": "Unknown Pending",
    }  # fmt: skip


def test_conditions_follow(beside: EmulatorProcess, cluster: httpx.Client) -> None:
    """Nothing is programmed without the proxies' subnetwork; what is missing is named."""
    classes = cluster.get(f"{API}/gatewayclasses").json()["items"]
    assert "gke-l7-regional-external-managed" in [c["metadata"]["name"] for c in classes]
    for plural, name, spec in (
        ("gateways", "inference", GATEWAY), ("httproutes", "llama", ROUTE),
    ):  # fmt: skip
        answer = cluster.post(f"{SPACE}/{plural}", json=_body(plural, name, spec))
        assert answer.status_code == 201, answer.text

    def seen(path: str) -> Any:
        return cluster.get(path).json()["status"]

    def route() -> dict[str, str]:
        (parent,) = seen(f"{SPACE}/httproutes/llama")["parents"]
        return _told(parent["conditions"])

    assert route() == {"Accepted": "True Accepted", "ResolvedRefs": "False BackendNotFound"}
    gateway = seen(f"{SPACE}/gateways/inference")
    assert _told(gateway["conditions"])["Programmed"] == "False Invalid"
    assert "addresses" not in gateway
    assert gateway["listeners"][0]["attachedRoutes"] == 1
    cluster.post(POOLS, json=_body("inferencepools", "llama", POOL)).raise_for_status()
    assert route()["ResolvedRefs"] == "True ResolvedRefs"
    (parent,) = seen(f"{POOLS}/llama")["parents"]
    assert _told(parent["conditions"]) == {
        "Accepted": "True Accepted", "ResolvedRefs": "False InvalidExtensionRef",
    }  # fmt: skip
    network = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/global/networks/hw-net"
    Compute(beside.rest_url, HTTP).make(
        "regions/us-central1/subnetworks", name="proxies", network=network, role="ACTIVE",
        ipCidrRange="10.40.0.0/23", purpose="REGIONAL_MANAGED_PROXY",
    )  # fmt: skip
    gateway = wait_until(lambda: (s := seen(f"{SPACE}/gateways/inference")).get("addresses") and s)
    assert _told(gateway["conditions"])["Programmed"] == "True Programmed"
    picker = {"metadata": {"name": "picker"}, "spec": {"ports": [{"port": 9002}]}}
    cluster.post("/api/v1/namespaces/default/services", json=picker).raise_for_status()
    (parent,) = seen(f"{POOLS}/llama")["parents"]
    assert _told(parent["conditions"])["ResolvedRefs"] == "True ResolvedRefs"
    cluster.delete(f"{SPACE}/httproutes/llama").raise_for_status()
    (parent,) = seen(f"{POOLS}/llama")["parents"]
    assert parent["parentRef"] == {"kind": "Status", "name": "default"}


def test_kubectl(beside: EmulatorProcess, tmp_path: Path) -> None:
    """apply, get and describe know the kinds, with their columns."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(_body("gateways", "applied", GATEWAY)), encoding="utf-8")
    server = f"--server={beside.rest_url}{PATH}"

    def run(*words: str) -> str:
        command = ["kubectl", server, f"--cache-dir={tmp_path}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "created" in run("apply", "-f", str(file))
    head, row = run("get", "gtw", "applied").splitlines()
    assert head.split() == ["NAME", "CLASS", "ADDRESS", "PROGRAMMED", "AGE"]
    assert row.split()[:2] == ["applied", "gke-l7-regional-external-managed"]
    assert "Attached Routes" in run("describe", "gateway", "applied")


def test_the_channel_decides(beside: EmulatorProcess) -> None:
    """A cluster that did not ask for the Gateway API has not its kinds until it does."""
    place = CLUSTER.rpartition("/clusters/")[0]
    gke = make_client("ClusterManagerClient", "grpc", beside)
    pool = {"name": "p", "initial_node_count": 1, "config": {"machine_type": "e2-standard-4"}}
    body = {"name": "plain", "network": "hw-net", "subnetwork": "hw-subnet", "node_pools": [pool]}
    gke.create_cluster(parent=place, cluster=body)
    channels = GatewayAPIConfig.Channel

    def now(wanted: GatewayAPIConfig.Channel) -> bool:
        found = gke.get_cluster(name=f"{place}/clusters/plain")
        config = found.network_config.gateway_api_config
        return found.status.name == "RUNNING" and config.channel == wanted

    wait_until(lambda: now(channels.CHANNEL_DISABLED))
    path = f"{beside.rest_url}{PATH.rpartition('/')[0]}/plain{API}/gatewayclasses"
    assert HTTP.get(path).status_code == 404
    wanted = {"desired_gateway_api_config": {"channel": "CHANNEL_STANDARD"}}
    gke.update_cluster(request={"name": f"{place}/clusters/plain", "update": wanted})
    wait_until(lambda: now(channels.CHANNEL_STANDARD))
    assert len(wait_until(lambda: HTTP.get(path).json().get("items"))) == 4
