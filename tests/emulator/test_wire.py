"""The wire's parts by themselves: templates, JSON, filters, pages, masks, errors, sizes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.container_v1.types import cluster_service
from google.cloud.tpu_v2 import TpuClient
from google.cloud.tpu_v2.services.tpu.transports import TpuGrpcTransport
from google.cloud.tpu_v2.types import cloud_tpu
from google.protobuf import field_mask_pb2

from emulator.context import make_cloud
from emulator.settings import Settings
from emulator.wire import filters, masks, paging
from emulator.wire.call import Call
from emulator.wire.codec import decode_request, encode_response
from emulator.wire.errors import ApiError, to_envelope, to_status
from emulator.wire.grpc_wire import build_server
from emulator.wire.http_rules import Match, Router
from emulator.wire.library import HttpRule, read_methods
from emulator.wire.mount import Mount

TPU = "google.cloud.tpu_v2.services.tpu.transports"
GKE = "google.cloud.container_v1.services.cluster_manager.transports"
BALANCERS = "google.cloud.compute_v1.services.backend_services.transports"


def _match(transports: str, verb: str, path: str) -> Match:
    found = Router(read_methods(transports)).match(verb, path)
    assert found is not None
    return found


def test_methods_are_read_from_the_library() -> None:
    """Path, types and rules come from the transports; REST-only services have no gRPC path."""
    by_name = {m.name: m for m in read_methods(TPU)}
    nodes = by_name["list_nodes"]
    assert nodes.grpc_path == "/google.cloud.tpu.v2.Tpu/ListNodes"
    assert (nodes.request, nodes.response) == (
        cloud_tpu.ListNodesRequest,
        cloud_tpu.ListNodesResponse,
    )
    assert nodes.rules == (HttpRule("GET", "/v2/{parent=projects/*/locations/*}/nodes"),)
    assert by_name["get_operation"].service == "google.longrunning.Operations"
    health = {m.name: m for m in read_methods(BALANCERS)}["get_health"]
    assert (health.grpc_path, health.service) == ("", "google.cloud.compute.v1.BackendServices")
    assert health.response.__name__ == "BackendServiceGroupHealth"


def test_extra_rules_are_added_for_services_without_rest() -> None:
    """monitoring_v3 has no REST transport: rules by hand serve it all the same."""
    transports = "google.cloud.monitoring_v3.services.metric_service.transports"
    rule = HttpRule("GET", "/v3/{name=projects/*}/timeSeries")
    methods = {m.name: m for m in read_methods(transports, {"list_time_series": (rule,)})}
    assert methods["list_time_series"].rules == (rule,)
    assert methods["get_metric_descriptor"].rules == ()


@pytest.mark.parametrize(
    ("path", "name", "fields"),
    [
        ("/v1/projects/p/locations/l/clusters", "list_clusters",
         {"parent": "projects/p/locations/l"}),
        ("/v1/projects/p/zones/z/clusters", "list_clusters", {"project_id": "p", "zone": "z"}),
        ("/v1/projects/p/locations/l/clusters/c%2Fd", "get_cluster",
         {"name": "projects/p/locations/l/clusters/c/d"}),
        ("/v1/projects/x.com:p/locations/l/serverConfig", "get_server_config",
         {"name": "projects/x.com:p/locations/l"}),
    ],
)  # fmt: skip
def test_paths_bind_to_fields(path: str, name: str, fields: dict[str, str]) -> None:
    """A path finds its method by the library's templates, new and old forms alike."""
    match = _match(GKE, "GET", path)
    assert (match.route.method.name, match.path_fields) == (name, fields)


def test_longer_literal_wins() -> None:
    """A custom verb is not taken for part of a resource's name."""
    node = "/v2/projects/p/locations/l/nodes/n"
    assert _match(TPU, "POST", f"{node}:getGuestAttributes").route.method.name == (
        "get_guest_attributes"
    )
    assert _match(TPU, "GET", node).route.method.name == "get_node"


def test_requests_decode_from_path_query_and_body() -> None:
    """Path, query (with system parameters) and body fill one message."""
    match = _match(GKE, "POST", "/v1/projects/p/locations/l/clusters/c/nodePools/n:setSize")
    query = [("alt", "json"), ("$alt", "json;enum-encoding=int"), ("key", "k")]
    request = decode_request(match, query, b'{"nodeCount": 5}')
    assert isinstance(request, cluster_service.SetNodePoolSizeRequest)
    assert (request.node_count, request.name.rsplit("/", 1)[-1]) == (5, "n")
    match = _match(TPU, "GET", "/v2/projects/p/locations/l/nodes")
    assert decode_request(match, [("pageSize", "7")], b"").page_size == 7
    assert decode_request(match, [("page_size", "7")], b"").page_size == 7


