"""A script of calls that change something in every API, and what can be read of the outcome."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.emulator.clients import CLUSTER, LOCATION, PROJECT

P: Final = f"projects/{PROJECT}"
COMPUTE: Final = f"compute/v1/{P}"
TPU: Final = f"tpu/v2/{P}/locations/us-central1-b"
K8S: Final = f"k8s/{PROJECT}/us-central1/hw-serving"
_NET: Final = "global/networks/j-net"
_BIG: Final = b"0123456789abcdef" * 8192  # 128 KiB: too large for a line of the journal
_MULTIPART: Final = (
    b'--b\r\nContent-Type: application/json\r\n\r\n{"name":"j/parts","metadata":{"a":"b"}}\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"
)
_IMAGE: Final = {"imageUri": "us-docker.pkg.dev/p/r/vllm-tpu:1"}
_MAP: Final[dict[str, Any]] = {"apiVersion": "v1", "kind": "ConfigMap"}
_DEPLOYMENT: Final[dict[str, Any]] = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "j-web"},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "j"}}, "template": {
        "metadata": {"labels": {"app": "j"}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]}}},
}  # fmt: skip
_ACCOUNT: Final = "01A2B3-C4D5E6-F7A8B9"
_QUEUE: Final = (
    'resource.type="prometheus_target" AND '
    'metric.type="prometheus.googleapis.com/vllm:num_requests_waiting/gauge"'
)
_BOARD: Final = {"displayName": "Mine", "gridLayout": {
    "widgets": [{"title": "t", "text": {"content": "hello"}}]}}  # fmt: skip


def _sql(text: str) -> dict[str, Any]:
    return {"query": text, "useLegacySql": False}


@dataclass(frozen=True)
class Step:
    """One call: a JSON body or raw bytes; `status` 0 means any that is no refusal.

    `reads`: it changes nothing, and is not to be written down.
    """

    verb: str
    path: str
    body: Any = None
    status: int = 0
    raw: bytes | None = None
    kind: str = "application/json"
    reads: bool = False


def _compute(place: str, **body: Any) -> Step:
    return Step("POST", f"{COMPUTE}/{place}", body)


# Written out in an order in which each has what it needs; refused ones stand between.
STEPS: Final = (
    Step("POST", f"serviceusage/v1/{P}/services/redis.googleapis.com:enable", {}),
    Step("POST", f"iam/v1/{P}/serviceAccounts",
         {"accountId": "j-account", "serviceAccount": {"displayName": "One"}}),
    Step("POST", f"iam/v1/{P}/serviceAccounts", {"accountId": "j-account"}, 409),
    Step("POST", f"iam/v1/{P}/roles", {"roleId": "j_role", "role": {
        "title": "J", "includedPermissions": ["tpu.nodes.get"]}}),
    Step("POST", f"cloudresourcemanager/v3/{P}:setIamPolicy", {"policy": {"bindings": [
        {"role": "roles/owner", "members": ["user:owner@heartwood.example"]}]}}),
    _compute("global/networks", name="j-net", autoCreateSubnetworks=True),
    Step("POST", f"{COMPUTE}/global/networks", {"name": "j-net"}, 409),
    _compute("global/firewalls", name="j-fw", network=_NET, sourceRanges=["10.0.0.0/8"],
             allowed=[{"IPProtocol": "tcp", "ports": ["8000"]}]),
    Step("PATCH", f"{COMPUTE}/global/firewalls/j-fw", {"description": "changed"}),
    _compute("global/addresses", name="j-ip"),
    _compute("global/healthChecks", name="j-check", type="HTTP", httpHealthCheck={"port": 8000}),
    _compute("zones/us-central1-c/networkEndpointGroups", name="j-neg", network=_NET,
             networkEndpointType="GCE_VM_IP_PORT", defaultPort=8000),
    _compute("global/backendServices", name="j-bs", protocol="HTTP",
             loadBalancingScheme="EXTERNAL_MANAGED", healthChecks=["global/healthChecks/j-check"]),
    _compute("global/urlMaps", name="j-map", defaultService="global/backendServices/j-bs"),
    _compute("global/targetHttpProxies", name="j-proxy", urlMap="global/urlMaps/j-map"),
    _compute("global/forwardingRules", name="j-rule", target="global/targetHttpProxies/j-proxy",
             IPAddress="global/addresses/j-ip", portRange="80",
             loadBalancingScheme="EXTERNAL_MANAGED"),
    Step("DELETE", f"{COMPUTE}/global/urlMaps/j-map", None, 400),
    Step("POST", f"container/v1/{CLUSTER}/nodePools", {"nodePool": {
        "name": "j-pool", "initialNodeCount": 2, "locations": ["us-central1-c"],
        "config": {"machineType": "tpu7x-standard-4t"}}}),
    Step("POST", f"container/v1/{CLUSTER}/nodePools/j-pool:setSize", {"nodeCount": 3}),
    Step("POST", f"{TPU}/nodes?nodeId=j-node",
         {"acceleratorType": "v6e-8", "runtimeVersion": "v2-alpha-tpuv6e"}),
    Step("PATCH", f"{TPU}/nodes/j-node?updateMask=labels", {"labels": {"a": "b"}}),
    Step("POST", f"{TPU}/queuedResources?queuedResourceId=j-queue", {"tpu": {"nodeSpec": [{
        "parent": f"{P}/locations/us-central1-b", "nodeId": "j-queued",
        "node": {"acceleratorType": "v6e-8", "runtimeVersion": "v2-alpha-tpuv6e"}}]}}),
    Step("POST", f"aiplatform/v1/{LOCATION}/models:upload", {"model": {
        "displayName": "j-model", "containerSpec": _IMAGE, "artifactUri": "gs://b/m"}}),
    Step("POST", f"aiplatform/v1/{LOCATION}/endpoints", {"displayName": "j-endpoint"}),
    Step("POST", f"logging/v2/{P}/sinks?uniqueWriterIdentity=true", {
        "name": "j-sink", "destination": "storage.googleapis.com/j-logs"}),
    Step("POST", f"logging/v2/{P}/metrics", {"name": "j-metric", "filter": "severity>=ERROR"}),
    Step("POST", "logging/v2/entries:write", {"entries": [{
        "logName": f"{P}/logs/j", "severity": "ERROR", "resource": {"type": "global"},
        "textPayload": "said"}]}),
    Step("POST", f"cloudquotas/v1/{P}/locations/global/quotaPreferences?quotaPreferenceId=j-more", {
        "service": "compute.googleapis.com", "quotaId": "TPUS-PER-TPU-FAMILY-per-project-region",
        "dimensions": {"region": "europe-west4", "tpu_family": "CT6E"},
        "quotaConfig": {"preferredValue": "64"}}),
    Step("POST", f"storage/v1/b?project={PROJECT}", {"name": "j-bucket",
                                                     "versioning": {"enabled": True}}),
    Step("POST", f"storage/v1/b?project={PROJECT}", {"name": "j-bucket"}, 409),
    Step("POST", "upload/storage/v1/b/j-bucket/o?uploadType=media&name=big", raw=_BIG,
         kind="application/octet-stream"),
    Step("POST", "upload/storage/v1/b/j-bucket/o?uploadType=media&name=big&ifGenerationMatch=0",
         None, 412, _BIG, "application/octet-stream"),
    Step("POST", "upload/storage/v1/b/j-bucket/o?uploadType=multipart", raw=_MULTIPART,
         kind="multipart/related; boundary=b"),
    Step("POST", "storage/v1/b/j-bucket/o/big/copyTo/b/j-bucket/o/copy", {}),
    Step("POST", "upload/storage/v1/b/j-bucket/o?uploadType=media&name=j%2Fparts", raw=b"newer",
         kind="text/plain"),
    Step("DELETE", "storage/v1/b/j-bucket/o/copy"),
    Step("POST", f"bigquery/v2/{P}/queries", _sql("SELECT RAND(), CURRENT_TIMESTAMP()"),
         reads=True),
    Step("POST", f"bigquery/v2/{P}/datasets", {"datasetReference": {"datasetId": "j"}}),
    Step("POST", f"bigquery/v2/{P}/queries", _sql(
        "CREATE TABLE j.t AS SELECT 1 AS n, RAND() AS r, GENERATE_UUID() AS u, "
        "CURRENT_DATETIME() AS at, CURRENT_DATE('Asia/Tokyo') AS day")),
    Step("POST", f"bigquery/v2/{P}/queries", _sql("UPDATE j.t SET n = 2, r = RAND() WHERE true")),
    Step("POST", f"bigquery/v2/{P}/queries", _sql("CREATE VIEW j.v AS SELECT n FROM j.t")),
    Step("POST", f"bigquery/v2/{P}/datasets/j/tables/t/insertAll", {"rows": [{"json": {"n": 3}}]}),
    Step("POST", f"cloudresourcemanager/v1/{P}:setIamPolicy", {"policy": {"bindings": [
        {"role": "roles/owner", "members": ["user:owner@heartwood.example",
                                            "user:other@heartwood.example"]}]}}),
    Step("POST", f"monitoring/v3/{P}/alertPolicies", {
        "displayName": "Long queue", "combiner": "OR", "conditions": [{
            "displayName": "long", "conditionThreshold": {
                "filter": _QUEUE, "comparison": "COMPARISON_GT", "thresholdValue": 1e9,
                "duration": "300s", "aggregations": [{
                    "alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN"}]}}]}),
    Step("POST", f"monitoring/v3/{P}/notificationChannels", {
        "type": "email", "displayName": "m", "labels": {"email_address": "a@heartwood.example"}}),
    Step("POST", f"monitoring/v1/{P}/dashboards?validateOnly=true", _BOARD, reads=True),
    Step("POST", f"monitoring/v1/{P}/dashboards", _BOARD),
    Step("POST", f"billingbudgets/v1/billingAccounts/{_ACCOUNT}/budgets", {
        "displayName": "mine", "budgetFilter": {"projects": [P]},
        "amount": {"specifiedAmount": {"units": "5"}}}),
    Step("PUT", f"pubsub/v1/{P}/topics/j-topic", {"messageRetentionDuration": "600s"}),
    Step("PUT", f"pubsub/v1/{P}/topics/j-topic", {}, 409),
    Step("PUT", f"pubsub/v1/{P}/subscriptions/j-sub", {"topic": f"{P}/topics/j-topic"}),
    Step("POST", f"pubsub/v1/{P}/topics/j-topic:publish", {"messages": [{"data": "aGVsbG8="}]}),
    Step("PUT", f"pubsub/v1/{P}/snapshots/j-snap", {"subscription": f"{P}/subscriptions/j-sub"}),
    Step("POST", f"pubsub/v1/{P}/subscriptions/j-sub:pull", {"maxMessages": 5}),
    Step("POST", f"pubsub/v1/{P}/subscriptions/j-sub:acknowledge", {"ackIds": ["none"]}, 400),
    Step("POST", f"artifactregistry/v1/{LOCATION}/repositories?repositoryId=j-repository",
         {"format": "DOCKER"}),
    Step("POST", f"{K8S}/api/v1/namespaces", {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "j"}}),
    Step("POST", f"{K8S}/api/v1/namespaces/j/configmaps",
         _MAP | {"metadata": {"generateName": "j-"}, "data": {"a": "1"}}),
    Step("POST", f"{K8S}/apis/apps/v1/namespaces/j/deployments", _DEPLOYMENT),
    Step("POST", "_heartwood/faults", {"id": "j-slow", "service": "tpu", "latency_s": 0.001}),
    Step("POST", "_heartwood/scenarios/chip-fault", {"starts_in_s": -60}),
)  # fmt: skip

# What all of it can be read at.
READ: Final = (
    f"iam/v1/{P}/serviceAccounts", f"iam/v1/{P}/roles/j_role",
    *(f"{COMPUTE}/global/{c}" for c in (
        "networks", "firewalls", "addresses", "healthChecks", "backendServices", "urlMaps",
        "targetHttpProxies", "forwardingRules", "operations")),
    f"{COMPUTE}/regions/us-central1/subnetworks",
    f"{COMPUTE}/zones/us-central1-c/networkEndpointGroups",
    f"{COMPUTE}/zones/us-central1-c/instanceGroups",
    f"container/v1/{LOCATION}/clusters", f"container/v1/{P}/locations/-/operations",
    f"{TPU}/nodes", f"{TPU}/queuedResources", f"{TPU}/operations",
    f"aiplatform/v1/{LOCATION}/models", f"aiplatform/v1/{LOCATION}/endpoints",
    f"logging/v2/{P}/sinks", f"logging/v2/{P}/metrics",
    f"cloudquotas/v1/{P}/locations/global/quotaPreferences",
    f"serviceusage/v1/{P}/services?filter=state:ENABLED",
    f"storage/v1/b?project={PROJECT}", "storage/v1/b/j-bucket/o?versions=true",
    "storage/v1/b/j-bucket/o/big?alt=media",
    f"{K8S}/api/v1/namespaces", f"{K8S}/api/v1/namespaces/j/configmaps",
    f"{K8S}/apis/apps/v1/namespaces/j/deployments", f"{K8S}/api/v1/nodes",
    f"bigquery/v2/{P}/datasets/j/tables", f"bigquery/v2/{P}/datasets/j/tables/t/data",
    f"monitoring/v3/{P}/alertPolicies", f"monitoring/v3/{P}/notificationChannels",
    *(f"pubsub/v1/{P}/{kind}" for kind in ("topics", "subscriptions", "snapshots")),
    f"artifactregistry/v1/{LOCATION}/repositories",
    f"monitoring/v1/{P}/dashboards", f"billingbudgets/v1/billingAccounts/{_ACCOUNT}/budgets",
    "_heartwood/faults", "_heartwood/scenarios",
)  # fmt: skip


def run(url: str, steps: tuple[Step, ...] = STEPS) -> Iterator[tuple[Step, httpx.Response]]:
    """Make the calls one after the other; what one begins has ended before the next."""
    with httpx.Client(base_url=url, timeout=60) as client:
        for step in steps:
            content = step.raw if step.raw is not None else json.dumps(step.body).encode()
            headers = {"content-type": step.kind}
            sent = None if step.body is None and step.raw is None else content
            answer = client.request(step.verb, f"/{step.path}", content=sent, headers=headers)
            expected = (step.status,) if step.status else range(200, 300)
            assert answer.status_code in expected, (step.verb, step.path, answer.text)
            _wait(client, step, answer)
            yield step, answer


def _wait(client: httpx.Client, step: Step, answer: httpx.Response) -> None:
    api, version = step.path.split("/")[:2]
    body = answer.json() if answer.content[:1] == b"{" else {}
    name = str(body.get("name", ""))
    if body.get("kind") == "compute#operation":
        path = body["selfLink"].partition("/compute/v1/")[2]
        client.post(f"/compute/v1/{path}/wait").raise_for_status()
        return
    if body.get("done"):
        return
    if api == "container" and "operationType" in body:
        name = f"{LOCATION}/operations/{name}"
    elif "/operations/" not in f"/{name}":
        return
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = client.get(f"/{api}/{version}/{name}").json()
        if found.get("done") or found.get("status") == "DONE":
            assert "error" not in found, found
            return
        time.sleep(0.01)
    raise AssertionError(name)


def snapshot(url: str) -> dict[str, str]:
    """What every address in READ answers."""
    with httpx.Client(base_url=url, timeout=60) as client:
        found = {path: client.get(f"/{path}") for path in READ}
    assert {p: a.status_code for p, a in found.items() if a.status_code != 200} == {}
    return {path: without_addresses(answer.text) for path, answer in found.items()}


_TIMES: Final = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)?|\b1[6-9]\d{8}(\d{3}(\d{3})?)?(\.\d+)?\b"
)


def without_addresses(text: str) -> str:
    """An answer but for what is a process's own: the order of maps, its port, Kubernetes'
    versions, how often a fault rule was asked.
    """
    if text.startswith(("{", "[")):
        text = json.dumps(json.loads(text), sort_keys=True)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    return re.sub(r'"(resourceVersion|seen|hits)": ?"?\d+"?', r'"\1": 0', text)


def without_times(text: str) -> str:
    """An answer but for its times, written out or as seconds, ms or µs."""
    return _TIMES.sub("TIME", without_addresses(text))
