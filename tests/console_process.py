"""Starts the console as a process on a free port, against an emulator and a server of a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx

from tests.processes import EmulatorProcess
from tests.serving.server_process import find_free_port

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class ConsoleProcess:
    """A running console."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def running_console(
    folder: Path,
    emulator: EmulatorProcess,
    serving_port: int,
    start_limit_s: float = 240,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[ConsoleProcess]:
    """`streamlit run server.py` with its data in `folder`; ended with SIGTERM."""
    port = find_free_port()
    log = folder / "console.log"
    environment = {
        **os.environ,
        "HEARTWOOD_CONSOLE_PORT": str(port),
        "HEARTWOOD_SERVING_PORT": str(serving_port),
        "HEARTWOOD_EMULATOR_PORT": str(urlsplit(emulator.rest_url).port),
        "HEARTWOOD_EMULATOR_GRPC_PORT": emulator.grpc_target.rpartition(":")[2],
        "HEARTWOOD_LB_PORT": emulator.lb_url.rpartition(":")[2],
        "HEARTWOOD_DATA__DIR": str(folder / "data"),
        **variables,
    }
    command = [sys.executable, "-m", "streamlit", "run", "server.py", "--server.port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    found = ConsoleProcess(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_healthy(found, start_limit_s)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_healthy(console: ConsoleProcess, limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and console.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{console.url}/healthz").status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"the console did not get healthy:\n{console.log.read_text()[-3000:]}")
