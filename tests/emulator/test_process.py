"""The emulator as a process: start, stop, ports, health, counters, help."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.emulator.clients import LOCATION, make_client
from tests.processes import PORTS, ROOT, EmulatorProcess, start_emulator


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emulator", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_health_tells_what_runs(emulator: EmulatorProcess) -> None:
    """/healthz names scenario, speed, seed, version and addresses."""
    body = httpx.get(f"{emulator.rest_url}/healthz").json()
    assert body["status"] == "ok"
    assert set(body["versions"]) >= {"emulator", "python", "grpc"}
    assert (body["scenario"], body["seed"], body["speed"]) == ("normal", 7, 600)
    assert (body["rest_url"], body["grpc_target"]) == (emulator.rest_url, emulator.grpc_target)
    assert body["lb_url"] == emulator.lb_url


def test_calls_are_counted_per_method_and_wire(emulator: EmulatorProcess) -> None:
    """/metrics counts each answered call once, under its method, wire and code."""
    label = (
        'heartwood_emulator_calls_total{code="OK",method="GetServerConfig",'
        'service="google.container.v1.ClusterManager",wire="grpc"} '
    )

    def count() -> float:
        lines = httpx.get(f"{emulator.rest_url}/metrics").text.splitlines()
        return sum(float(line.removeprefix(label)) for line in lines if line.startswith(label))

    before = count()
    for _ in range(3):
        make_client("ClusterManagerClient", "grpc", emulator).get_server_config(name=LOCATION)
    assert count() == before + 3


def test_unknown_paths_are_404_in_the_envelope(emulator: EmulatorProcess) -> None:
    """A path of no API, and one of no method, answer 404 with Google's envelope."""
    for path in ("/nothing", "/tpu/v9/projects", "/container/v1/", "/compute/v1/"):
        response = httpx.get(emulator.rest_url + path)
        assert response.status_code == 404
        assert response.json()["error"]["status"] == "NOT_FOUND"


def test_starts_fast_small_and_stops_clean() -> None:
    """Ready after 4 s of processor time, under 600 MB, ends with 0 within seconds of SIGTERM."""
    running = start_emulator("full-fleet", speed=60, own_interpreter=True)
    process = Path(f"/proc/{running.process.pid}")
    try:
        fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        processor_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for path in ("/container/v1/projects/heartwood-demo/locations/-/clusters",
                     "/compute/v1/projects/heartwood-demo/aggregated/backendServices"):  # fmt: skip
            assert httpx.get(running.rest_url + path, timeout=30).status_code == 200
        resident_kb = int((process / "status").read_text().split("VmRSS:")[1].split()[0])
    finally:
        began = time.monotonic()
        exit_status = running.stop()
    assert exit_status == 0
    assert time.monotonic() - began < 10
    assert resident_kb < 600 * 1024
    assert processor_s < 4


@pytest.mark.parametrize("variable", PORTS)
def test_port_in_use_is_one_line_that_names_the_variable(variable: str) -> None:
    """A taken port ends the start with status 2 and one line that says what to change."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = _run(**{**PORTS, variable: port})
    assert result.returncode == 2
    (line,) = [li for li in result.stderr.splitlines() if li.startswith("emulator:")]
    assert variable in line
    assert port in line
    assert "Traceback" not in result.stderr


def test_help_and_bad_arguments() -> None:
    """--help names variables and options; a bad value is refused with the allowed ones."""
    text = _run("--help").stdout
    for word in ("--scenario", "--speed", "--seed", "HEARTWOOD_EMULATOR_PORT", "full-fleet"):
        assert word in text
    refused = _run("--scenario", "nonsense")
    assert refused.returncode == 2
    assert "empty-project" in refused.stderr
    assert _run("--speed", "0").returncode == 2
    refused = _run(HEARTWOOD_EMULATOR_PORT="99999")
    assert refused.returncode == 2
    assert "HEARTWOOD_EMULATOR_PORT" in refused.stderr
