"""Kubernetes clients of the running emulator, as the ordinary Python package builds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from kubernetes import client

from tests.processes import EmulatorProcess, start_emulator

PATH = "/k8s/heartwood-demo/us-central1/hw-serving"


def make_api(running: EmulatorProcess) -> client.ApiClient:
    """The package's client of the one cluster."""
    settings = client.Configuration()
    settings.host = running.rest_url + PATH
    return client.ApiClient(settings)


def make_http(running: EmulatorProcess) -> httpx.Client:
    """Plain HTTP to the same."""
    return httpx.Client(base_url=running.rest_url + PATH, timeout=120, trust_env=False)


@pytest.fixture(scope="session")
def api(emulator: EmulatorProcess) -> client.ApiClient:
    """Of the scenario `normal`; read only."""
    return make_api(emulator)


@pytest.fixture(scope="session")
def http(emulator: EmulatorProcess) -> Iterator[httpx.Client]:
    """Of the scenario `normal`; read only."""
    with make_http(emulator) as opened:
        yield opened


@pytest.fixture(scope="package")
def writable() -> Iterator[EmulatorProcess]:
    """An emulator whose objects the tests of writes change, each in a namespace of its own."""
    running = start_emulator("normal", speed=600)
    yield running
    running.stop()


@pytest.fixture
def cluster(writable: EmulatorProcess) -> Iterator[httpx.Client]:
    """Plain HTTP to it."""
    with make_http(writable) as opened:
        yield opened


@pytest.fixture
def namespace(cluster: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A fresh namespace, named after the test."""
    name = request.node.name.removeprefix("test_").replace("_", "-").split("[")[0][:50].strip("-")
    answer = cluster.post("/api/v1/namespaces", json={"metadata": {"generateName": f"{name}-"}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["metadata"]["name"])


@pytest.fixture(scope="package")
def full(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Of the scenario `full-fleet`."""
    running = start_emulator("full-fleet")
    with make_http(running) as opened:
        yield opened
    running.stop()


Get = Callable[..., httpx.Response]
