"""Malformed requests on both wires: refused in Google's shape, never a 500, never a hang."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.context import make_cloud
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.wire.http_rules import Router
from emulator.wire.mount import Mount
from tests.emulator.clients import HTTP
from tests.processes import EmulatorProcess, start_emulator

_OURS = ("tpu_v2", "container_v1", "aiplatform_v1", "compute_v1")
_MOUNTS = [
    m
    for m in load_apis(make_cloud(Settings()))
    if isinstance(m, Mount) and m.transports.split(".")[2] in _OURS
]
_METHODS = [
    (mount, method)
    for mount in _MOUNTS
    for method in mount.methods()
    if hasattr(mount.handler, method.name)
]
_RULES = [
    (mount.prefix if not rule.uri.startswith(mount.prefix) else "", rule, method)
    for mount, method in _METHODS
    for rule in method.rules
]
_PATHS = sorted({m.grpc_path for _, m in _METHODS if m.grpc_path})

_NAMES = st.sampled_from(
    ["heartwood-demo", "us-central1", "us-central1-b", "us-central1-c", "hw-serving", "hw-small-00",
     "hw-small", "-", "%2F", "%00", "..", "é", "other", "0", "hw-small-neg", "a" * 3000]
) | st.text(string.ascii_letters + "%:*.~ ", min_size=1, max_size=12)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["pageSize", "pageToken", "filter", "orderBy", "readMask", "maxResults", "alt", "fields",
     "nodeCount", "name", "parent", "project", "a.b.c", "nodePoolId"]
)  # fmt: skip
_QUERY = st.dictionaries(_KEYS | st.text(max_size=5), st.text(max_size=12), max_size=3)
_SETTINGS = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _fill(uri: str, parts: list[str]) -> str:
    """The template with each wildcard replaced by the next part."""
    given_parts = iter(parts * 20)
    flat = uri
    while "{" in flat:
        before, rest = flat.split("{", 1)
        inside, after = rest.split("}", 1)
        _, _, template = inside.partition("=")
        flat = before + (template or "*") + after
    while "*" in flat:
        flat = flat.replace("**", "*").replace("*", next(given_parts).replace("*", ""), 1)
    return flat


def _check(response: httpx.Response) -> None:
    assert response.status_code < 500 or response.status_code == 501, response.text
    if response.status_code >= 400:
        error = json.loads(response.text)["error"]
        assert error["code"] == response.status_code
        assert error["status"]


@pytest.fixture(scope="module")
def target() -> Iterator[EmulatorProcess]:
    """An emulator of this file's own: nonsense may by chance be an order."""
    running = start_emulator("normal", speed=600, record=False)
    yield running
    running.stop()


@_SETTINGS
@given(data=st.data())
def test_rest_refuses_nonsense_in_googles_shape(
    target: EmulatorProcess, data: st.DataObject
) -> None:
    """Any path of a served method, with any query and body, answers 2xx or Google's envelope."""
    prefix, rule, _ = data.draw(st.sampled_from(_RULES))
    path = _fill(rule.uri, data.draw(st.lists(_NAMES, min_size=3, max_size=5)))
    body = data.draw(st.binary(max_size=30) | _VALUES.map(lambda v: json.dumps(v).encode()))
    url = httpx.URL(target.rest_url).copy_with(raw_path=_quote(prefix + path))
    content = b"" if rule.verb == "GET" else body
    query = data.draw(_QUERY)
    _check(HTTP.request(rule.verb, url, params=query, content=content))


def _quote(path: str) -> bytes:
    return b"".join(
        bytes([c]) if chr(c) in string.ascii_letters + string.digits + "/:.%-_~" else b"%%%02X" % c
        for c in path.encode()
    )


@_SETTINGS
@given(path=st.sampled_from(_PATHS), payload=st.binary(max_size=60))
def test_grpc_refuses_nonsense_in_time(target: EmulatorProcess, path: str, payload: bytes) -> None:
    """Any bytes as a request get an answer or a status, never UNKNOWN or INTERNAL, in time."""
    bad = {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    assert _outcome(target, path, payload) not in bad


def _outcome(emulator: EmulatorProcess, path: str, payload: bytes) -> Any:
    with grpc.insecure_channel(emulator.grpc_target) as channel:
        call = channel.unary_unary(path).future(payload, timeout=120)
        return call.code()


def test_every_rule_can_be_matched() -> None:
    """The fuzzed paths reach the methods: each served rule's template matches what fills it."""
    router = Router(method for _, method in _METHODS)
    for _, rule, method in _RULES:
        match = router.match(rule.verb, _fill(rule.uri, ["a", "b", "c"]))
        assert match is not None, (method.name, rule)