@pytest.mark.parametrize(
    ("verb", "path", "query", "body"),
    [
        ("GET", "/v2/projects/p/locations/l/nodes", [("pageSize", "x")], b""),
        ("GET", "/v2/projects/p/locations/l/nodes", [("nothing", "1")], b""),
        ("GET", "/v2/projects/p/locations/l/nodes", [("parent.x", "1")], b""),
        ("GET", "/v2/projects/p/locations/l/nodes", [("pageSize", "1"), ("pageSize", "2")], b""),
        ("POST", "/v2/projects/p/locations/l/nodes", [], b"{"),
        ("POST", "/v2/projects/p/locations/l/nodes", [], b"[]"),
        ("POST", "/v2/projects/p/locations/l/nodes", [], b'{"nothing": 1}'),
        ("POST", "/v2/projects/p/locations/l/nodes", [], b'{"state": "SLEEPING"}'),
        ("POST", "/v2/projects/p/locations/l/nodes", [], b'{"labels": [1]}'),
        ("POST", "/v2/projects/p/locations/l/nodes", [], b'{"tags": "one"}'),
        ("POST", "/v2/projects/p/locations/l/nodes", [], b"[" * 100_000),
        ("POST", "/v2/projects/p/locations/l/nodes", [], b'{"description": "\\ud800"}'),
    ],
)
def test_malformed_requests_are_invalid_arguments(
    verb: str, path: str, query: list[tuple[str, str]], body: bytes
) -> None:
    """Bad JSON, unknown fields, enum values and types are INVALID_ARGUMENT, never a crash."""
    with pytest.raises(ApiError) as refused:
        decode_request(_match(TPU, verb, path), query, body)
    assert refused.value.http_status == 400
    json.dumps(to_envelope(refused.value))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"clustr": {}}', 'Unknown name "clustr": Cannot find field.'),
        ('{"cluster": {"nodePools": [{"nam": 1}]}}',
         "Unknown name \"nam\" at 'cluster.node_pools[0]': Cannot find field."),
    ],
)  # fmt: skip
def test_unknown_fields_are_told_in_googles_words(body: str, words: str) -> None:
    """With the place where they stand, and nothing of the library's own sentence."""
    match = _match(GKE, "POST", "/v1/projects/p/locations/l/clusters")
    with pytest.raises(ApiError) as refused:
        decode_request(match, [], body.encode())
    assert refused.value.message == f"Invalid JSON payload received. {words}"


def test_answers_encode_in_googles_style() -> None:
    """camelCase, int64 as text, enums by name, or by number where the client asks."""
    node = cloud_tpu.Node(name="n", id=2**40, state=cloud_tpu.Node.State.READY)
    assert json.loads(encode_response(node, {})) == {
        "name": "n",
        "id": str(2**40),
        "state": "READY",
    }
    asked = {"$alt": "json;enum-encoding=int"}
    assert json.loads(encode_response(node, asked))["state"] == 2


ITEMS: list[dict[str, Any]] = [
    {"name": "hw-small", "sizeGb": 5, "labels": {"tier": "small"}, "on": True},
    {"name": "hw-medium", "sizeGb": 50, "labels": {"tier": "medium"}, "on": False},
    {"name": "other", "tags": ["a", "b"]},
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["hw-small", "hw-medium", "other"]),
        ("name=hw-small", ["hw-small"]),
        ('name = "hw-small"', ["hw-small"]),
        ("name != hw-small", ["hw-medium", "other"]),
        ("name eq hw-.*", ["hw-small", "hw-medium"]),
        ("name ne hw-.*", ["other"]),
        ("name:hw*", ["hw-small", "hw-medium"]),
        ("name:MED", ["hw-medium"]),
        ("labels.tier=small", ["hw-small"]),
        ("labels.tier:*", ["hw-small", "hw-medium"]),
        ("labels:tier", ["hw-small", "hw-medium"]),
        ("tags:a", ["other"]),
        ("size_gb>5", ["hw-medium"]),
        ("sizeGb<=5", ["hw-small"]),
        ("on=true", ["hw-small"]),
        ("name=other OR labels.tier=small", ["hw-small", "other"]),
        ("(labels.tier=small) (on=true)", ["hw-small"]),
        ("NOT (name=other OR on=true)", ["hw-medium"]),
        ("labels.tier=small AND NOT on=true", []),
    ],
)
def test_filters_select(text: str, names: list[str]) -> None:
    """The comparisons and connectives of Google's list filters."""
    accept = filters.compile_filter(text)
    assert [i["name"] for i in ITEMS if accept(i)] == names


