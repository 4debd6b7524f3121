"""The ASGI wrapper of app.py, which `make run` starts: lifespan, health, metrics, router, headers.

What the lifespan starts is `control/wiring.py`'s; no page and no figure is made here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from control import metrics
from control.collector import freeze_when
from control.router_endpoint import RouterEndpoint
from control.security_headers import SecurityHeaders
from control.wiring import close_console, get_console


@asynccontextmanager
async def lifespan(_app: object) -> AsyncGenerator[None]:
    """Start the console with the server; it waits for no source. Stop it with the server."""
    await anyio.to_thread.run_sync(get_console)
    freezing = asyncio.create_task(freeze_when(lambda: not _unread()))
    try:
        yield
    finally:
        freezing.cancel()
        await router.aclose()
        await anyio.to_thread.run_sync(close_console)


def _unread() -> list[str]:
    sources = get_console().snapshot().sources.values()
    return sorted(s.source.value for s in sources if s.read_at is None)


async def healthz(_request: Request) -> Response:
    """200 while this process serves, also when no source answers; their state is informative."""
    sources = get_console().snapshot().sources.values()
    failing = sorted(s.source.value for s in sources if s.problem is not None)
    return JSONResponse({"status": "ok", "sources_failing": failing, "sources_unread": _unread()})


async def metrics_text(_request: Request) -> Response:
    """Prometheus' exposition of this process."""
    text = await anyio.to_thread.run_sync(metrics.exposition, get_console())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


router = RouterEndpoint(lambda: get_console().router, lambda: st.get_option("server.address"))

app = st.App(
    Path(__file__).with_name("app.py"),
    lifespan=lifespan,
    routes=[Route("/healthz", healthz), Route("/metrics", metrics_text), *router.routes()],
    middleware=[Middleware(SecurityHeaders)],
)
