"""Puts the HTTP side together: routes, error envelope, body limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.errors import error_response, install_error_handlers
from serving.api.heartbeat import heartbeat_routes
from serving.api.key import KeyGate
from serving.api.openai import openai_routes
from serving.api.plain import plain_routes
from serving.api.refusal import refuse
from serving.api.state import state_routes
from serving.engine import Engine
from serving.settings import Settings


class BodyLimit:
    """Refuses bodies above a limit with 413, before or while they are read."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        """Wrap `app`."""
        self._app, self._limit_bytes = app, limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body up to the limit, then let the app replay it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        parts, size, more = [], int(declared) if declared.isdigit() else 0, True
        if size <= self._limit_bytes:
            size = 0
            while more and size <= self._limit_bytes:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body", False)
        if size > self._limit_bytes:
            await self._refuse(scope, receive, send)
            return
        await self._app(scope, _replay(b"".join(parts), receive), send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit_bytes
        message = f"The body is larger than {limit} bytes; send less text at once."
        response = error_response(
            413, message, code="body_too_large", headers={"Connection": "close"}
        )
        await refuse(response, scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Callable[[], object]:
    unread = True

    async def replay() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def make_app(engine: Engine, settings: Settings, model_name: str, root: str) -> FastAPI:
    """The ASGI application; the engine starts and stops with its lifespan."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start(asyncio.get_running_loop())
        yield
        engine.close()

    app = FastAPI(title="Heartwood inference server", lifespan=lifespan, redoc_url=None)
    install_error_handlers(app)
    app.add_middleware(BodyLimit, limit_bytes=settings.max_body_bytes)
    if settings.api_key is not None:
        app.add_middleware(KeyGate, key=settings.api_key.get_secret_value())
    context = settings.max_tokens_context
    app.include_router(openai_routes(engine, model_name, root, context))
    app.include_router(plain_routes(engine, model_name, context))
    app.include_router(heartbeat_routes(engine))
    app.include_router(state_routes(engine, settings, model_name, root))
    return app
