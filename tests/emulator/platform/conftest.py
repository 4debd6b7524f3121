"""An emulator that the tests of this folder may change, and REST calls that are validated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.emulator.clients import HTTP
from tests.emulator.discovery import find_method, problems, response_problems
from tests.processes import EmulatorProcess, start_emulator

Rest = Callable[..., Any]


@pytest.fixture(scope="package")
def platform() -> Iterator[EmulatorProcess]:
    """The scenario `normal`; each test has resources of its own."""
    running = start_emulator("normal", speed=1200)
    yield running
    running.stop()


@pytest.fixture
def rest(platform: EmulatorProcess) -> Rest:
    """`rest(document, prefix, verb, path, body, status=200)`: bodies are checked both ways.

    The request by Google's discovery document, where the call is meant to succeed, and so is the
    answer; a refusal by Google's envelope. Returns the answer's JSON.
    """

    def call(
        document: str, prefix: str, verb: str, path: str, body: Any = None, status: int = 200,
        **query: str,
    ) -> Any:  # fmt: skip
        url = f"{platform.rest_url}{prefix}/{path}"
        answer = HTTP.request(verb, url, json=body, params=query)
        found = answer.json()
        assert answer.status_code == status, found
        if status != 200:
            assert found["error"]["code"] == status
            return found["error"]
        method = find_method(document, verb, path)
        if method is not None and body is not None:
            assert problems(document, method["request"]["$ref"], body) == []
        assert response_problems(document, verb, path, found) == []
        return found

    return call
