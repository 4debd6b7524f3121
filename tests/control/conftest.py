"""Executors for tests: one in this process, and processes that may be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.control.console_parts import Parts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """A started executor with a real record on a fake GKE."""
    built = Parts(tmp_path)
    built.executor.start()
    yield built
    built.gke.clear("hang", "hold", "outage")
    built.executor.stop()


Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Starts executor processes over the same folder."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.control.console_parts", str(tmp_path), *arguments]
        process = subprocess.Popen(command, cwd=ROOT, text=True)
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()
