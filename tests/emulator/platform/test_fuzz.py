"""Malformed requests to the platform APIs on both wires: refused in Google's shape, never a 5xx."""

from __future__ import annotations

import json
import string
from typing import Any

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.context import make_cloud
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.wire.mount import Mount
from tests.emulator.clients import HTTP
from tests.processes import EmulatorProcess

_OURS = ("service_usage_v1", "iam_admin_v1", "resourcemanager_v3", "logging_v2", "cloudquotas_v1")
_METHODS = [
    (mount.prefix, method)
    for mount in load_apis(make_cloud(Settings()))
    if isinstance(mount, Mount) and mount.transports.split(".")[2] in _OURS
    for method in mount.methods()
    # Nonsense must not by chance disable what the other tests need.
    if hasattr(mount.handler, method.name) and method.name != "disable_service"
]
_PATHS = [(prefix, rule.verb, rule.uri) for prefix, method in _METHODS for rule in method.rules] + [
    (prefix, verb, path)
    for prefix, verbs, path in (
        ("/cloudresourcemanager", "GET PUT", "/v1/projects/*"),
        ("/cloudresourcemanager", "POST", "/v1/projects/*:setIamPolicy"),
        ("/cloudresourcemanager", "POST", "/v1/projects/*:testIamPermissions"),
        ("/storage", "GET POST", "/v1/b"),
        ("/storage", "GET PATCH PUT DELETE", "/v1/b/*"),
        ("/storage", "GET PUT", "/v1/b/*/iam"),
        ("/storage", "GET", "/v1/b/*/o"),
        ("/storage", "GET PATCH PUT DELETE", "/v1/b/*/o/*"),
        ("/storage", "POST", "/v1/b/*/o/*/compose"),
        ("/storage", "POST", "/v1/b/*/o/*/rewriteTo/b/*/o/*"),
        ("/upload/storage", "POST PUT DELETE", "/v1/b/*/o"),
        ("/batch/storage", "POST", "/v1"),
    )
    for verb in verbs.split()
]
_GRPC = sorted({method.grpc_path for _, method in _METHODS if method.grpc_path})
_NAMES = st.sampled_from(
    ["heartwood-demo", "heartwood-demo-weights", "global", "-", "%2F", "%00", "..", "é", "other",
     "hw-nodes@heartwood-demo.iam.gserviceaccount.com", "tpu.googleapis.com", "owner", "a" * 3000]
) | st.text(string.ascii_letters + "%:*.~ ", min_size=1, max_size=12)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["name", "policy", "bindings", "etag", "role", "members", "filter",
                         "entries", "labels", "metadata", "resource", "iamConfiguration",
                         "sourceObjects", "destination", "versioning"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
_QUERY = st.dictionaries(
    st.sampled_from(["pageSize", "pageToken", "filter", "query", "alt", "fields", "name", "project",
                     "prefix", "delimiter", "matchGlob", "uploadType", "upload_id", "maxResults",
                     "ifGenerationMatch", "generation", "updateMask"]),
    st.sampled_from(["heartwood-demo", "media", "multipart", "resumable", "1", "[", "{a,b", "("])
    | st.text(max_size=8), max_size=3,
)  # fmt: skip
_SETTINGS = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _fill(uri: str, parts: list[str]) -> str:
    """The template with each wildcard replaced by the next part."""
    pieces = iter(parts * 20)
    while "{" in uri:
        before, rest = uri.split("{", 1)
        inside, after = rest.split("}", 1)
        uri = before + (inside.partition("=")[2] or "*") + after
    while "*" in uri:
        uri = uri.replace("**", "*").replace("*", next(pieces).replace("*", ""), 1)
    return uri


def _quote(path: str) -> bytes:
    safe = string.ascii_letters + string.digits + "/:.%-_~@"
    return b"".join(bytes([c]) if chr(c) in safe else b"%%%02X" % c for c in path.encode())


@_SETTINGS
@given(data=st.data())
def test_rest_refuses_nonsense(platform: EmulatorProcess, data: st.DataObject) -> None:
    """Any path of a served method, with any query and body, answers below 500, or 501."""
    prefix, verb, template = data.draw(st.sampled_from(_PATHS))
    path = _fill(template, data.draw(st.lists(_NAMES, min_size=3, max_size=5)))
    body = data.draw(st.binary(max_size=30) | _VALUES.map(lambda v: json.dumps(v).encode()))
    url = httpx.URL(platform.rest_url).copy_with(raw_path=_quote(prefix + path))
    content = b"" if verb == "GET" else body
    answer = HTTP.request(verb, url, params=data.draw(_QUERY), content=content)
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
    if answer.status_code >= 400 and answer.status_code != 499:
        assert answer.json()["error"]["code"] == answer.status_code


@_SETTINGS
@given(path=st.sampled_from(_GRPC), payload=st.binary(max_size=60))
def test_grpc_refuses_nonsense(platform: EmulatorProcess, path: str, payload: bytes) -> None:
    """Any bytes as a request get an answer or a status, never UNKNOWN or INTERNAL, in time."""
    with grpc.insecure_channel(platform.grpc_target) as channel:
        outcome: Any = channel.unary_unary(path).future(payload, timeout=120).code()
    assert outcome not in (
        grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED,
    )  # fmt: skip


@pytest.mark.parametrize("document", ["/storage/v1", "/cloudresourcemanager/v1/x", "/iam/v1/x"])
def test_unknown_paths_are_404(platform: EmulatorProcess, document: str) -> None:
    """In the envelope of the service."""
    answer = httpx.get(platform.rest_url + document)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == 404
