"""An emulator that goes wrong on demand, and the control call that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.processes import EmulatorProcess, start_emulator

Fault = Callable[..., dict[str, Any]]


@pytest.fixture(scope="package")
def broken() -> Iterator[EmulatorProcess]:
    """The scenario `normal`, fast; each test's rules go when it ends."""
    running = start_emulator("normal", speed=1200)
    yield running
    running.stop()


@pytest.fixture
def fault(broken: EmulatorProcess) -> Iterator[Fault]:
    """`fault(key=value, …)` enters a rule and returns it as the emulator shows it."""
    url = f"{broken.rest_url}/_heartwood/faults"

    def enter(**rule: Any) -> dict[str, Any]:
        answer = httpx.post(url, json=rule, timeout=30)
        assert answer.status_code == 200, answer.text
        (made,) = answer.json()["faults"]
        return made

    yield enter
    assert httpx.delete(url).status_code == 200
