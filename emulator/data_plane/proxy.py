"""The application behind the data plane's port: one request, from the URL map to the last byte.

Bytes of an answer are passed on as they come, but no server-sent event earlier than the tier's pace
lets it. Statuses and statusDetails of failures are Google's for the global external Application
Load Balancer, from memory; the words of the bodies are Envoy's.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from emulator.apis.monitoring.carried import Way, carried_of
from emulator.context import Cloud
from emulator.data_plane.access_log import AccessLog, Served
from emulator.data_plane.choice import Choice
from emulator.data_plane.fronts import Redirect, Route, find_route
from emulator.data_plane.members import Member, Members
from emulator.data_plane.pace import Pace, Paces
from emulator.data_plane.requests import Asked, Gone, answer, read_asked
from emulator.faults.breaking import reset

LOOK_S: Final = 1.0  # how often a running answer's machine is looked at
_TIMEOUT_S: Final = 30.0  # a backend service's, where it does not say
_DRAIN_S: Final = 0.0
_GATEWAY: Final = (502, 503, 504)


class _Failed(Exception):
    """No answer from the backend: what the load balancer says in its place."""

    def __init__(self, status: int, details: str, text: str) -> None:
        super().__init__(details)
        self.status, self.details, self.text = status, details, text


class _Cut(Exception):
    """An answer that has begun cannot go on; the message is its statusDetails."""


@dataclass(slots=True)
class _Answer:
    """How far a request's answer has come; `asked`: when its endpoint was."""

    route: Route
    began: float
    asked: float | None = None
    status: int = 0
    sent_bytes: int = 0
    details: str = "response_sent_by_backend"
    member: Member | None = None