@pytest.mark.parametrize(
    "text", ["(", "name", "name=", "=x", "name=x OR", "a=b)", '"', "name eq ("]
)
def test_bad_filters_are_refused(text: str) -> None:
    """What is not of the grammar is INVALID_ARGUMENT."""
    with pytest.raises(ApiError, match="Invalid list filter"):
        filters.compile_filter(text)


def test_pages_and_tokens() -> None:
    """Tokens lead through all items; one of another listing, or made up, is refused."""
    items = list(range(10))
    seen: list[int] = []
    token = ""
    while True:
        shown, token = paging.page(items, 4, token, scope="a", default=5, most=100)
        seen += shown
        if not token:
            break
    assert seen == items
    _, token = paging.page(items, 4, "", scope="a", default=5, most=100)
    for bad, scope in ((token, "b"), ("x", "a"), ("§", "a"), ("AAAA", "a")):
        with pytest.raises(ApiError, match="page token"):
            paging.page(items, 4, bad, scope=scope, default=5, most=100)
    with pytest.raises(ApiError, match="negative"):
        paging.page(items, -1, "", scope="a", default=5, most=100)


def test_masks_show_and_merge() -> None:
    """A read mask shows its fields alone; an update writes its fields alone; bad paths refused."""
    node = cloud_tpu.Node(name="n", description="d", tags=["x"])
    mask = field_mask_pb2.FieldMask(paths=["description"])
    assert masks.show(node, mask) == cloud_tpu.Node(description="d")
    changed = masks.merge(cloud_tpu.Node(description="e", tags=["y"]), mask, node)
    assert changed == cloud_tpu.Node(name="n", description="e", tags=["x"])
    with pytest.raises(ApiError, match="not a field"):
        masks.show(node, field_mask_pb2.FieldMask(paths=["nothing"]))


def test_errors_have_both_shapes() -> None:
    """Code, message and ErrorInfo stand in the gRPC status and in the JSON envelope."""
    error = ApiError(
        "RESOURCE_EXHAUSTED", "too much", reason="QUOTA", domain="d", metadata={"k": "v"}
    )
    status = to_status(error)
    assert (status.code, status.message) == (8, "too much")
    body = to_envelope(error)["error"]
    assert (body["code"], body["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert body["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "QUOTA",
            "domain": "d",
            "metadata": {"k": "v"},
        }
    ]


class _Large:
    """Answers with far more than gRPC's default limit of 4 MB, and fails on demand."""

    def list_nodes(self, request: Any, call: Call) -> cloud_tpu.ListNodesResponse:
        if request.page_token == "fail":
            raise RuntimeError("a fault of the emulator's own")
        nodes = [cloud_tpu.Node(name=f"{i:0200d}") for i in range(60_000)]
        return cloud_tpu.ListNodesResponse(nodes=nodes)


@pytest.fixture
def large() -> Iterator[TpuClient]:
    """A client of a server with only `_Large`."""
    server = build_server(make_cloud(Settings()), [Mount("/tpu", TPU, _Large())])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
    yield TpuClient(transport=TpuGrpcTransport(channel=channel))
    channel.close()
    server.stop(None)


def test_messages_of_any_size_pass(large: TpuClient) -> None:
    """12 MB out and 5 MB in go through; Google's own channels have no limit either."""
    response = large.list_nodes(request={"parent": "p", "page_token": "t" * 5_000_000})
    assert len(list(response.nodes)) == 60_000


def test_a_fault_inside_is_internal(large: TpuClient) -> None:
    """An unforeseen exception in a handler answers INTERNAL and does not hang or leak its text."""
    with pytest.raises(exceptions.InternalServerError) as failed:
        large.list_nodes(request={"parent": "p", "page_token": "fail"}, retry=None)
    assert not re.search("own|RuntimeError", failed.value.message)


def test_unserved_methods_are_unimplemented(large: TpuClient) -> None:
    """A method that Google has and the emulator has not answers UNIMPLEMENTED with its name."""
    with pytest.raises(exceptions.MethodNotImplemented, match="StopNode"):
        large.stop_node(request={"name": "n"}, retry=None)
