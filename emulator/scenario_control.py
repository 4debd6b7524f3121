"""The control call /_heartwood/scenarios on the REST port: list, show with the truth, switch.

GET lists all, GET /NAME shows one, POST /NAME begins its story on the running fleet (a body
`{"starts_in_s": 300}`; negative: as if it had begun so long ago) or, without a story, ends the one
that runs. What a switch does is storyteller.py's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from emulator.clock import rfc3339
from emulator.scenario import SCENARIOS, Scenario
from emulator.storyteller import Storyteller, scenario_named
from emulator.wire.errors import ApiError, invalid, to_envelope
from emulator.wire.rest import json_response
from emulator.world.stories import Running, tiers_hit
from emulator.world.world import world_of

if TYPE_CHECKING:
    from emulator.context import Cloud

PATH: Final = "/_heartwood/scenarios"
_KEY: Final = "starts_in_s"
_EARLIEST_S: Final = -6 * 3600.0
_LATEST_S: Final = 7 * 86_400.0


class ScenarioControl:
    """The ASGI application."""

    def __init__(self, cloud: Cloud, teller: Storyteller) -> None:
        self._cloud, self._teller = cloud, teller

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        raw = await request.body()
        path = str(scope["path"]).removeprefix(scope.get("root_path", "")).strip("/")
        try:
            answer: Response = json_response(self._do(request.method, path, raw))
        except ApiError as error:
            answer = json_response(to_envelope(error), error.http_status)
        await answer(scope, receive, send)

    def _do(self, verb: str, name: str, raw: bytes) -> Any:
        if verb == "GET" and not name:
            return {
                "scenarios": [_line(s) for s in SCENARIOS.values()],
                "started_with": self._cloud.scenario.name,
                "running": self._running(),
            }
        if verb == "GET":
            return self._shown(scenario_named(name))
        if verb == "POST" and name:
            scenario = scenario_named(name)
            start = self._cloud.clock.now() + _starts_in_s(raw)
            self._teller.switch(scenario, start)
            return self._shown(scenario)
        raise ApiError("UNIMPLEMENTED", f"{PATH} takes GET; a scenario GET and POST.")

    def _shown(self, scenario: Scenario) -> dict[str, Any]:
        """A scenario with all of its truth."""
        story = scenario.story
        if story is None:
            return _line(scenario)
        whole = story.model_dump(exclude_defaults=True)
        world = world_of(self._cloud)
        whole["tiers"] = tiers_hit(story, world.parts)
        running = self._running()
        mine = running if running and running["scenario"] == scenario.name else None
        return {**_line(scenario), "story": whole, "running": mine}

    def _running(self) -> dict[str, Any] | None:
        running = self._teller.running()
        return None if running is None else _truth(running, self._cloud.clock.now())


def _line(scenario: Scenario) -> dict[str, Any]:
    """What the list says of a scenario."""
    return {
        "name": scenario.name,
        "title": scenario.title,
        "tiers": {
            t.name: {
                "gke_slices": t.gke_slices, "vertex_replicas": t.vertex_replicas,
                "tpu_vms": t.tpu_vms, "spot": t.spot,
            }
            for t in scenario.tiers
        },
        "has_story": scenario.story is not None,
    }  # fmt: skip


def _truth(running: Running, now: float) -> dict[str, Any]:
    """Which story, from when to when, and whether that is now."""
    state = "coming" if now < running.start else "running" if now < running.end else "over"
    return {
        "scenario": running.scenario, "cause": running.story.cause, "state": state,
        "start": rfc3339(running.start, "milliseconds"),
        "end": rfc3339(running.end, "milliseconds"),
    }  # fmt: skip


def _starts_in_s(raw: bytes) -> float:
    """When the story is to begin, in seconds from now.

    Raises:
        ApiError: INVALID_ARGUMENT, the body is not of that form.
    """
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body must be JSON: {error}") from error
    if not isinstance(body, Mapping) or not set(body) <= {_KEY}:
        raise invalid(f"The body must be an object with no key but {_KEY}.")
    value = body.get(_KEY, 0.0)
    number = float(value) if type(value) in (int, float) else float("nan")
    if not _EARLIEST_S <= number <= _LATEST_S:
        told = f"must be a number from {_EARLIEST_S:g} to {_LATEST_S:g}; it is {value!r}"
        raise invalid(f"{_KEY}: {told}", field=_KEY)
    return number