class DataPlane:
    """ASGI application."""

    def __init__(self, cloud: Cloud, members: Members, client: httpx.AsyncClient) -> None:
        self._cloud, self._client = cloud, client
        self._paces, self._log = Paces(cloud), AccessLog(cloud)
        self._carried = carried_of(cloud)
        self._chance = random.Random(cloud.seed)
        self._choice = Choice(members, self._chance)

    def close(self) -> None:
        """After the last request: what the log still has to hand on goes out."""
        self._log.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        try:
            asked = await read_asked(scope, receive)
        except Gone:
            return
        if asked is None:
            await answer(send, 413, "payload too large for this emulator\n")
            return
        route = find_route(self._cloud, asked.host, asked.path, self._chance.random())
        if route is None:
            text = "no forwarding rule leads to a backend service for this request\n"
            await answer(send, 404, text, {"x-heartwood-backend": "none"})
        elif isinstance(route, Redirect):
            await answer(send, route.status, "", {"location": route.location})
        else:
            await self._serve(asked, route, receive, send)

    async def _serve(self, asked: Asked, route: Route, receive: Any, send: Any) -> None:
        state = _Answer(route, time.monotonic())
        passing = asyncio.create_task(self._pass(asked, state, send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((passing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not passing.done():
                state.details = "client_disconnected_after_partial_response" if state.status else (
                    "client_disconnected_before_any_response"
                )  # fmt: skip
                state.status = state.status or 499
            elif isinstance(passing.exception(), _Cut):
                state.details = str(passing.exception())
                leaving.cancel()
                await reset(asked.scope, receive)
            else:
                passing.result()
        finally:
            passing.cancel()
            leaving.cancel()
            await asyncio.gather(passing, leaving, return_exceptions=True)
            self._count(asked, state)

    async def _pass(self, asked: Asked, state: _Answer, send: Any) -> None:
        """Answer, trying again as the route says while nothing has been sent."""
        tried: frozenset[str] = frozenset()
        limit_s = float(state.route.service.get("timeoutSec", _TIMEOUT_S))
        for attempt in range(state.route.retries + 1):
            last = attempt == state.route.retries
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + limit_s):
                    status = await self._attempt(asked, state, send, tried, last=last)
            except TimeoutError as error:
                self._ended(state, 504)
                if state.status:
                    raise _Cut("backend_timeout") from error
                failed = _Failed(504, "backend_timeout", "upstream request timeout")
            except _Cut:
                self._ended(state, 502)
                raise
            except _Failed as error:
                self._ended(state, error.status)
                failed = error
            else:
                self._ended(state, status)
                if state.status:
                    return
                tried |= {state.member.name} if state.member else set()
                continue
            if last or not _again(state.route, failed.status, connected=False):
                state.status, state.details = failed.status, failed.details
                headers = _ours(state)
                state.sent_bytes = await answer(send, failed.status, failed.text, headers)
                return
            tried |= {state.member.name} if state.member else set()

    async def _attempt(
        self, asked: Asked, state: _Answer, send: Any, tried: frozenset[str], *, last: bool
    ) -> int:
        """One endpoint's answer, sent on unless another is to be tried; returns its status."""
        member = state.member = self._choice.pick(state.route.service, tried)
        if member is None:
            raise _Failed(503, "failed_to_pick_backend", "no healthy upstream")
        paced = asked.verb == "POST" and not member.server
        pace = self._paces.draw(member.tier) if paced else Pace(0.0, 0.0, 0.0)
        if pace is None:
            raise _Failed(503, "failed_to_connect_to_backend",
                          "upstream connect error: nothing answers at this endpoint")  # fmt: skip
        state.asked = time.monotonic()
        await self._hold(member, pace.queue_s, state)
        if pace.status != 200:
            if not last and _again(state.route, pace.status, connected=True):
                return pace.status
            state.status = pace.status
            text = '{"error": {"message": "simulated failure of the server"}}'
            state.sent_bytes = await answer(send, pace.status, text, _ours(state, pace))
            return pace.status
        came = time.monotonic()
        request = self._client.build_request(
            asked.verb, member.server + state.route.path, headers=asked.sent_on(),
            content=asked.body,
        )  # fmt: skip
        try:
            response = await self._client.send(request, stream=True)
        except httpx.TransportError as error:
            text = "upstream connect error or disconnect/reset before headers"
            raise _Failed(503, "failed_to_connect_to_backend", text) from error
        try:
            if last or not _again(state.route, response.status_code, connected=True):
                await self._forward(response, state, send, pace, came)
        finally:
            await response.aclose()
        return response.status_code

    async def _forward(
        self, response: httpx.Response, state: _Answer, send: Any, pace: Pace, came: float
    ) -> None:
        """Pass an answer on at the tier's pace."""
        assert state.member is not None
        events = response.headers.get("content-type", "").startswith("text/event-stream")
        due = came + pace.prefill_s
        if not events and response.status_code < 400:
            body = b"".join([part async for part in response.aiter_raw()])
            due += pace.token_s * _tokens(body)
            parts: AsyncIterator[bytes] = _whole(body)
        else:
            parts = response.aiter_raw()
        await self._hold(state.member, due - time.monotonic(), state)
        state.status = response.status_code
        headers = [(k, v) for k, v in response.headers.raw if k.lower() not in _HOP]
        headers += [(k.encode(), v.encode()) for k, v in _ours(state, pace).items()]
        await send({"type": "http.response.start", "status": state.status, "headers": headers})
        try:
            async for part in parts:
                await self._hold(state.member, due - time.monotonic(), state)
                await send({"type": "http.response.body", "body": part, "more_body": True})
                state.sent_bytes += len(part)
                due += pace.token_s * part.count(b"\n\n") if events else 0.0
        except httpx.TransportError as error:
            raise _Cut("backend_connection_closed_after_partial_response_sent") from error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _hold(self, member: Member, wait_s: float, state: _Answer) -> None:
        """Wait, as long as the machine that answers is there."""
        until = time.monotonic() + wait_s
        while True:
            if not _is_there(member, state.route):
                details = "backend_connection_closed_after_partial_response_sent"
                if state.status:
                    raise _Cut(details)
                raise _Failed(502, "backend_connection_closed_before_data_sent_to_client",
                              "upstream connection ended before an answer")  # fmt: skip
            left = until - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, LOOK_S))

    def _ended(self, state: _Answer, status: int) -> None:
        if state.member is not None:
            self._choice.ended(state.route.service, state.member, status)

    def _count(self, asked: Asked, state: _Answer) -> None:
        route, now = state.route, time.monotonic()
        name = route.service_name
        way = Way(
            route.rule, route.proxy, route.url_map, route.path_rule, name,
            state.member.group if state.member else "",
            f"HTTP/{asked.scope['http_version']}", state.status,
        )  # fmt: skip
        took = None if state.asked is None else (now - state.asked) * 1e3
        self._carried.add(way, (now - state.began) * 1e3, took)
        self._cloud.calls.count("load-balancer", name, "http", str(state.status))
        server = state.member.address.rpartition(":")[0] if state.member else ""
        served = Served(
            asked.verb, asked.url, asked.client, asked.headers.get("user-agent", ""), state.status,
            len(asked.body), state.sent_bytes, now - state.began, state.details,
            server,
        )  # fmt: skip
        self._log.write(route, served)


_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade",
     b"proxy-authenticate", b"proxy-authorization", b"date", b"server")
)  # fmt: skip


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _tokens(body: bytes) -> int:
    """Generated tokens that an answer in one piece says it has; 0 where it does not say."""
    try:
        found = json.loads(body)
    except ValueError:
        return 0
    usage = found.get("usage") if isinstance(found, dict) else None
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else 0


def _is_there(member: Member, route: Route) -> bool:
    """Whether an endpoint's machine still computes: one that left its group drains for a while.

    Of a process of this machine its own connection tells.
    """
    if member.server:
        return True
    if member.gone_at is None:
        return member.answers
    draining = route.service.get("connectionDraining", {})
    return time.monotonic() - member.gone_at < float(draining.get("drainingTimeoutSec", _DRAIN_S))


def _again(route: Route, status: int, *, connected: bool) -> bool:
    """Whether the route's retry policy holds for this outcome."""
    conditions = route.retry_on
    return (
        (status >= 500 and "5xx" in conditions)
        or (status in _GATEWAY and "gateway-error" in conditions)
        or (not connected and "connect-failure" in conditions)
    )


def _ours(state: _Answer, pace: Pace | None = None) -> Mapping[str, str]:
    """Headers that tell who answered, and what of it is simulated."""
    told = {"via": "1.1 google", "x-heartwood-backend": state.route.service_name}
    if state.member is not None:
        told |= {"x-heartwood-tier": state.member.tier, "x-heartwood-endpoint": state.member.name}
    if pace is not None and pace.token_s:
        told["x-heartwood-simulated"] = (
            f"queue {pace.queue_s * 1e3:.0f} ms, first token after {pace.prefill_s * 1e3:.0f} ms, "
            f"{pace.token_s * 1e3:.1f} ms a token at the quickest; words by this machine's server"
        )
    return told
