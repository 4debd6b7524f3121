"""The local tier's series are the real server's, with honest gaps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import numpy as np
import pytest
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import (
    MetricServiceGrpcTransport,
)

from emulator.apis.monitoring import align
from emulator.apis.monitoring.block import SampledBlock
from emulator.apis.monitoring.columns import table
from emulator.apis.monitoring.windows import windows
from tests.processes import start_emulator


class _Metrics(BaseHTTPRequestHandler):
    served = 0

    def do_GET(self) -> None:
        type(self).served += 1
        self.send_response(200)
        self.end_headers()
        text = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 3\n"
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def serving_port() -> Iterator[int]:
    """A server that shows one gauge."""
    server = HTTPServer(("127.0.0.1", 0), _Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_measured_values_arrive(serving_port: int) -> None:
    """The server's gauge is a series of namespace "local", without points from before."""
    began = time.time()
    running = start_emulator(environment={"HEARTWOOD_SERVING_PORT": str(serving_port)})
    try:
        channel = grpc.insecure_channel(running.grpc_target)
        client = monitoring_v3.MetricServiceClient(
            transport=MetricServiceGrpcTransport(channel=channel)
        )
        found: list[Any] = []
        while not found and time.time() < began + 30:
            found = list(client.list_time_series(request=_request(), timeout=20, retry=None))
            time.sleep(0.2)
    finally:
        running.stop()
    (series,) = found
    assert dict(series.resource.labels)["namespace"] == "local"
    assert dict(series.resource.labels)["cluster"] == "local-host"
    assert {p.value.double_value for p in series.points} == {3.0}
    assert min(p.interval.end_time.timestamp() for p in series.points) >= began


def _request() -> dict[str, Any]:
    return {
        "name": "projects/heartwood-demo",
        "filter": 'metric.type = "prometheus.googleapis.com/vllm:num_requests_running/gauge" AND '
        'resource.labels.namespace = "local"',
        "interval": {
            "end_time": {"seconds": int(time.time()) + 1},
            "start_time": {"seconds": int(time.time()) - 86_400},
        },
    }


def test_growth_skips_gaps_and_resets() -> None:
    """A counter's growth over a gap counts for nothing; after a restart it counts from zero."""
    times = np.array([10.0, 20.0, 30.0, 500.0, 510.0, 520.0])
    values = np.array([[5.0], [7.0], [9.0], [100.0], [2.0], [3.0]])
    block = SampledBlock("prometheus_target", table(1), times, values)
    grown, seconds = align.sampled_growth(block, windows(0.0, 600.0, 300.0, 600.0))
    assert grown[0].tolist() == [4.0, 3.0]
    assert seconds[0].tolist() == [20.0, 20.0]
