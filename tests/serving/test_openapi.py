"""Requests made from the server's own OpenAPI document: right ones and wrong ones."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from serving.api.app import make_app
from serving.engine import Engine
from serving.metrics import Metrics
from serving.settings import Settings
from tests.serving.server_process import ServerProcess

_SETTINGS = Settings()
_APP = make_app(Engine(_SETTINGS.cache_dir, _SETTINGS, Metrics("m")), _SETTINGS, "m", "none")
_SCHEMA = schemathesis.openapi.from_dict(_APP.openapi())
# The heartbeat takes seconds of both cores, and has a test of its own.
_OPERATIONS = {
    f"{found.ok().method.upper()} {found.ok().path}": found.ok()
    for found in _SCHEMA.get_all_operations()
    if found.ok().path != "/v1/heartbeat"
}


_MOST = {"max_tokens": 2, "max_completion_tokens": 2, "n": 2}


def shorten(body: Any) -> Any:
    """The same request for few tokens, where its numbers are right; a wrong one stays as it is."""
    if isinstance(body, list):
        return [shorten(item) for item in body[:3]]
    if not isinstance(body, dict):
        return body
    short = {name: shorten(value) for name, value in body.items()}
    for name, most in _MOST.items():
        if isinstance(short.get(name), int) and short[name] > most:
            short[name] = most
    return short


@pytest.mark.parametrize("name", sorted(_OPERATIONS))
def test_nothing_that_the_document_allows_or_forbids_breaks_the_server(
    name: str, server: ServerProcess
) -> None:
    """Every answer is one that the envelope promises, never a 500; the server goes on."""
    operation = _OPERATIONS[name]
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    cases = right
    if operation.body:
        cases = right | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def check(case: Any) -> None:
        case.body = shorten(case.body)
        answer = case.call(base_url=server.url, timeout=60)
        # A request may ask for less time than any answer takes.
        assert answer.status_code < 500 or answer.status_code == 504, (case.body, answer.text)
        if answer.status_code >= 400:
            assert set(json.loads(answer.content)) == {"error"}

    check()
    assert httpx.get(f"{server.url}/ready").status_code == 200
