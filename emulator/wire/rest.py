"""The REST side: one ASGI application, a prefix per service, JSON in Google's style."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from emulator.wire.call import Call, invoke
from emulator.wire.codec import decode_request, encode_response
from emulator.wire.errors import ApiError, to_envelope
from emulator.wire.http_rules import Match, Router
from emulator.wire.library import Method
from emulator.wire.mount import Asgi, Mount, RouterMount

if TYPE_CHECKING:
    from emulator.context import Cloud


class RestService:
    """Every mounted service under one prefix."""

    def __init__(self, cloud: Cloud, mounts: Iterable[Mount]) -> None:
        self._cloud = cloud
        self._owner: dict[int, Mount] = {}
        methods: list[Method] = []
        for mount in mounts:
            for method in mount.methods():
                self._owner[id(method)] = mount
                methods.append(method)
        self._methods = methods
        self._router = Router(_served_first(methods, self._owner))
        self._legacy = any(m.legacy_errors for m in self._owner.values())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        body = await request.body()
        work = partial(self._answer, request, body)
        response = await asyncio.get_running_loop().run_in_executor(None, work)
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        query = request.query_params.multi_items()
        try:
            match = self._find(request, dict(query))
            mount = self._owner[id(match.route.method)]
            message = decode_request(match, query, body)
            headers = {k.lower(): v for k, v in request.headers.items()}
            base = str(request.base_url).rstrip("/")
            call = Call("rest", match.route.method, headers, base, tuple(query))
            payload = encode_response(
                invoke(self._cloud, mount.handler, message, call), dict(query)
            )
        except ApiError as error:
            envelope = to_envelope(error, legacy=self._legacy)
            return json_response(envelope, error.http_status)
        return Response(payload, media_type="application/json; charset=UTF-8")

    def _find(self, request: Request, query: Mapping[str, str]) -> Match:
        path = _path(request)
        verb = request.headers.get("x-http-method-override", request.method)
        match = self._router.match(verb, path)
        if match is None:
            allowed = self._router.verbs(path)
            hint = f" It takes: {', '.join(allowed)}." if allowed else ""
            raise ApiError(
                "NOT_FOUND", f"The requested URL {verb} {path} was not found on this server.{hint}"
            )
        return match


def _served_first(methods: list[Method], owner: Mapping[int, Mount]) -> list[Method]:
    """Served methods first, so that of equal rules the served one is found."""
    return sorted(methods, key=lambda m: not hasattr(owner[id(m)].handler, m.name))


def _path(request: Request) -> str:
    """The path below the prefix, still percent-encoded, so that %2F stays within a segment."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.decode("latin-1").split("?", 1)[0]
    return path.removeprefix(request.scope.get("root_path", ""))


def json_response(body: Any, status: int = 200) -> Response:
    """A JSON answer with Google's content type."""
    return Response(
        json.dumps(body, ensure_ascii=False), status, media_type="application/json; charset=UTF-8"
    )


class RestApp:
    """Gives a request to the service, router or page whose prefix is the longest that fits."""

    def __init__(
        self, cloud: Cloud, mounts: Iterable[Mount | RouterMount], pages: Mapping[str, Asgi]
    ) -> None:
        grouped: dict[str, list[Mount]] = {}
        self._apps: dict[str, Asgi] = dict(pages)
        for mount in mounts:
            if isinstance(mount, RouterMount):
                self._apps[mount.prefix] = mount.app
                continue
            for prefix in (mount.prefix, *mount.aliases):
                grouped.setdefault(prefix, []).append(mount)
        for prefix, group in grouped.items():
            self._apps[prefix] = RestService(cloud, group)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Route one ASGI event; lifespans are the process's own business."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        for prefix in sorted(self._apps, key=len, reverse=True):
            if prefix == "" or path == prefix or path.startswith(prefix + "/"):
                inner = {**scope, "root_path": scope.get("root_path", "") + prefix}
                await self._apps[prefix](inner, receive, send)
                return
        error = ApiError("NOT_FOUND", f"The requested URL {path} was not found on this server.")
        await json_response(to_envelope(error), 404)(scope, receive, send)
