"""An emulator whose weeks pass in seconds, operations that wait, and a range for private access."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.emulator.clients import HTTP, PROJECT
from tests.emulator.lifecycle.conftest import Compute
from tests.processes import EmulatorProcess, start_emulator

Held = Callable[[str, str], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def beside() -> Iterator[EmulatorProcess]:
    """The scenario `normal`; a month is less than a second."""
    running = start_emulator("normal", speed=4_000_000)
    yield running
    running.stop()


@pytest.fixture
def held(beside: EmulatorProcess) -> Held:
    """`with held("redis", "create_instance"):` operations begun by such calls end only after it."""
    rules = f"{beside.rest_url}/_heartwood/faults"

    @contextmanager
    def hold(service: str, method: str) -> Generator[None]:
        rule = {"preset": "stuck-operation", "service": service, "method": method}
        answer = HTTP.post(rules, json=rule)
        (made,) = answer.raise_for_status().json()["faults"]
        try:
            yield
        finally:
            HTTP.delete(f"{rules}/{made['id']}").raise_for_status()

    return hold


@pytest.fixture(scope="session")
def peered(beside: EmulatorProcess) -> str:
    """The name of a range that the network has set aside for private services access."""
    network = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/global/networks/hw-net"
    Compute(beside.rest_url, HTTP).make(
        "global/addresses", name="services", purpose="VPC_PEERING", addressType="INTERNAL",
        prefixLength=16, network=network,
    )  # fmt: skip
    return "services"
