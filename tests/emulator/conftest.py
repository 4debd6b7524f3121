"""A running emulator for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes import EmulatorProcess, start_emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    """The scenario `normal`; tests that change something start their own."""
    running = start_emulator("normal", speed=600)
    yield running
    running.stop()
