"""Emulators with a state directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.processes import EmulatorProcess, start_emulator


class Starts(Protocol):
    """Starts an emulator on a state directory."""

    def __call__(self, path: Path, speed: float, scenario: str = "normal") -> EmulatorProcess: ...


@pytest.fixture
def starts() -> Iterator[Starts]:
    """What is still running is stopped at the end."""
    running: list[EmulatorProcess] = []

    def start(path: Path, speed: float, scenario: str = "normal") -> EmulatorProcess:
        environment = {"HEARTWOOD_EMULATOR_STATE_DIR": str(path)}
        found = start_emulator(scenario, speed, environment=environment)
        running.append(found)
        return found

    yield start
    for each in running:
        each.stop()
