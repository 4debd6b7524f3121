"""A shell that has evaluated `python -m emulator env`, for the real commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import ROOT, EmulatorProcess

Run = Callable[[str], str]


def emulator_environment(running: EmulatorProcess) -> dict[str, str]:
    """The variables by which that emulator and its data directory are found."""
    return {
        **os.environ,
        "HEARTWOOD_EMULATOR_PORT": running.rest_url.rsplit(":", 1)[1],
        "HEARTWOOD_DATA_DIR": str(running.data_dir),
    }


@pytest.fixture(scope="session")
def shell(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a line in a shell that has evaluated the lines; returns what it printed.

    gcloud gets a configuration folder of its own, so that nobody's is used or changed.
    """
    folder: Path = tmp_path_factory.mktemp("gcloud")
    environment = emulator_environment(emulator)
    environment |= {"CLOUDSDK_CONFIG": str(folder), "HOME": str(folder)}
    environment["PYTHON"] = sys.executable

    def run(line: str) -> str:
        command = line.split()[0]
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
        script = f'set -e; eval "$("$PYTHON" -m emulator env)"; {line}'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
