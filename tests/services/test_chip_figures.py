"""The newest figure of each chip, however late Monitoring shows it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.cloud import monitoring_v3

from services.clients import Clients, CloudTarget
from services.monitoring import Monitoring
from tests.make import make_specs

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CHIP = {"node_name": "n", "cluster_name": "c", "location": "us-central1"}


def point(before_s: int, value: float) -> dict[str, Any]:
    """A point that ended so long before now."""
    at = NOW - timedelta(seconds=before_s)
    return {"interval": {"start_time": at, "end_time": at}, "value": {"double_value": value}}


def answer(request: bytes, _context: object) -> bytes:
    """One chip: the last step of its memory is not there yet, its TensorCore's is."""
    asked = monitoring_v3.ListTimeSeriesRequest.deserialize(request)
    found: list[monitoring_v3.TimeSeries] = []
    seconds = (asked.interval.end_time - asked.interval.start_time).total_seconds()
    if "tensorcore" in asked.filter and "k8s_node" in asked.filter:
        points = [point(0, 40.0), point(240, 90.0)]
    elif "memory_used" in asked.filter and "k8s_node" in asked.filter and seconds > 240:
        points = [point(240, 7e9)]
    else:
        points = []
    if points:
        found.append(
            monitoring_v3.TimeSeries(
                resource={"type": "k8s_node", "labels": CHIP},
                metric={"type": "m", "labels": {"accelerator_id": "0"}},
                value_type="DOUBLE",
                points=points,
            )
        )
    response = monitoring_v3.ListTimeSeriesResponse(time_series=found)
    return monitoring_v3.ListTimeSeriesResponse.serialize(response)


@pytest.fixture
def clients() -> Iterator[Clients]:
    """Clients of a Monitoring that answers so."""

    class Everything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Everything()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    made = Clients(CloudTarget("emulator", "p", grpc_target=f"127.0.0.1:{port}"))
    yield made
    made.close()
    server.stop(None).wait(2)


def test_a_late_point_is_still_the_newest(clients: Clients) -> None:
    """Minutes may pass until a point is visible; of several the latest counts."""
    (reading,) = Monitoring(clients).read_chips(make_specs(), NOW)
    assert reading.host == "n"
    assert reading.tensorcore_utilisation_ratio == pytest.approx(0.4)
    assert reading.hbm_used_bytes == 7e9
    assert reading.hbm_total_bytes is None
