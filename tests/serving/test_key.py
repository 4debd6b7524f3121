"""The bearer key of the server's API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from serving.api.app import make_app
from serving.engine import Engine
from serving.metrics import Metrics
from serving.settings import Settings, SettingsError, read_settings

KEY = "a-key-of-some-length"


def ask(path: str, authorization: str | bytes | None, method: str = "GET") -> httpx.Response:
    """What a server with a key answers."""
    settings = read_settings(["--api-key", KEY])
    app = make_app(Engine(Path("none"), settings, Metrics("m")), settings, "m", "none")
    headers = {} if authorization is None else {"Authorization": authorization}

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(call())


@pytest.mark.parametrize("given", [None, "", KEY, f"Basic {KEY}", f"Bearer {KEY}x", b"Bearer \xff"])
def test_without_the_key_nothing_is_answered(given: str | bytes | None) -> None:
    """No key or another one: 401 in OpenAI's shape, whatever is asked for."""
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/heartbeat"),
        ("GET", "/openapi.json"),
    ):
        answer = ask(path, given, method)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert KEY not in answer.text


def test_with_the_key_all_is_as_without_one() -> None:
    """The right key opens the routes; probes and metrics need none."""
    assert ask("/v1/models", f"Bearer {KEY}").json()["data"][0]["id"] == "m"
    for path in ("/health", "/metrics", "/version"):
        assert ask(path, None).status_code == 200


def test_a_key_is_never_shown() -> None:
    """Neither in the settings' own words nor in the error for one that is too short."""
    assert KEY not in repr(read_settings(["--api-key", KEY]))
    with pytest.raises(SettingsError) as told:
        read_settings(["--api-key", "secret"])
    assert "secret" not in str(told.value)
    assert Settings().api_key is None
