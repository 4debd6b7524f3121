"""What the server says of itself: health, readiness, status, version and metrics."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from serving.engine import Engine
from serving.settings import Settings


def state_routes(engine: Engine, settings: Settings, model_name: str, root: str) -> APIRouter:
    """The router of everything that is read about the server."""
    router = APIRouter(tags=["State"])

    @router.get("/health")
    async def health() -> JSONResponse:
        """200 while the process can serve or is about to; 503 when the model failed to load."""
        failed = engine.state.phase == "failed"
        body = {"status": engine.state.phase, "message": engine.state.message}
        return JSONResponse(body, 503 if failed else 200)

    @router.get("/ready")
    async def ready() -> JSONResponse:
        """200 once weights are loaded and everything is compiled, until the server drains."""
        state = engine.state
        body = {
            "status": state.phase,
            "message": state.message,
            "done": state.done,
            "total": state.total,
        }
        if state.phase == "ready":
            return JSONResponse(body)
        return JSONResponse(body, 503, {"Retry-After": "2"})

    @router.api_route("/metrics", methods=["GET", "HEAD"])
    async def metrics() -> Response:
        return Response(engine.metrics.expose(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/version")
    async def software() -> dict[str, str]:
        names = ("jax", "jaxlib", "numpy", "fastapi", "tokenizers")
        return {"python": platform.python_version(), **{name: version(name) for name in names}}

    @router.get("/v1/status")
    async def status() -> dict[str, Any]:
        """Everything about the model, the devices and the load; unknown is null."""
        loaded, state = engine.loaded, engine.state
        return {
            "status": state.phase,
            "message": state.message,
            "model": model_name,
            "root": root,
            "revision": loaded.revision if loaded else None,
            "parameters": loaded.parameters if loaded else None,
            "precision": loaded.precision if loaded else None,
            "backend": loaded.backend if loaded else None,
            "devices": list(loaded.devices) if loaded else None,
            "slots": settings.slots,
            "context": settings.max_tokens_context,
            "cache_length": loaded.runner.layout.length if loaded else None,
            "queue_limit": settings.queue_limit,
            "unfinished_requests": engine.unfinished,
            "uptime_s": round(time.monotonic() - engine.started_s, 3),
            "ready_after_s": engine.ready_after_s,
            "compilations": engine.compilations,
            "compilations_after_ready": engine.compilations_after_ready,
        }

    return router
