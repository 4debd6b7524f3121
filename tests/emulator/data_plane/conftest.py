"""An emulator whose load balancer leads to a server of this folder's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.emulator.clients import PROJECT
from tests.emulator.data_plane.backend import Backend
from tests.processes import EmulatorProcess, start_emulator

_PATIENCE_S = 120.0


@dataclass
class Balanced:
    """The emulator, its data plane's address, and what stands behind it."""

    emulator: EmulatorProcess
    url: str
    backend: Backend
    client: httpx.Client

    @property
    def compute(self) -> str:
        """Global resources of Compute."""
        return f"{self.emulator.rest_url}/compute/v1/projects/{PROJECT}/global"

    @property
    def faults(self) -> str:
        """Rules by which the emulator fails."""
        return f"{self.emulator.rest_url}/_heartwood/faults"

    def patch(self, resource: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change a global resource of Compute, wait for it; returns what it was."""
        before = self.client.get(f"{self.compute}/{resource}").json()
        name = self.client.patch(f"{self.compute}/{resource}", json=body).json()["name"]
        done = self.client.post(f"{self.compute}/operations/{name}/wait")
        assert "error" not in done.json(), done.text
        return before


@pytest.fixture(scope="package")
def balanced() -> Iterator[Balanced]:
    """The scenario `normal`; its health checks probe each second, its logs hold every request."""
    backend = Backend()
    emulator = start_emulator(speed=1200, environment={"HEARTWOOD_SERVING_PORT": str(backend.port)})
    client = httpx.Client(
        timeout=_PATIENCE_S, limits=httpx.Limits(max_connections=None), trust_env=False
    )
    found = Balanced(emulator, emulator.lb_url, backend, client)
    found.patch("healthChecks/hw-ready", {
        "checkIntervalSec": 1, "timeoutSec": 1, "healthyThreshold": 1, "unhealthyThreshold": 2,
    })  # fmt: skip
    for tier in ("small", "medium"):
        found.patch(f"backendServices/hw-{tier}", {"logConfig": {"enable": True, "sampleRate": 1}})
    yield found
    client.close()
    emulator.stop()
    backend.stop()


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Waits until something is so."""

    def wait(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not holds():
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.1)

    return wait
