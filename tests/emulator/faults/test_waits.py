"""Many callers that wait for an operation hold up nobody else, and waits end with their callers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2

from tests.emulator.clients import PROJECT, make_client
from tests.emulator.faults.conftest import Fault
from tests.processes import EmulatorProcess

ZONE = f"projects/{PROJECT}/locations/us-central1-b"
NODE: dict[str, Any] = {"accelerator_type": "v6e-1", "runtime_version": "v2-alpha-tpuv6e"}


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    """Threads for callers that wait; they need not come to an end before the test."""
    pool = ThreadPoolExecutor(48)
    yield pool
    pool.shutdown(wait=False, cancel_futures=True)


def test_compute_waits_hold_up_nobody(
    broken: EmulatorProcess, fault: Fault, callers: ThreadPoolExecutor
) -> None:
    """With 40 waits on a stuck operation others are answered; the waits end with the operation."""
    rule = fault(preset="stuck-operation", service="compute", method="healthChecks.insert")
    base = f"{broken.rest_url}/compute/v1/projects/{PROJECT}/global"
    body = {"name": "waited-for", "type": "TCP", "tcpHealthCheck": {"port": 80}}
    name = httpx.post(f"{base}/healthChecks", json=body).json()["name"]
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(limits=limits, timeout=60) as client:
        url = f"{base}/operations/{name}/wait"
        waits = [callers.submit(client.post, url) for _ in range(40)]
        for _ in range(3):
            assert httpx.get(f"{base}/networks", timeout=30).status_code == 200
        assert not any(w.done() for w in waits)
        httpx.delete(f"{broken.rest_url}/_heartwood/faults/{rule['id']}")
        assert {w.result(timeout=30).json()["status"] for w in waits} == {"DONE"}
    gone = httpx.delete(f"{base}/healthChecks/waited-for").json()["name"]
    assert httpx.post(f"{base}/operations/{gone}/wait", timeout=30).json()["status"] == "DONE"


def test_grpc_waits_hold_up_nobody(
    broken: EmulatorProcess, fault: Fault, callers: ThreadPoolExecutor
) -> None:
    """Beyond a limit a wait tells at once how it stands; one whose caller has gone leaves room."""
    fault(preset="stuck-operation", service="tpu", method="CreateNode")
    client = make_client("TpuClient", "grpc", broken)
    operation = client.create_node(parent=ZONE, node_id="waited", node=NODE).operation.name
    channel = client.transport.grpc_channel
    ask = channel.unary_unary(
        "/google.longrunning.Operations/WaitOperation",
        request_serializer=operations_pb2.WaitOperationRequest.SerializeToString,
        response_deserializer=operations_pb2.Operation.FromString,
    )
    request = operations_pb2.WaitOperationRequest(
        name=operation, timeout=duration_pb2.Duration(seconds=60)
    )
    waits = [ask.future(request) for _ in range(40)]
    client.list_nodes(parent=ZONE, timeout=30)
    end = time.monotonic() + 60
    while sum(not w.done() for w in waits) > 16:
        assert time.monotonic() < end
        time.sleep(0.02)
    for wait in waits:
        wait.cancel()
    client.list_nodes(parent=ZONE, timeout=30)
    client.cancel_operation({"name": operation})
    done = ask(request, timeout=20)
    assert done.done
