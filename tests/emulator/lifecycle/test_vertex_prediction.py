"""Vertex predictions: forwarded to the inference server, split by traffic, refused with words."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import httpx
import pytest
from google.api import httpbody_pb2
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.aiplatform_v1.services import prediction_service
from google.cloud.aiplatform_v1.services.prediction_service.transports import (
    PredictionServiceGrpcTransport,
)

from tests.emulator.clients import LOCATION, WIRES, make_client
from tests.emulator.discovery import response_problems
from tests.emulator.lifecycle.conftest import POLL
from tests.emulator.lifecycle.test_vertex import MODEL, _deployed
from tests.processes import EmulatorProcess, start_emulator

_KEY = "the-servers-own-key"


class _Server(BaseHTTPRequestHandler):
    """Speaks as much of the inference server's protocol as a prediction needs, with its key."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer: dict[str, Any] = {"path": self.path, "asked": asked}
        if self.path == "/v1/predict":
            texts = [i["text"] for i in asked["instances"]]
            answer = {"predictions": [{"text": t.upper(), "usage": {"n": 1}} for t in texts]}
        status = 422 if asked.get("wrong") else 200
        if self.headers["authorization"] != f"Bearer {_KEY}":
            status, answer = 401, {}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; x=1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> ThreadingHTTPServer:
    """The server behind the endpoints; the last test ends it."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


@pytest.fixture(scope="module")
def cloud(server: ThreadingHTTPServer) -> Iterator[EmulatorProcess]:
    """An emulator whose tier `small` has a Vertex endpoint."""
    place = {"HEARTWOOD_SERVING_PORT": str(server.server_address[1]),
             "HEARTWOOD_SERVING_API_KEY": _KEY}  # fmt: skip
    running = start_emulator("normal", speed=6000, environment=place)
    yield running
    running.stop()


def _client(wire: str, emulator: EmulatorProcess) -> Any:
    if wire == "rest":
        return prediction_service.PredictionServiceClient(
            credentials=AnonymousCredentials(), transport="rest",
            client_options=ClientOptions(api_endpoint=f"{emulator.rest_url}/aiplatform"),
        )  # fmt: skip
    channel = grpc.insecure_channel(emulator.grpc_target)
    return prediction_service.PredictionServiceClient(
        transport=PredictionServiceGrpcTransport(channel=channel)
    )


def _endpoint(emulator: EmulatorProcess) -> Any:
    return next(iter(make_client("EndpointServiceClient", "grpc", emulator).list_endpoints(
        parent=LOCATION)))  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
def test_a_prediction_is_the_server_s_own(cloud: EmulatorProcess, wire: str) -> None:
    """predict gives instances and names the model that answered."""
    endpoint, client = _endpoint(cloud), _client(wire, cloud)
    found = client.predict(endpoint=endpoint.name, instances=[{"text": "a"}, {"text": "b"}])
    assert [dict(p)["text"] for p in found.predictions] == ["A", "B"]
    deployed = endpoint.deployed_models[0]
    assert (found.deployed_model_id, found.model) == (deployed.id, deployed.model)
    assert found.model_display_name
    with pytest.raises(exceptions.BadRequest, match="at least one instance"):
        client.predict(endpoint=endpoint.name, instances=[])
    with pytest.raises(exceptions.NotFound, match="does not exist"):
        client.predict(endpoint=f"{LOCATION}/endpoints/1", instances=[{"text": "a"}])


def test_plain_bodies_and_paths(cloud: EmulatorProcess) -> None:
    """rawPredict passes a bare body, to the container's path where named; so do its refusals."""
    endpoint = _endpoint(cloud)
    given = httpbody_pb2.HttpBody(
        content_type="application/json", data=b'{"instances":[{"text":"c"}]}'
    )
    asked = {"endpoint": endpoint.name, "http_body": given}
    raw = _client("grpc", cloud).raw_predict(request=asked)
    assert json.loads(raw.data)["predictions"][0]["text"] == "C"
    assert raw.content_type == "application/json; x=1"
    base = f"{cloud.rest_url}/aiplatform/v1/{endpoint.name}"
    body = httpx.post(f"{base}:predict", json={"instances": [{"text": "a"}]}).json()
    path = f"v1/{endpoint.name}:predict"
    assert response_problems("aiplatform.v1", "POST", path, body) == []
    for tail, body, wanted in (
        (":rawPredict", {"messages": []}, "/v1/chat/completions"),
        (":streamRawPredict", {"messages": []}, "/v1/chat/completions"),
        ("/chat/completions", {"messages": []}, "/v1/chat/completions"),
        ("/invoke/generate", {"prompt": "x"}, "/generate"),
        (f"/deployedModels/{endpoint.deployed_models[0].id}/invoke/v1/completions", {"prompt": "x"},
         "/v1/completions"),
    ):  # fmt: skip
        answer = httpx.post(base + tail, json=body)
        assert (answer.status_code, answer.json()) == (200, {"path": wanted, "asked": body}), tail
    assert httpx.post(f"{base}/deployedModels/5/invoke/x", json={}).status_code == 404
    refused = httpx.post(f"{base}/invoke/generate", json={"wrong": True}).json()["error"]
    assert (refused["code"], refused["status"]) == (400, "INVALID_ARGUMENT")
    assert "answered 422" in refused["message"]


