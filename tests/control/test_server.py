"""server.py as a process: health, metrics, headers, requests routed to a tier, a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.control.model_server import ModelServer
from tests.control.test_console import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """What answers for the local tier."""
    found = ModelServer()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> Iterator[str]:
    """A console without any source to read but this machine's inference server."""
    port = free_port()
    env = {
        **os.environ,
        "HEARTWOOD_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "HEARTWOOD_EMULATOR_PORT": str(free_port()),
        "HEARTWOOD_EMULATOR_GRPC_PORT": str(free_port()),
        "HEARTWOOD_SERVING_PORT": str(model.port),
        "HEARTWOOD_LB_PORT": str(free_port()),
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


@pytest.fixture(scope="module")
def routed(url: str) -> Iterator[httpx.Client]:
    """Asks the router of a console that has seen its local tier serve."""
    with httpx.Client(base_url=f"{url}/router/v1", timeout=120, trust_env=False) as client:
        wait_until(lambda: "local" in client.get("/models").text)
        yield client


def chat(text: str, **more: object) -> dict[str, object]:
    """A request of one message."""
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}


def test_a_stream_passes_the_router_as_it_comes(routed: httpx.Client, model: ModelServer) -> None:
    """Its first event is there while the rest is held back; headers tell who answers, and why."""
    with routed.stream("POST", "/chat/completions", json=chat("hold", stream=True)) as answer:
        assert answer.headers["x-heartwood-tier"] == "local"
        assert answer.headers["x-heartwood-route"] == "edge"
        assert "short and simple" in answer.headers["x-heartwood-route-reason"]
        assert answer.headers["content-type"] == "text/event-stream"
        parts = answer.iter_bytes()
        assert next(parts) == b"data: 1\n\n"
        assert not model.go.is_set()
        model.go.set()
        assert b"".join(parts) == b"data: [DONE]\n\n"
    path, body, _ = model.asked[-1]
    assert (path, body["stream"], "model" in body) == ("/v1/chat/completions", True, False)


def test_who_leaves_ends_the_tiers_work_too(routed: httpx.Client, model: ModelServer) -> None:
    """Also before its server has said anything; then nothing of it is under way any more."""
    asked = len(model.asked)
    body = json.dumps(chat("slow")).encode()
    base = routed.base_url
    head = (
        f"POST {base.path}chat/completions HTTP/1.1\r\nHost: {base.netloc.decode()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((base.host, base.port or 80)) as client:
        client.sendall(head.encode() + body)
        wait_until(lambda: len(model.asked) > asked)
    assert model.left.wait(60)
    metrics = str(routed.base_url.join("/metrics"))
    wait_until(lambda: 'heartwood_router_in_flight{tier="local"}' not in httpx.get(metrics).text)


def test_an_answer_that_breaks_off_says_so_in_its_stream(routed: httpx.Client) -> None:
    """What had come is passed on; an event with the error ends it, and no [DONE] does."""
    answer = routed.post("/chat/completions", json=chat("cut", stream=True))
    assert answer.text.startswith("data: 1\n\n")
    assert '"code": "broken_off"' in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"json": chat("x", model="small")}, 503, "no_tier"),
        ({"json": chat("x", model="gpt")}, 404, "model_not_found"),
        ({"json": chat("x", max_tokens=0)}, 400, "invalid_request"),
        ({"json": []}, 400, "invalid_json"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "invalid_json"),
        ({"data": {"messages": "x"}}, 415, "not_json"),
        ({"json": chat("x"), "headers": {"host": "evil.example"}}, 403, "unknown_host"),
    ],
)
def test_what_is_not_routed_is_refused_with_its_reason(
    routed: httpx.Client, request_: dict[str, object], status: int, code: str
) -> None:
    """OpenAI's envelope; where no tier can take it, each tier's reason."""
    answer = routed.post("/chat/completions", **request_)  # type: ignore[arg-type]
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"]
    assert code != "no_tier" or "unknown" in error["tiers"]["small"]


def test_decisions_are_counted_by_tier_and_rule(routed: httpx.Client) -> None:
    """In /metrics; the one that nobody could take as well."""
    routed.post("/chat/completions", json=chat("hello"))
    routed.post("/chat/completions", json=chat("hello", model="large"))
    text = httpx.get(str(routed.base_url.join("/metrics"))).text
    assert 'heartwood_router_decisions_total{rule="edge",tier="local"}' in text
    assert 'heartwood_router_decisions_total{rule="named",tier=""}' in text
