"""Nonsense for every served method, on both wires and every router: never a 5xx, never a hang.

`HEARTWOOD_FUZZ=N` draws N times as many requests from another seed each time; a failure prints the
seed, with which `HEARTWOOD_FUZZ_SEED` draws the same again.
"""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from emulator.context import make_cloud
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.wire.codec import plain
from emulator.wire.mount import Mount
from tests.emulator.fuzz import nonsense
from tests.processes import EmulatorProcess, start_emulator

_TIMES = int(os.environ.get("HEARTWOOD_FUZZ", "1"))
_SEED = int(os.environ.get("HEARTWOOD_FUZZ_SEED", "0"))
pytestmark = pytest.mark.timeout(300 * _TIMES)
# What would leave nothing for the other requests to find.
_SPARED = frozenset({"delete_cluster", "disable_service"})
# Answers of a model's server, or of the lack of one, are none of the emulator's own.
_RELAYED = ("redict", "completions", "Completions")
_METHODS = [
    (mount, method)
    for mount in load_apis(make_cloud(Settings()))
    if isinstance(mount, Mount)
    for method in mount.methods()
    if hasattr(mount.handler, method.name) and method.name not in _SPARED
]
_REST = [
    ("" if rule.uri.startswith(mount.prefix) else mount.prefix, rule, method)
    for mount, method in _METHODS
    for rule in method.rules
]
_GRPC = sorted({m.grpc_path: m for _, m in _METHODS if m.grpc_path}.items(), key=lambda i: i[0])
_K8S = "/k8s/heartwood-demo/us-central1/hw-serving"
_KINDS = ("pods", "nodes", "events", "services", "configmaps", "secrets", "persistentvolumeclaims")
_ROUTES = [
    "/storage/v1/b", "/storage/v1/b/*", "/storage/v1/b/*/iam", "/storage/v1/b/*/o",
    "/storage/v1/b/*/o/*", "/storage/v1/b/*/o/*/compose", "/storage/v1/b/*/o/*/rewriteTo/b/*/o/*",
    "/upload/storage/v1/b/*/o", "/batch/storage/v1", "/download/storage/v1/b/*/o/*",
    "/bigquery/v2/projects/*/queries", "/bigquery/v2/projects/*/queries/*",
    "/bigquery/v2/projects/*/jobs", "/bigquery/v2/projects/*/jobs/*", "/bigquery/v2/projects/*/*",
    "/bigquery/v2/projects/*/datasets/*/tables/*/data", "/bigquery/v2/projects/*/datasets/*/*",
    "/cloudresourcemanager/v1/projects/*", "/cloudresourcemanager/v1/projects/*:setIamPolicy",
    "/cloudresourcemanager/v1/projects/*:testIamPermissions", "/_heartwood/faults/*", "/*/*",
    "/k8s/*/*/*/api/v1/pods", f"{_K8S}/version", f"{_K8S}/apis/*/*", f"{_K8S}/openapi/v2",
    *(f"{_K8S}/api/v1/{kind}" for kind in _KINDS),
    *(f"{_K8S}/api/v1/namespaces/*/{kind}" for kind in _KINDS),
    *(f"{_K8S}/api/v1/namespaces/*/{kind}/*" for kind in _KINDS),
    f"{_K8S}/api/v1/namespaces/*/pods/*/log", f"{_K8S}/apis/apps/v1/namespaces/*/deployments",
    f"{_K8S}/apis/apps/v1/namespaces/*/deployments/*",
    f"{_K8S}/apis/apps/v1/namespaces/*/deployments/*/scale",
    f"{_K8S}/apis/apps/v1/namespaces/*/statefulsets/*/status",
    f"{_K8S}/apis/batch/v1/namespaces/*/jobs", f"{_K8S}/apis/*/v1/namespaces/*/*",
    f"{_K8S}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
]  # fmt: skip
_PARAMETERS = (
    "pageSize", "pageToken", "filter", "orderBy", "readMask", "maxResults", "alt", "fields", "name",
    "parent", "project", "a.b.c", "uploadType", "upload_id", "prefix", "matchGlob", "generation",
    "ifGenerationMatch", "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion",
    "fieldManager", "force", "dryRun", "sinceSeconds", "tailLines", "startIndex", "aggregation",
    "interval.endTime", "interval.startTime", "view", "location", "updateMask", "requestId",
)  # fmt: skip
_TYPES = (
    "application/json", "application/merge-patch+json", "application/json-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml", "multipart/mixed",
    "multipart/related; boundary=x", "text/plain", "",
)  # fmt: skip
_SAFE = string.ascii_letters + string.digits + "/:.%-_~$@"