def test_traffic_split_and_empty_endpoints(cloud: EmulatorProcess) -> None:
    """Requests go to deployed models by their shares; without any, the endpoint refuses."""
    models = make_client("ModelServiceClient", "grpc", cloud)
    endpoints = make_client("EndpointServiceClient", "grpc", cloud)
    model = models.upload_model(parent=LOCATION, model=MODEL).result(polling=POLL).model
    name = endpoints.create_endpoint(parent=LOCATION, endpoint={"display_name": "e"}).result(
        polling=POLL).name  # fmt: skip
    client = _client("grpc", cloud)
    with pytest.raises(exceptions.FailedPrecondition, match="doesn't have traffic_split"):
        client.predict(endpoint=name, instances=[{"text": "a"}])
    first = endpoints.deploy_model(endpoint=name, deployed_model=_deployed(model)).result(
        polling=POLL).deployed_model.id  # fmt: skip
    second = endpoints.deploy_model(
        endpoint=name, deployed_model=_deployed(model), traffic_split={first: 70, "0": 30}
    ).result(polling=POLL).deployed_model.id  # fmt: skip
    asked = [client.predict(endpoint=name, instances=[{"text": "a"}]) for _ in range(100)]
    assert Counter(a.deployed_model_id for a in asked) == {first: 70, second: 30}


def test_versions_aliases_and_regions(fast: EmulatorProcess) -> None:
    """A version per upload; aliases move; a copy lives in another region; used ones stay."""
    models = make_client("ModelServiceClient", "rest", fast)
    endpoints = make_client("EndpointServiceClient", "grpc", fast)
    name = models.upload_model(parent=LOCATION, model=MODEL).result(polling=POLL).model
    second = models.upload_model(request={
        "parent": LOCATION, "parent_model": name,
        "model": {**MODEL, "display_name": "m2", "version_aliases": ["canary"]},
    }).result(polling=POLL)  # fmt: skip
    assert (second.model, second.model_version_id) == (name, "2")
    assert [m.version_id for m in models.list_model_versions(name=name)] == ["2", "1"]
    assert models.get_model(name=f"{name}@canary").display_name == "m2"
    assert models.get_model(name=name).version_id == "1"
    with pytest.raises(exceptions.BadRequest, match="default version"):
        models.delete_model_version(name=f"{name}@1")
    moved = models.merge_version_aliases(
        name=f"{name}@2", version_aliases=["default", "best", "-canary"]
    )
    assert sorted(moved.version_aliases) == ["best", "default"]
    assert models.get_model(name=name).version_id == "2"
    with pytest.raises(exceptions.NotFound):
        models.get_model(name=f"{name}@canary")
    away = LOCATION.replace("us-central1", "europe-west4")
    copy = models.copy_model(
        request={"parent": away, "source_model": f"{name}@1", "model_id": "copied"}
    ).result(polling=POLL).model  # fmt: skip
    assert "/europe-west4/" in copy
    assert [m.display_name for m in models.list_models(parent=away)] == ["m"]
    there = endpoints.create_endpoint(parent=away, endpoint={"display_name": "e"}).result(
        polling=POLL).name  # fmt: skip
    with pytest.raises(exceptions.InvalidArgument, match="not in europe-west4"):
        endpoints.deploy_model(endpoint=there, deployed_model=_deployed(name))
    with pytest.raises(exceptions.InvalidArgument, match="not available in europe-west4"):
        endpoints.deploy_model(endpoint=there, deployed_model=_deployed(copy))
    fits = {"machine_type": "ct6e-standard-4t", "tpu_topology": "2x2"}
    endpoints.deploy_model(endpoint=there, deployed_model=_deployed(copy, **fits)).result(
        polling=POLL)  # fmt: skip
    with pytest.raises(exceptions.BadRequest, match="deployed at the Endpoint"):
        models.delete_model(name=copy)
    models.delete_model_version(name=f"{name}@1").result(polling=POLL)
    models.delete_model(name=name).result(polling=POLL)
    with pytest.raises(exceptions.NotFound):
        models.get_model(name=name)


def test_without_a_server_prediction_is_unavailable(
    cloud: EmulatorProcess, server: ThreadingHTTPServer
) -> None:
    """A server that went down is told as UNAVAILABLE with words; nothing is made up."""
    endpoint = _endpoint(cloud)
    server.shutdown()
    server.server_close()
    with pytest.raises(exceptions.ServiceUnavailable, match="does not answer"):
        _client("rest", cloud).predict(
            endpoint=endpoint.name, instances=[{"text": "a"}], retry=None, timeout=10
        )
