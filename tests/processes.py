"""Starts the emulator as a process on free ports, for the tests of all folders."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.forked import Forked

ROOT = Path(__file__).resolve().parent.parent
# Where every emulator records its exchanges, for a check at the end of the session.
RECORDINGS_VARIABLE = "HEARTWOOD_TEST_RECORDINGS"
# Whatever is free.
PORTS = {f"HEARTWOOD_{name}_PORT": "0" for name in ("EMULATOR", "EMULATOR_GRPC", "LB")}
_READY = re.compile(r"emulator ready: .*rest (\S+), grpc (\S+), load balancer (\S+)")


@dataclass
class EmulatorProcess:
    """A running emulator."""

    rest_url: str
    grpc_target: str
    lb_url: str
    process: subprocess.Popen[str] | Forked
    data_dir: Path
    _scratch: str

    def stop(self) -> int:
        """End it by SIGTERM; returns its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            if self.process.stdout:
                self.process.stdout.close()
            shutil.rmtree(self._scratch, ignore_errors=True)


def start_emulator(
    scenario: str = "normal",
    speed: float = 60.0,
    *,
    seed: int = 7,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    start_timeout_s: float = 240.0,
    record: bool = True,
    own_interpreter: bool = False,
) -> EmulatorProcess:
    """Start `python -m emulator` on ports that it picks and wait until it answers.

    `record`: whether its exchanges are checked with the others; not for those of nonsense.
    `own_interpreter`: not a fork, which begins with the imports done (see `tests/forked.py`).

    Raises:
        RuntimeError: it ended, or did not get ready in time; the message holds its output.
    """
    command = ["--scenario", scenario]
    command += ["--speed", str(speed), "--seed", str(seed), *arguments]
    # Port 1 refuses: no inference server of somebody else is to be scraped by chance.
    env = {**os.environ, "HEARTWOOD_SERVING_PORT": "1", **PORTS, **(environment or {})}
    # Not into the repository's own data: an emulator that somebody uses may keep its files there.
    data = tempfile.mkdtemp(prefix="heartwood-emulator-")
    env["HEARTWOOD_DATA_DIR"] = (environment or {}).get("HEARTWOOD_DATA_DIR", data)
    folder = os.environ.get(RECORDINGS_VARIABLE)
    if folder and record:
        command += ["--record", os.path.join(folder, f"{os.path.basename(data)}.jsonl")]
    process = _start_alone(command, env) if own_interpreter else Forked(command, env, str(ROOT))
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_drain, args=(process, lines), daemon=True).start()
    seen: list[str] = []
    while True:
        try:
            line = lines.get(timeout=start_timeout_s)
        except queue.Empty:
            line = None
        if line is None:
            process.kill()
            raise RuntimeError("the emulator did not start:\n" + "".join(seen))
        seen.append(line)
        if found := _READY.search(line):
            return EmulatorProcess(
                found[1], found[2], found[3], process, Path(env["HEARTWOOD_DATA_DIR"]), data
            )


@contextlib.contextmanager
def held_resizes(running: EmulatorProcess) -> Generator[None]:
    """Resizes of GKE that begin inside come as far as to their nodes; once left, they go on."""
    place = f"{running.rest_url}/_heartwood/faults"
    rule = {"preset": "stuck-operation", "service": "container", "method": "SetNodePoolSize"}
    (made,) = httpx.post(place, json=rule, trust_env=False).json()["faults"]
    yield
    httpx.delete(f"{place}/{made['id']}", trust_env=False).raise_for_status()


def _start_alone(command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "emulator", *command],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _drain(process: subprocess.Popen[str] | Forked, lines: queue.Queue[str | None]) -> None:
    assert process.stdout
    for line in process.stdout:
        lines.put(line)
    lines.put(None)
