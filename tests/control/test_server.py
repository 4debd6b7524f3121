"""server.py as a process: health before any source, metrics, security headers, a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.control.test_console import free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A console without any source to read."""
    port = free_port()
    env = {
        **os.environ,
        "HEARTWOOD_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "HEARTWOOD_EMULATOR_PORT": str(free_port()),
        "HEARTWOOD_EMULATOR_GRPC_PORT": str(free_port()),
        "HEARTWOOD_SERVING_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "streamlit", "run", "server.py"]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    found = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 240
    while True:
        try:
            httpx.get(f"{found}/healthz", timeout=2)
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield found
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=20)
    finally:
        process.kill()


def test_it_is_healthy_without_any_source(url: str) -> None:
    """200 as long as the process serves; which sources fail is told beside it."""
    answer = httpx.get(f"{url}/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert "gke" in answer.json()["sources_unread"]


def test_metrics_are_prometheus_text(url: str) -> None:
    """Ages, reads by outcome, cache and memory are there."""
    text = httpx.get(f"{url}/metrics").text
    for name in (
        "heartwood_source_up",
        "heartwood_source_reads_total",
        "heartwood_history_hits_total",
        "heartwood_process_memory_bytes",
        "process_cpu_seconds_total",
    ):
        assert f"# TYPE {name}" in text


@pytest.mark.parametrize("path", ["/", "/healthz", "/_stcore/health", "/nothing-here"])
def test_every_answer_has_the_security_headers(url: str, path: str) -> None:
    """Streamlit's own routes too."""
    headers = httpx.get(f"{url}{path}").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