def _budget(examples: int) -> Any:
    chosen = settings(
        max_examples=examples * _TIMES, deadline=None, derandomize=_TIMES == 1, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    return (lambda test: seed(_SEED)(chosen(test))) if _SEED else chosen


@pytest.fixture(scope="module")
def target() -> Iterator[EmulatorProcess]:
    """An emulator of this file's own: nonsense may by chance be an order."""
    running = start_emulator("normal", speed=600, record=False)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(target: EmulatorProcess) -> Iterator[httpx.Client]:
    """One connection for all requests."""
    with httpx.Client(base_url=target.rest_url, timeout=120) as made:
        yield made


def _send(
    client: httpx.Client,
    rng: nonsense.Wild,
    verb: str,
    path: str,
    content: bytes,
    parameters: Sequence[str] = _PARAMETERS,
) -> None:
    raw = b"".join(
        bytes([c]) if chr(c) in _SAFE else b"%%%02X" % c for c in path.encode("utf-8", "replace")
    )
    names = rng.choices(parameters, k=rng.randrange(3))
    query = urlencode([(n, rng.choice(nonsense.TEXTS)[:500]) for n in names], errors="replace")
    url = client.base_url.copy_with(raw_path=raw + (b"?" + query.encode() if query else b""))
    headers = {"content-type": rng.choice(_TYPES)}
    answer = client.request(verb, url, content=content, headers=headers)
    what = f"{verb} {url} {content[:300]!r}: {answer.status_code} {answer.text[:400]}"
    if any(word in path for word in _RELAYED) and answer.status_code == 503:
        return
    assert answer.status_code < 500 or answer.status_code == 501, what


@_budget(800)
@given(number=st.integers(0, 2**40))
def test_rest(client: httpx.Client, number: int) -> None:
    """Every REST rule of every library-described service."""
    rng = nonsense.Wild(number)
    prefix, rule, method = rng.choice(_REST)
    descriptor = plain(method.request()).DESCRIPTOR
    if rule.body not in ("", "*"):
        field = descriptor.fields_by_name.get(rule.body)
        descriptor = field.message_type if field is not None else descriptor
    verb = rule.verb if rng.random() < 0.95 else rng.choice(["PUT", "POST", "TRACE", "X"])
    content = b"" if verb == "GET" and rng.random() < 0.9 else nonsense.raw_json(rng, descriptor)
    own = [
        f.json_name for f in plain(method.request()).DESCRIPTOR.fields
        if f.message_type is None and f"{{{f.name}" not in rule.uri
    ]  # fmt: skip
    known = own if own and rng.random() > rng.wildness else _PARAMETERS
    _send(client, rng, verb, prefix + nonsense.path(rng, rule.uri), content, known)


@_budget(500)
@given(number=st.integers(0, 2**40))
def test_routers(client: httpx.Client, number: int) -> None:
    """The router-mounted APIs, with any verb, type and body."""
    rng = nonsense.Wild(number)
    verb = rng.choice(["GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
    content = b"" if verb in ("GET", "HEAD") else nonsense.raw_json(rng, None)
    _send(client, rng, verb, nonsense.path(rng, rng.choice(_ROUTES)), content)


@_budget(800)
@given(number=st.integers(0, 2**40))
def test_grpc(target: EmulatorProcess, channel: grpc.Channel, number: int) -> None:
    """Every gRPC method, with messages filled at random, damaged ones and bytes alone."""
    rng = nonsense.Wild(number)
    path, method = rng.choice(_GRPC)
    data = nonsense.raw_message(rng, method.request, method.rules)
    outcome: Any = channel.unary_unary(path).future(data, timeout=120)
    code = outcome.code()
    bad = {
        grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.DATA_LOSS,
    }  # fmt: skip
    if not any(word in path for word in _RELAYED):
        bad.add(grpc.StatusCode.UNAVAILABLE)
    assert code not in bad, f"{path} {data[:300]!r}: {code} {outcome.details()}"


@pytest.fixture(scope="module")
def channel(target: EmulatorProcess) -> Iterator[grpc.Channel]:
    """One channel for all requests."""
    with grpc.insecure_channel(target.grpc_target) as made:
        yield made


def test_it_still_serves(target: EmulatorProcess) -> None:
    """After all that the project answers as before."""
    assert httpx.get(f"{target.rest_url}/healthz", timeout=5).json()["status"] == "ok"
    url = f"{target.rest_url}/container/v1/projects/heartwood-demo/locations/-/clusters"
    assert "hw-serving" in httpx.get(url, timeout=120).text
