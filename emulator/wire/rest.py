"""The REST side: one ASGI application, a prefix per service, JSON in Google's style."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from google.api import httpbody_pb2
from starlette.requests import Request
from starlette.responses import Response

from emulator.faults.breaking import Truncating, reset
from emulator.journal.http import ChangingApps
from emulator.wire.call import Call, Fate, check_enabled, invoke
from emulator.wire.codec import decode_request, encode_response
from emulator.wire.errors import ApiError, to_envelope
from emulator.wire.http_rules import Match, Router
from emulator.wire.mount import Asgi, Mount, RouterMount
from emulator.wire.partial import asked_for
from emulator.wire.waiting import Waiting, wait_rest

if TYPE_CHECKING:
    from emulator.context import Cloud

_LOG = logging.getLogger("emulator")
_THREADS = 32
Payload = tuple[bytes, str]  # a body and its type
_JSON = "application/json; charset=UTF-8"


class RestService:
    """Every mounted service under one prefix; their types are loaded by `load`, at the latest on
    the first request (compute's alone take a second).
    """

    def __init__(self, cloud: Cloud, mounts: Iterable[Mount], threads: Executor) -> None:
        self._cloud = cloud
        self._mounts = tuple(mounts)
        self._legacy = any(m.legacy_errors for m in self._mounts)
        self._loading = threading.Lock()
        self._owner: dict[int, Mount] = {}
        self._router: Router | None = None
        self._threads = threads

    def load(self) -> Router:
        """Read the libraries' rules, once."""
        with self._loading:
            if self._router is None:
                methods = [(m, mount) for mount in self._mounts for m in mount.methods()]
                self._owner = {id(m): mount for m, mount in methods}
                # Served methods first: of equal rules (shared mix-ins) the served one is found.
                methods.sort(key=lambda pair: not hasattr(pair[1].handler, pair[0].name))
                self._router = Router([m for m, _ in methods])
            return self._router

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        body = await request.body()
        fate = Fate()
        within = partial(asyncio.get_running_loop().run_in_executor, self._threads, self._answer)
        response = await within(partial(self._payload, request, body, fate))
        if isinstance(response, Waiting):
            await wait_rest(response, request)
            response = await within(response.answer)
        if fate.wait_s:
            await asyncio.sleep(fate.wait_s)
        if fate.cut == "reset":
            await reset(scope, receive)
            return
        await response(scope, receive, Truncating(scope, receive, send) if fate.cut else send)

    def _answer(self, make: Callable[[], Payload | Waiting]) -> Response | Waiting:
        try:
            made = make()
        except ApiError as error:
            return json_response(to_envelope(error, legacy=self._legacy), error.http_status)
        except Exception:  # noqa: BLE001 - a caller never gets less than Google's envelope
            _LOG.exception("an answer over REST failed")
            error = ApiError("INTERNAL", "Internal error encountered.")
            return json_response(to_envelope(error, legacy=self._legacy), error.http_status)
        return made if isinstance(made, Waiting) else Response(made[0], media_type=made[1])

    def _payload(self, request: Request, body: bytes, fate: Fate) -> Payload | Waiting:
        query = request.query_params.multi_items()
        match = self._find(request)
        mount = self._owner[id(match.route.method)]
        headers = {k.lower(): v for k, v in request.headers.items()}
        keep = asked_for(dict(query))
        message = decode_request(match, query, body, headers.get("content-type", ""))
        base = str(request.base_url).rstrip("/")
        path = _path(request)
        call = Call("rest", match.route.method, headers, base, tuple(query), body, fate, path)
        answer = invoke(self._cloud, mount.handler, message, call)
        if isinstance(answer, Waiting):
            later = answer.answer
            return replace(answer, answer=lambda: _encoded(later(), dict(query), keep))
        return _encoded(answer, dict(query), keep)

    def _find(self, request: Request) -> Match:
        path = _path(request)
        verb = request.method
        router = self.load()
        match = router.match(verb, path) or router.match(verb, request.scope["root_path"] + path)
        if match is None:
            allowed = router.verbs(path)
            hint = f" It takes: {', '.join(allowed)}." if allowed else ""
            raise ApiError(
                "NOT_FOUND", f"The requested URL {verb} {path} was not found on this server.{hint}"
            )
        return match


def _encoded(answer: Any, query: dict[str, str], keep: Callable[[Any], Any]) -> Payload:
    if isinstance(answer, httpbody_pb2.HttpBody):
        return answer.data, answer.content_type
    return encode_response(answer, query, keep), _JSON


def _overridden(scope: Any) -> Any:
    """The request that a POST to one of Google's APIs stands for, for everybody behind this.

    Where one reader took the header's word and another the request's, a write could pass for a
    read.
    """
    name = b"x-http-method-override"
    verb = next((v for k, v in scope["headers"] if k == name), None)
    if verb is None:
        return scope
    headers = [(k, v) for k, v in scope["headers"] if k != name]
    google = scope["method"] == "POST" and not scope["path"].startswith("/k8s/")
    method = verb.decode("latin-1").upper() if google else scope["method"]
    return {**scope, "method": method, "headers": headers}


def _path(request: Request) -> str:
    """The path below the prefix, still percent-encoded, so that %2F stays within a segment."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.decode("latin-1").split("?", 1)[0]
    return path.removeprefix(request.scope.get("root_path", ""))


def json_response(body: Any, status: int = 200) -> Response:
    """A JSON answer with Google's content type; ASCII, as it may quote a caller's bad Unicode."""
    return Response(json.dumps(body), status, media_type=_JSON)


class _Enabled:
    """A router's application, refused while the project has disabled its service."""

    def __init__(self, cloud: Cloud, mount: RouterMount, app: Asgi) -> None:
        self._cloud, self._mount, self._app = cloud, mount, app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            check_enabled(self._cloud, self._mount.service)
        except ApiError as error:
            refusal = json_response(to_envelope(error, legacy=True), error.http_status)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


class RestApp:
    """Gives a request to the service, router or page whose prefix is the longest that fits.

    Attributes:
        changing: the routers' applications, by which their changes are made.
    """

    def __init__(
        self, cloud: Cloud, mounts: Iterable[Mount | RouterMount], pages: Mapping[str, Asgi]
    ) -> None:
        from emulator.faults.routers import GatedApp  # it imports APIs, and those Google's types

        grouped: dict[str, list[Mount]] = {}
        self._apps: dict[str, Asgi] = dict(pages)
        self.changing = ChangingApps(cloud.changes)
        for mount in mounts:
            if isinstance(mount, RouterMount):
                inner = self.changing.app(mount)
                inner = _Enabled(cloud, mount, inner) if mount.service else inner
                self._apps[mount.prefix] = GatedApp(cloud, mount, inner)
                continue
            grouped.setdefault(mount.prefix, []).append(mount)
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rest")
        self._services = [RestService(cloud, group, threads) for group in grouped.values()]
        self._apps.update(zip(grouped, self._services, strict=True))

    def load(self) -> None:
        """Load every service's types, so that no first request has to wait for them."""
        for service in self._services:
            service.load()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Route one ASGI event; lifespans are the process's own business."""
        if scope["type"] != "http":
            return
        scope = _overridden(scope)
        path: str = scope["path"]
        for prefix in sorted(self._apps, key=len, reverse=True):
            if prefix == "" or path == prefix or path.startswith(prefix + "/"):
                inner = {**scope, "root_path": scope.get("root_path", "") + prefix}
                await self._apps[prefix](inner, receive, send)
                return
        error = ApiError("NOT_FOUND", f"The requested URL {path} was not found on this server.")
        await json_response(to_envelope(error), 404)(scope, receive, send)
