"""Models and endpoints of Vertex AI made, deployed, changed and deleted, over both wires."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.vertex.endpoint_writes import check_split
from emulator.wire.errors import ApiError
from tests.emulator.clients import LOCATION, WIRES, make_client
from tests.emulator.discovery import find_method, problems, response_problems
from tests.emulator.lifecycle.conftest import POLL
from tests.processes import EmulatorProcess

MODEL: dict[str, Any] = {
    "display_name": "m", "artifact_uri": "gs://bucket/m",
    "container_spec": {"image_uri": "us-docker.pkg.dev/p/r/vllm-tpu:1",
                       "predict_route": "/generate", "health_route": "/health",
                       "ports": [{"container_port": 8080}]},
}  # fmt: skip
SPEC = {"machine_type": "tpu7x-standard-4t", "tpu_topology": "2x2x1"}


def _deployed(model: str, low: int = 1, high: int = 1, **spec: Any) -> dict[str, Any]:
    machine = {**SPEC, **spec}
    return {"model": model, "dedicated_resources": {
        "machine_spec": machine, "min_replica_count": low, "max_replica_count": high}}  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
def test_model_and_endpoint_live_and_die(fast: EmulatorProcess, wire: str) -> None:
    """Upload, endpoint, two deployments with their traffic, mutate; then down in order only."""
    models = make_client("ModelServiceClient", wire, fast)
    endpoints = make_client("EndpointServiceClient", wire, fast)
    model = models.upload_model(parent=LOCATION, model=MODEL).result(polling=POLL).model
    assert models.get_model(name=model).container_spec.predict_route == "/generate"
    made = endpoints.create_endpoint(parent=LOCATION, endpoint={"display_name": "e"})
    name = made.result(polling=POLL).name
    assert not endpoints.get_endpoint(name=name).deployed_models
    with pytest.raises(exceptions.BadRequest, match='"0" stands for'):
        endpoints.deploy_model(endpoint=name, deployed_model=_deployed(model),
                               traffic_split={"7": 100})  # fmt: skip
    with pytest.raises(exceptions.BadRequest, match="must sum to 100; it sums to 90"):
        endpoints.deploy_model(endpoint=name, deployed_model=_deployed(model),
                               traffic_split={"0": 90})  # fmt: skip
    running = endpoints.deploy_model(endpoint=name, deployed_model=_deployed(model, 2, 3))
    with pytest.raises(exceptions.BadRequest, match="other operations running"):
        endpoints.deploy_model(endpoint=name, deployed_model=_deployed(model))
    with pytest.raises(exceptions.BadRequest, match="undeploy"):
        models.delete_model(name=model)  # refused as well once it is deployed
    first = running.result(polling=POLL).deployed_model.id
    assert dict(endpoints.get_endpoint(name=name).traffic_split) == {first: 100}
    second = endpoints.deploy_model(
        endpoint=name, deployed_model=_deployed(model), traffic_split={first: 80, "0": 20}
    ).result(polling=POLL).deployed_model.id  # fmt: skip
    found = endpoints.get_endpoint(name=name)
    assert dict(found.traffic_split) == {first: 80, second: 20}
    path = f"v1/{name}"
    body = httpx.get(f"{fast.rest_url}/aiplatform/{path}").json()
    assert response_problems("aiplatform.v1", "GET", path, body) == []
    change = {"id": first, "dedicated_resources": {"min_replica_count": 4}}
    mask = {"paths": ["dedicated_resources.min_replica_count"]}
    after = endpoints.mutate_deployed_model(
        endpoint=name, deployed_model=change, update_mask=mask
    ).result(polling=POLL).deployed_model.dedicated_resources  # fmt: skip
    assert (after.min_replica_count, after.max_replica_count) == (4, 4)
    for action in (lambda: endpoints.delete_endpoint(name=name),
                   lambda: models.delete_model(name=model)):  # fmt: skip
        with pytest.raises(exceptions.BadRequest, match="undeploy"):
            action()
    with pytest.raises(exceptions.BadRequest, match="give a traffic split"):
        endpoints.undeploy_model(endpoint=name, deployed_model_id=first)
    endpoints.undeploy_model(
        endpoint=name, deployed_model_id=first, traffic_split={second: 100}
    ).result(polling=POLL)
    endpoints.undeploy_model(endpoint=name, deployed_model_id=second).result(polling=POLL)
    endpoints.delete_endpoint(name=name).result(polling=POLL)
    leaving = models.delete_model(name=model)
    with pytest.raises((exceptions.BadRequest, exceptions.NotFound), match=r"deleted|not exist"):
        models.delete_model(name=model)
    leaving.result(polling=POLL)
    with pytest.raises(exceptions.NotFound):
        endpoints.get_endpoint(name=name)
    with pytest.raises(exceptions.NotFound):
        models.get_model(name=model)


@pytest.mark.parametrize(
    ("deployed", "words"),
    [
        (_deployed("", machine_type="tpu7x-standard-8t"), "not supported"),
        (_deployed("", tpu_topology="2x2x2"), r"needs tpu_topology 2x2x1 \(single-host\)"),
        (_deployed("", accelerator_type="TPU_V5_LITEPOD"), "takes no accelerator_type"),
        (_deployed("", 0, 1), "at least 1"),
        (_deployed("", 3, 2), "must not be less"),
        ({"model": ""}, "dedicated_resources"),
    ],
)
def test_refused_deployments(living: EmulatorProcess, deployed: dict[str, Any], words: str) -> None:
    """Machines, topologies and replica counts that Vertex does not take."""
    client = make_client("EndpointServiceClient", "grpc", living)
    (endpoint,) = client.list_endpoints(parent=LOCATION)
    deployed = {**deployed, "model": endpoint.deployed_models[0].model}
    with pytest.raises(exceptions.InvalidArgument, match=words):
        client.deploy_model(endpoint=endpoint.name, deployed_model=deployed)


def test_updates_by_mask_and_etag(fast: EmulatorProcess) -> None:
    """Only the mask's fields change; a stale etag is refused; requests and answers validate."""
    base = f"{fast.rest_url}/aiplatform/v1/"
    sent = {"displayName": "u", "labels": {"a": "b"}, "description": "d"}
    assert problems("aiplatform.v1", _request("POST", f"{LOCATION}/endpoints"), sent) == []
    operation = httpx.post(f"{base}{LOCATION}/endpoints", json=sent).json()
    path = f"v1/{LOCATION}/endpoints"
    assert response_problems("aiplatform.v1", "POST", path, operation) == []
    endpoints = make_client("EndpointServiceClient", "grpc", fast)
    name = operation["name"]
    waited = httpx.post(f"{fast.rest_url}/aiplatform/ui/{name}:wait")
    assert waited.status_code == 200
    (kept,) = [e for e in endpoints.list_endpoints(parent=LOCATION) if e.display_name == "u"]
    change = {"name": kept.name, "description": "new", "etag": kept.etag}
    after = endpoints.update_endpoint(endpoint=change, update_mask={"paths": ["description"]})
    assert (after.description, dict(after.labels)) == ("new", {"a": "b"})
    with pytest.raises(exceptions.Aborted):
        endpoints.update_endpoint(endpoint=change, update_mask={"paths": ["description"]})
    with pytest.raises(exceptions.InvalidArgument):
        endpoints.update_endpoint(endpoint={"name": kept.name}, update_mask={"paths": ["network"]})
    number = kept.name.split("/")[-1]
    for asked in ({"filter": f"endpoint={number}"},
                  {"filter": "labels.a=b", "order_by": "create_time desc"}):  # fmt: skip
        found = endpoints.list_endpoints(request={"parent": LOCATION, **asked})
        assert [e.display_name for e in found] == ["u"]
    elsewhere = LOCATION.replace("us-central1", "mars")
    for asked in ({"filter": "colour=red"}, {"order_by": "colour"}, {"parent": elsewhere}):
        with pytest.raises(exceptions.InvalidArgument):
            endpoints.list_endpoints(request={"parent": LOCATION, **asked})
    endpoints.delete_endpoint(name=kept.name).result(polling=POLL)


def _request(verb: str, path: str) -> str:
    method = find_method("aiplatform.v1", verb, f"v1/{path}")
    assert method
    return str(method["request"]["$ref"])


@given(st.dictionaries(st.sampled_from(["0", "1", "2"]), st.integers(-10, 110), max_size=3))
def test_splits(split: dict[str, int]) -> None:
    """A split is taken exactly when it is empty, or names what is there and sums to 100."""
    good = not split or (
        set(split) <= {"1", "2"} and sum(split.values()) == 100
        and all(0 <= v <= 100 for v in split.values())
    )  # fmt: skip
    try:
        check_split(split, {"1", "2"})
    except ApiError:
        assert not good
    else:
        assert good
