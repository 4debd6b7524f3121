"""Emulators for the life cycles, and calls of compute by REST with both bodies validated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from google.api_core.future.polling import DEFAULT_POLLING

from tests.emulator.clients import PROJECT
from tests.emulator.discovery import find_method, problems
from tests.processes import EmulatorProcess, start_emulator

# Google's futures ask once a second and ever more rarely; these operations end sooner.
POLL = DEFAULT_POLLING.with_delay(initial=0.05, multiplier=1.2, maximum=0.2).with_timeout(60)


@dataclass
class Compute:
    """compute.v1 by plain REST; every body sent and got is checked against Google's document."""

    url: str
    client: httpx.Client

    def call(
        self, verb: str, path: str, body: Any = None, *, status: int = 200, **query: Any
    ) -> Any:
        """The JSON answer; the status must be the one expected."""
        full = f"compute/v1/projects/{PROJECT}/{path}"
        method = find_method("compute.v1", verb, full)
        assert method, f"{verb} {full}"
        if body is not None and status == 200:
            assert problems("compute.v1", method["request"]["$ref"], body) == []
        answer = self.client.request(verb, f"{self.url}/{full}", json=body, params=query)
        told = answer.json()
        assert answer.status_code == status, told
        if status == 200 and "response" in method:
            assert problems("compute.v1", method["response"]["$ref"], told) == []
        return told

    def reason(self, verb: str, path: str, body: Any = None, *, status: int = 400) -> str:
        """The reason and message of a refusal."""
        error = self.call(verb, path, body, status=status)["error"]
        assert error["code"] == status
        return f"{error['errors'][0]['reason']}: {error['message']}"

    def done(self, operation: Any) -> Any:
        """Wait for an operation with the method that is meant for it."""
        path = operation["selfLink"].split(f"/projects/{PROJECT}/")[1]
        finished = self.call("POST", f"{path}/wait")
        assert finished["status"] == "DONE"
        assert "error" not in finished
        return finished

    @contextmanager
    def held(self, method: str) -> Iterator[None]:
        """Operations that such calls ("networks.*") begin inside end only once it is left."""
        rules = f"{self.url}/_heartwood/faults"
        rule = {"preset": "stuck-operation", "service": "compute", "method": method}
        (made,) = self.client.post(rules, json=rule).json()["faults"]
        yield
        self.client.delete(f"{rules}/{made['id']}").raise_for_status()

    def make(self, collection: str, **body: Any) -> Any:
        """Insert, wait, get."""
        operation = self.call("POST", collection, body)
        assert operation["operationType"] == "insert"
        assert operation["status"] in ("PENDING", "RUNNING")
        self.done(operation)
        return self.call("GET", f"{collection}/{body['name']}")

    def drop(self, path: str) -> None:
        """Delete and wait; it is gone."""
        self.done(self.call("DELETE", path))
        self.call("GET", path, status=404)


@pytest.fixture(scope="package")
def empty() -> Iterator[EmulatorProcess]:
    """An empty project, shared by tests that use names of their own."""
    running = start_emulator("empty-project", speed=300)
    yield running
    running.stop()


@pytest.fixture(scope="package")
def fast() -> Iterator[EmulatorProcess]:
    """An empty project for what takes a quarter of an hour."""
    running = start_emulator("empty-project", speed=1500)
    yield running
    running.stop()


@pytest.fixture(scope="package")
def living() -> Iterator[EmulatorProcess]:
    """The scenario `normal`, to be changed; tests use names and tiers of their own."""
    running = start_emulator("normal", speed=300)
    yield running
    running.stop()


@pytest.fixture(scope="package")
def compute(empty: EmulatorProcess) -> Iterator[Compute]:
    """Compute of the empty project."""
    with httpx.Client(timeout=30) as client:
        yield Compute(empty.rest_url, client)


@pytest.fixture(scope="package")
def living_compute(living: EmulatorProcess) -> Iterator[Compute]:
    """Compute of the project that serves."""
    with httpx.Client(timeout=30) as client:
        yield Compute(living.rest_url, client)
