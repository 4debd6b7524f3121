"""The router over HTTP: an OpenAI-compatible endpoint that passes requests to the tiers they fit.

`POST /router/v1/chat/completions` and `GET /router/v1/models`, as ASGI; `server.py` mounts them.
What comes back is the tier's own answer, byte for byte as it comes, with headers that tell who gave
it and why. Deciding is `control/router.py`'s, calling `services/chat_proxy.py`'s, and who is let in
`control/router_admission.py`'s.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from control.router import Routed, Router
from control.router_admission import Admission, Refused, error_response, read_body
from core.errors import HeartwoodError, OpsError
from core.router import AUTO, Decision, Rule
from services.chat_proxy import ChatProxy, PassedAnswer

PREFIX: Final = "/router/v1"
TIER: Final = "x-heartwood-tier"
ROUTE: Final = "x-heartwood-route"
REASON: Final = "x-heartwood-route-reason"
ID: Final = "x-heartwood-route-id"
_AGAIN_S: Final = 5  # a refused client may ask again: sources are read about as often
_CLIENT_LEFT: Final = 499
_PASSED: Final = ("content-type", "retry-after", "www-authenticate")
_OURS: Final = "x-heartwood-"


class RouterEndpoint:
    """Both routes; for one event loop, which `aclose` has to run in."""

    def __init__(
        self, router: Callable[[], Router], bound: Callable[[], str | None], origin: str = "api"
    ) -> None:
        """Nothing is asked for before the first request.

        Args:
            router: the console's.
            bound: the address that the console listens on; None: on all of them.
            origin: who asks, as the decisions keep it.
        """
        self._find, self._bound, self._origin = router, bound, origin
        self._proxy: ChatProxy | None = None

    async def aclose(self) -> None:
        """Close the connections to the tiers."""
        if self._proxy is not None:
            await self._proxy.aclose()

    @property
    def _router(self) -> Router:
        return self._find()

    def _refuse(self, request: Request) -> Response | None:
        return Admission.of(self._router.settings, self._bound()).refuse(request)

    def routes(self) -> list[Route]:
        """For an application."""
        return [
            Route(f"{PREFIX}/chat/completions", _Chat(self), methods=["POST"]),
            Route(f"{PREFIX}/models", self.models),
        ]

    async def models(self, request: Request) -> Response:
        """ "auto", and every tier that serves now."""
        refused = self._refuse(request)
        if refused is not None:
            return refused
        probe = await asyncio.to_thread(
            self._router.decide, {"messages": [{"role": "user", "content": ""}]}
        )
        names = [AUTO, *(c.tier for c in probe.considered if c.serves)]
        found = [{"id": n, "object": "model", "owned_by": "heartwood", "created": 0} for n in names]
        return JSONResponse({"object": "list", "data": found})

    async def chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One chat request."""
        request = Request(scope, receive)
        refused = self._refuse(request)
        if refused is not None:
            await refused(scope, receive, send)
            return
        try:
            body = await read_body(request)
            routed = await asyncio.to_thread(self._route, body)
        except ClientDisconnect:
            return
        except Refused as error:
            await error.response(scope, receive, send)
            return
        if not routed.decision.tier:
            await _nobody(routed)(scope, receive, send)
            return
        await self._pass(body, routed, receive, send)

    def _route(self, body: dict[str, Any]) -> Routed:
        model = body.get("model")
        names = [spec.name for spec in self._router.settings.tiers]
        if model is not None and model not in (AUTO, *names):
            known = ", ".join((AUTO, *names))
            raise Refused(error_response(
                404, f"There is no tier {str(model)[:80]!r}; model is one of {known}.",
                code="model_not_found", param="model",
            ))  # fmt: skip
        try:
            return self._router.route(body, self._origin)
        except ValueError as error:
            raise Refused(error_response(400, str(error), code="invalid_request")) from error

    async def _pass(
        self, body: dict[str, Any], routed: Routed, receive: Receive, send: Send
    ) -> None:
        """Have the tier answer, until it has or the client leaves, which ends its request."""
        state = _State(routed)
        passing = asyncio.create_task(self._forward(body, state, send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((passing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if passing.done():
                passing.result()
            else:
                state.outcome, state.status = "client left", state.status or _CLIENT_LEFT
        finally:
            passing.cancel()
            leaving.cancel()
            await asyncio.gather(passing, leaving, return_exceptions=True)
            self._router.ended(routed, state.outcome, state.status, state.landed)

    async def _forward(self, body: dict[str, Any], state: _State, send: Send) -> None:
        decision = state.routed.decision
        # The server's choice: "auto" and a tier's name are no names of its models.
        sent = {name: value for name, value in body.items() if name != "model"}
        key = self._router.key_for(decision.tier, decision.url)
        if self._proxy is None:
            self._proxy = ChatProxy(self._router.settings.router.silence_s)
        try:
            async with self._proxy.ask(decision.url, sent, api_key=key) as answer:
                state.landed = answer.headers.get(TIER, "")
                state.status = answer.status
                await _send_on(answer, state, send)
            state.outcome = "answered" if answer.status < 400 else f"HTTP {answer.status}"
        except OpsError as error:
            state.outcome = f"{error.kind}: {error.message}"
            await _tell(error, state, send)


@dataclass(slots=True)
class _State:
    """How far a request has come; `begun`: the head of its answer has gone out."""

    routed: Routed
    outcome: str = "failed"
    status: int | None = None
    landed: str = ""
    begun: bool = False


class _Chat:
    """The chat route as an ASGI application, which sees its client leave."""

    def __init__(self, endpoint: RouterEndpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._endpoint.chat(scope, receive, send)


def route_headers(routed: Routed, landed: str = "") -> dict[str, str]:
    """What tells a client who answered, by which rule and why."""
    decision = routed.decision
    return {
        TIER: landed or decision.tier,
        ROUTE: decision.rule.value,
        REASON: _ascii(decision.reason),
        ID: routed.id,
    }


def _ascii(text: str) -> str:
    return " ".join(text.encode("ascii", "replace").decode().split())


def _nobody(routed: Routed) -> JSONResponse:
    decision: Decision = routed.decision
    refused = {c.tier: c.why for c in decision.considered}
    headers = {k: v for k, v in route_headers(routed).items() if v}
    text = f"No answer: {decision.reason}."
    if decision.rule is Rule.NONE:
        text = "No tier can take this request now; error.tiers says why for each."
    return error_response(
        503, text, code="no_tier", headers={**headers, "retry-after": str(_AGAIN_S)},
        more={"tiers": refused},
    )  # fmt: skip


async def _send_on(answer: PassedAnswer, state: _State, send: Send) -> None:
    """The head, then every part as it comes; an answer in one piece only once it is whole."""
    ours = {k: v for k, v in answer.headers.items() if k.startswith(_OURS)}
    ours |= {k: v for k, v in answer.headers.items() if k in _PASSED}
    headers = ours | route_headers(state.routed, state.landed)
    if not answer.is_stream:
        body = await answer.whole()
        headers["content-length"] = str(len(body))
        await _begin(answer.status, headers, state, send)
        await send({"type": "http.response.body", "body": body})
        return
    await _begin(answer.status, headers | {"cache-control": "no-store"}, state, send)
    async for part in answer.parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _begin(status: int, headers: Mapping[str, str], state: _State, send: Send) -> None:
    state.begun = True
    raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _tell(error: HeartwoodError, state: _State, send: Send) -> None:
    """A tier that did not answer, or not to the end."""
    if state.begun:  # a stream: its events are the only place left
        event = {"error": {"message": error.message, "type": "server_error", "code": "broken_off"}}
        data = f"data: {json.dumps(event)}\n\n".encode()
        await send({"type": "http.response.body", "body": data})
        return
    state.status = 502
    answer = error_response(
        502, f"{state.routed.decision.tier}: {error.message}", code="tier_unavailable",
        headers=route_headers(state.routed),
    )  # fmt: skip
    await answer({"type": "http"}, _never, send)


async def _never() -> Any:
    raise AssertionError("an answer reads nothing")


async def _left(receive: Receive) -> None:
    with suppress(ClientDisconnect):
        while (await receive())["type"] != "http.disconnect":
            pass
