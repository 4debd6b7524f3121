"""Service Usage: enabling and disabling services, and what other APIs answer meanwhile."""

from __future__ import annotations

import httpx
import pytest
from google.api_core import exceptions
from google.cloud.service_usage_v1.types import resources
from google.cloud.service_usage_v1.types import serviceusage as types

from tests.emulator.clients import PROJECT, WIRES, make_client
from tests.emulator.platform.conftest import Rest
from tests.processes import EmulatorProcess

PARENT = f"projects/{PROJECT}"
NUMBER = "projects/482910573316"
DOCUMENT = ("serviceusage.v1", "/serviceusage")


def _enable(client: object, service: str) -> types.EnableServiceResponse:
    request = types.EnableServiceRequest(name=f"{PARENT}/services/{service}")
    return client.enable_service(request=request).result(timeout=60)


@pytest.mark.parametrize("wire", WIRES)
def test_a_disabled_service_refuses_its_calls(platform: EmulatorProcess, wire: str) -> None:
    """Every call answers SERVICE_DISABLED until the service is enabled again; others go on."""
    usage = make_client("ServiceUsageClient", wire, platform)
    tpu = make_client("TpuClient", wire, platform)
    zone = f"{PARENT}/locations/us-central1-b"
    off = usage.disable_service(request={"name": f"{PARENT}/services/tpu.googleapis.com"})
    assert off.metadata.resource_names == [f"{NUMBER}/services/tpu.googleapis.com"]
    assert off.result(timeout=60).service.state == resources.State.DISABLED
    try:
        with pytest.raises(exceptions.Forbidden, match="has not been used in project") as refused:
            tpu.list_nodes(parent=zone)
        assert refused.value.reason == "SERVICE_DISABLED"
        assert refused.value.domain == "googleapis.com"
        assert refused.value.metadata["service"] == "tpu.googleapis.com"
        assert refused.value.metadata["consumer"] == NUMBER
        make_client("ClusterManagerClient", wire, platform).list_clusters(
            parent=f"{PARENT}/locations/-"
        )
    finally:
        assert _enable(usage, "tpu.googleapis.com").service.state == resources.State.ENABLED
    assert tpu.list_nodes(parent=zone).nodes


def test_a_router_service_is_refused_too(platform: EmulatorProcess) -> None:
    """BigQuery answers the same, with the older reason beside it."""
    usage = make_client("ServiceUsageClient", "grpc", platform)
    name = f"{PARENT}/services/bigquery.googleapis.com"
    usage.disable_service(request={"name": name}).result(timeout=60)
    try:
        answer = httpx.get(f"{platform.rest_url}/bigquery/v2/projects/{PROJECT}/datasets")
        assert answer.status_code == 403
        assert answer.json()["error"]["errors"][0]["reason"] == "accessNotConfigured"
    finally:
        _enable(usage, "bigquery.googleapis.com")


@pytest.mark.parametrize("wire", WIRES)
def test_listing_by_state_and_in_pages(platform: EmulatorProcess, wire: str) -> None:
    """The two states together are all there is; no other filter is known."""
    usage = make_client("ServiceUsageClient", wire, platform)

    def names(text: str, size: int = 0) -> set[str]:
        request = {"parent": PARENT, "filter": text, "page_size": size}
        return {s.name for s in usage.list_services(request=request)}

    assert names("state:ENABLED", 5) | names("state:DISABLED") == names("")
    assert f"{NUMBER}/services/container.googleapis.com" in names("state:ENABLED")
    assert f"{NUMBER}/services/secretmanager.googleapis.com" in names("state:DISABLED")
    with pytest.raises(exceptions.BadRequest):
        names("name:x")
    got = usage.batch_get_services(
        request={"parent": PARENT, "names": [f"{PARENT}/services/tpu.googleapis.com"]}
    )
    assert [s.config.title for s in got.services] == ["Cloud TPU API"]


@pytest.mark.parametrize("wire", WIRES)
def test_refusals(platform: EmulatorProcess, wire: str) -> None:
    """Unknown services, projects and names; what others need; what is in use; what is off."""
    usage = make_client("ServiceUsageClient", wire, platform)
    with pytest.raises(exceptions.Forbidden) as refused:
        _enable(usage, "nothing.googleapis.com")
    assert refused.value.reason == "SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED"
    with pytest.raises(exceptions.Forbidden):
        usage.get_service(request={"name": "projects/other/services/tpu.googleapis.com"})
    with pytest.raises(exceptions.BadRequest):
        usage.get_service(request={"name": "folders/1/services/tpu.googleapis.com"})
    compute = f"{PARENT}/services/compute.googleapis.com"
    with pytest.raises(exceptions.BadRequest, match=r"container\.googleapis\.com") as needed:
        usage.disable_service(request={"name": compute})
    assert needed.value.reason == "COMMON_SU_SERVICE_HAS_DEPENDENT_SERVICES"
    request = {"name": compute, "disable_dependent_services": True,
               "check_if_service_has_usage": "CHECK"}  # fmt: skip
    with pytest.raises(exceptions.BadRequest) as used:
        usage.disable_service(request=request)
    assert used.value.reason == "COMMON_SU_SERVICE_HAS_USAGE"
    with pytest.raises(exceptions.BadRequest, match="not enabled"):
        usage.disable_service(request={"name": f"{PARENT}/services/iap.googleapis.com"})


def test_bodies_are_googles(rest: Rest) -> None:
    """Over REST every body fits the discovery document; an unneeded enable is done at once."""
    services = f"v1/{PARENT}/services"
    page = rest(*DOCUMENT, "GET", services, pageSize="3", filter="state:ENABLED")
    assert len(page["services"]) == 3
    assert page["nextPageToken"]
    rest(*DOCUMENT, "GET", f"{services}/tpu.googleapis.com")
    done = rest(*DOCUMENT, "POST", f"{services}/tpu.googleapis.com:enable", {})
    assert done["name"] == "operations/noop.DONE_OPERATION"
    assert done["response"]["service"]["state"] == "ENABLED"
    body = {"serviceIds": ["secretmanager.googleapis.com", "parallelstore.googleapis.com"]}
    running = rest(*DOCUMENT, "POST", f"{services}:batchEnable", body)
    assert rest(*DOCUMENT, "GET", f"v1/{running['name']}")["name"] == running["name"]
    rest(*DOCUMENT, "POST", f"{services}:batchEnable", {"serviceIds": []}, status=400)
    rest(*DOCUMENT, "GET", services, status=400, bogus="1")
