"""Faults that callers see: refusals, waits, broken answers; on gRPC, REST and the routers."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.emulator.clients import HTTP, PROJECT, WIRES, make_client
from tests.emulator.faults.conftest import Fault
from tests.processes import EmulatorProcess

ZONE = f"projects/{PROJECT}/locations/us-central1-b"
CLUSTER = f"projects/{PROJECT}/locations/us-central1/clusters/hw-serving"
# preset → (what Google's client raises, reason in the details)
PRESETS = {
    "quota-exceeded": ((exceptions.ResourceExhausted, exceptions.TooManyRequests),
                       "RATE_LIMIT_EXCEEDED"),
    "permission-denied": (exceptions.Forbidden, "IAM_PERMISSION_DENIED"),
    "unavailable": (exceptions.ServiceUnavailable, None),
    "expired-token": (exceptions.Unauthorized, "ACCESS_TOKEN_EXPIRED"),
}  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_answers_on_both_wires(
    broken: EmulatorProcess, fault: Fault, wire: str, preset: str
) -> None:
    """The status and ErrorInfo that Google sends; other methods go on; the rule counts."""
    fault(preset=preset, service="tpu", method="ListNodes", id="it")
    client = make_client("TpuClient", wire, broken)
    if (wire, preset) == ("rest", "expired-token"):
        # Google's client would first get another token, which anonymous credentials cannot.
        answer = httpx.get(f"{broken.rest_url}/tpu/v2/{ZONE}/nodes")
        assert answer.status_code == 401
        assert answer.json()["error"]["details"][0]["reason"] == PRESETS[preset][1]
        return
    kind, reason = PRESETS[preset]
    with pytest.raises(kind) as refused:
        list(client.list_nodes(parent=ZONE, retry=None))
    assert refused.value.reason == reason
    if preset == "permission-denied":
        assert refused.value.metadata["permission"] == "tpu.nodes.list"
    assert list(client.list_accelerator_types(parent=ZONE))
    shown = httpx.get(f"{broken.rest_url}/_heartwood/faults/it").json()
    assert (shown["seen"], shown["hits"]) == (1, 1)


def test_deadline_waits_first(broken: EmulatorProcess, fault: Fault) -> None:
    """The caller waits, then is told; its own deadline ends the wait earlier."""
    fault(preset="deadline", service="container", method="GetCluster", latency_s=0.3)
    gke = make_client("ClusterManagerClient", "grpc", broken)
    began = time.monotonic()
    with pytest.raises(exceptions.DeadlineExceeded, match="before operation could complete"):
        gke.get_cluster(name=CLUSTER, retry=None)
    assert time.monotonic() - began >= 0.3
    with pytest.raises(exceptions.DeadlineExceeded):
        gke.get_cluster(name=CLUSTER, retry=None, timeout=0.05)


@pytest.mark.parametrize("wire", WIRES)
def test_resources_times_and_retries(broken: EmulatorProcess, fault: Fault, wire: str) -> None:
    """A rule for one resource, twice: Google's own retry gets through the third time."""
    fault(preset="unavailable", service="container", method="get_cluster",
          resource="*/clusters/hw-serv*", times=2)  # fmt: skip
    gke = make_client("ClusterManagerClient", wire, broken)
    if wire == "grpc":
        assert gke.get_cluster(name=CLUSTER).name == "hw-serving"
        return
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable):
            gke.get_cluster(name=CLUSTER, retry=None)
    assert gke.get_cluster(name=CLUSTER).name == "hw-serving"


def test_probability_follows_the_seed(broken: EmulatorProcess, fault: Fault) -> None:
    """About the share asked for, and the same calls again after the rule is entered again."""
    url = f"{broken.rest_url}/tpu/v2/{ZONE}/nodes"

    def outcomes() -> list[int]:
        fault(id="dice", service="tpu", method="ListNodes", code="ABORTED", probability=0.5)
        return [HTTP.get(url).status_code for _ in range(40)]

    first = outcomes()
    assert {200, 409} == set(first)
    assert 10 <= first.count(409) <= 30
    assert outcomes() == first


def test_a_window(broken: EmulatorProcess, fault: Fault) -> None:
    """A rule holds from after_s for for_s seconds."""
    later = fault(service="tpu", code="ABORTED", after_s=600)
    assert not later["active"]
    assert later["begins_in_s"] > 500
    over = fault(service="tpu", code="ABORTED", for_s=0.0)
    assert not over["active"]
    assert httpx.get(f"{broken.rest_url}/tpu/v2/{ZONE}/nodes").status_code == 200


@pytest.mark.parametrize(
    ("path", "service", "method"),
    [
        (f"/compute/v1/projects/{PROJECT}/global/urlMaps/hw-serving", "compute", "urlMaps.get"),
        (f"/k8s/{PROJECT}/us-central1/hw-serving/api/v1/nodes", "kubernetes", "nodes.list"),
        ("/storage/v1/b/heartwood-demo-weights/o", "storage", "objects.list"),
        (f"/bigquery/v2/projects/{PROJECT}/jobs", "bigquery", "jobs.list"),
        (f"/cloudresourcemanager/v1/projects/{PROJECT}", "cloudresourcemanager", "projects.get"),
    ],
)
def test_answers_break_off(
    broken: EmulatorProcess, fault: Fault, path: str, service: str, method: str
) -> None:
    """Truncated: less than was announced. Reset: nothing. Refused: the service's own envelope."""
    url = broken.rest_url + path
    whole = httpx.get(url)
    fault(id="a", preset="truncated", service=service, method=method, times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message"):
        httpx.get(url)
    fault(id="a", preset="reset", service=service, method=method, times=1)
    with pytest.raises(httpx.ReadError):
        httpx.get(url)
    fault(id="a", preset="permission-denied", service=service, method=method, times=1)
    refused = httpx.get(url)
    assert refused.status_code == 403
    body = refused.json()
    if service == "kubernetes":
        assert (body["kind"], body["reason"]) == ("Status", "Forbidden")
        assert 'requires one of ["container.nodes.list"]' in body["message"]
    else:
        assert body["error"]["details"][0]["reason"] == "IAM_PERMISSION_DENIED"
    assert httpx.get(url).status_code == whole.status_code == 200


def test_a_broken_grpc_call(broken: EmulatorProcess, fault: Fault) -> None:
    """gRPC callers see what a broken connection or stream looks like to them."""
    client: Any = make_client("TpuClient", "grpc", broken)
    fault(id="a", preset="reset", service="tpu", method="ListNodes", times=1)
    with pytest.raises(exceptions.ServiceUnavailable, match="reset by peer"):
        client.list_nodes(parent=ZONE, retry=None)
    fault(id="a", preset="truncated", service="tpu", method="ListNodes", times=1)
    with pytest.raises(exceptions.InternalServerError, match="RST_STREAM"):
        client.list_nodes(parent=ZONE, retry=None)


def test_storage_client_resumes(broken: EmulatorProcess, fault: Fault) -> None:
    """Google's storage client tries again after an unavailable answer."""
    client = storage.Client(
        PROJECT, AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=broken.rest_url),
    )  # fmt: skip
    fault(preset="unavailable", service="storage", method="buckets.get", times=1)
    assert client.get_bucket("heartwood-demo-weights").name == "heartwood-demo-weights"
