"""Runs the document's blocks in a shell that points at an emulator, one after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rehearsal.blocks import Block

ROOT: Final = Path(__file__).resolve().parents[1]
_READY: Final = re.compile(r"emulator ready: .*rest http://[^ ]+:(\d+),")
_LIMIT_S: Final = 300


class StepFailed(Exception):
    """A block did not do what the document says; the message holds its commands and output."""


@dataclass(slots=True)
class Emulator:
    """An emulator of its own on free ports."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    def environment(self) -> dict[str, str]:
        """What a shell has after `eval "$(python -m emulator env)"`; gcloud's settings are its
        own, so that nobody's are used or changed.
        """
        own = {
            **os.environ,
            "HEARTWOOD_EMULATOR_PORT": str(self.port),
            "HEARTWOOD_DATA_DIR": str(self.folder / "data"),
            "CLOUDSDK_CONFIG": str(self.folder / "gcloud"),
            "HOME": str(self.folder),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
        }
        told = subprocess.run(
            [sys.executable, "-m", "emulator", "env", "--json"],
            cwd=ROOT, env=own, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return {**own, **json.loads(told.stdout)}

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        finally:
            self.process.kill()


def start_emulator(folder: Path, speed: float, record: Path | None = None) -> Emulator:
    """Start the emulator of an empty project.

    Raises:
        RuntimeError: it ended before it was ready; the message holds its output.
    """
    command = [sys.executable, "-m", "emulator", "--tls", "--scenario", "empty-project"]
    command += ["--speed", str(speed)]
    if record is not None:
        command += ["--record", str(record)]
    environment = {
        **os.environ, "HEARTWOOD_EMULATOR_PORT": "0", "HEARTWOOD_EMULATOR_GRPC_PORT": "0",
        "HEARTWOOD_EMULATOR_TLS_PORT": "0", "HEARTWOOD_LB_PORT": "0", "HEARTWOOD_SERVING_PORT": "1",
        "HEARTWOOD_DATA_DIR": str(folder / "data"),
    }  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if found := _READY.search(line):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return Emulator(process, int(found[1]), folder)
    raise RuntimeError("the emulator did not start:\n" + "".join(seen))


def run_blocks(
    blocks: list[Block],
    environment: Mapping[str, str],
    folder: Path,
    done: Callable[[Block, float], None],
) -> None:
    """Run every block; `done` gets each with the seconds that it took.

    Raises:
        StepFailed: a block failed, or was not refused, or its output lacks what is expected.
    """
    names = "".join(b.script for b in blocks if b.kind == "names")
    for block in blocks:
        began = time.monotonic()
        _run(block, names, environment, folder)
        done(block, time.monotonic() - began)


def _run(block: Block, names: str, environment: Mapping[str, str], folder: Path) -> None:
    script = f"set -euo pipefail\n{names if block.kind != 'names' else ''}{block.script}"
    ran = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    output = re.sub(r"\s+", " ", ran.stdout)
    refused = block.kind == "refused"
    missing = [line for line in block.expected if line not in output]
    if (ran.returncode != 0) == refused and not missing:
        return
    told = f"status {ran.returncode}" + (", which ought to be refused" if refused else "")
    if missing:
        told += f", without {missing}"
    raise StepFailed(f"{block.title} (line {block.line}): {told}\n{block.script}\n{ran.stdout}")
