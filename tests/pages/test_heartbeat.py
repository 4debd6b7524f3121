"""The Heartbeat page: before, after and instead of a measurement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole
from tests.services.planted import Answer, PlantedHttp, planted_http

BEAT: dict[str, Any] = {
    "device": "cpu", "dtype": "f32", "iterations": 100, "ms": 60.0, "spread_ms": 4.0,
    "tflops": 0.2863, "gb_per_s": 4.54, "peak_tflops": 0.768, "peak_gb_per_s": None,
    "peak_published": False, "refused": None,
}  # fmt: skip
BUSY = {"error": {"message": "3 requests are running and would be slowed down", "param": "force"}}


@pytest.fixture
def server(console: FakeConsole) -> Iterator[PlantedHttp]:
    """A server of heartbeats, which the local tier points at."""
    with planted_http() as planted:
        specs = tuple(
            replace(spec, endpoint_url=planted.url if spec.is_local else spec.endpoint_url)
            for spec in console.planted.specs
        )
        console.planted = replace(console.planted, specs=specs)
        yield planted


def say(server: PlantedHttp, body: object, status: int = 200) -> None:
    """What the server answers from now on."""
    server.answers[:] = [Answer(status, json.dumps(body).encode())]


def test_before_a_measurement_nothing_passes_for_one(open_page: Open, server: PlantedHttp) -> None:
    """It says that nothing was measured, calls nobody, and tells why the claim is impossible."""
    text = all_text(open_page("heartbeat"))
    assert "Not measured yet" in text
    assert "0.0056 ms** :red-badge[impossible]" in text
    assert "3.3 times the chip's peak" in text
    assert "0.166 at least" in text
    assert server.seen == []


def test_a_measurement_stands_beside_the_chips(open_page: Open, server: PlantedHttp) -> None:
    """One click asks the server once; rate, time and the share of the bound are shown."""
    bad = {**BEAT, "dtype": "bf16", "refused": "9 times what cpu can do: the clock was stopped"}
    say(server, {"heartbeats": [BEAT, bad]})
    at = open_page("heartbeat")
    at.button(key="measure").click().run()
    assert not at.exception
    text = all_text(at)
    assert "0.286 TFLOP/s" in text
    assert "37% of the upper bound" in at.metric[0].delta
    assert "60 measured" in text
    assert "9 times what cpu can do" in text
    assert server.seen == ["POST /v1/heartbeat"]


def test_a_busy_server_is_told_and_not_forced(open_page: Open, server: PlantedHttp) -> None:
    """A refusal shows the server's own words, and nothing is measured."""
    say(server, BUSY, 409)
    at = open_page("heartbeat")
    at.button(key="measure").click().run()
    assert "3 requests are running" in all_text(at)
    assert not at.metric


def test_without_a_server_there_is_no_button(console: FakeConsole, open_page: Open) -> None:
    """No local server in the settings: no button that could only fail; the plot stays."""
    specs = tuple(replace(spec, endpoint_url="") for spec in console.planted.specs)
    console.planted = replace(console.planted, specs=specs)
    at = open_page("heartbeat")
    assert not [b for b in at.button if b.key == "measure"]
    assert "0.166 at least" in all_text(at)
