"""POST /v1/heartbeat: measures the device, one at a time and never at running requests' cost.

What does not live here: the measurement (`serving.heartbeat`).
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from serving.api.errors import ApiError
from serving.engine import Engine

Dtype = Literal["f32", "bf16"]


class HeartbeatRequest(BaseModel):
    """What to measure."""

    model_config = ConfigDict(extra="forbid")

    dtypes: list[Dtype] = Field(["f32", "bf16"], min_length=1, max_length=2)
    iterations: int = Field(100, ge=10, le=1000, description="products that are timed per dtype")
    force: bool = Field(False, description="measure even while requests run, and slow them down")


def _measure(engine: Engine, body: HeartbeatRequest) -> dict[str, Any]:
    """In a thread of its own: all wanted dtypes, one after the other, then the memory."""
    # Imported here: the HTTP side starts before JAX is loaded.
    from serving import heartbeat
    from serving.compilations import expected
    from serving.memory import trim_memory

    def should_stop() -> bool:
        return not body.force and engine.unfinished > 0

    try:
        with expected():
            beats = [
                heartbeat.measure(d, body.iterations, should_stop=should_stop) for d in body.dtypes
            ]
            rate = heartbeat.measure_reading()
        reached = {beat.dtype: beat.tflops * 1e12 for beat in beats if beat.refused is None}
        engine.metrics.observe_ceiling(reached, rate)
        told = [dataclasses.asdict(beat) for beat in beats]
        return {"heartbeats": told, "read_gb_per_s": rate / 1e9}
    except heartbeat.Stopped:
        raise ApiError(
            409, "A request arrived, so the measurement was given up; try again.", code="busy"
        ) from None
    except heartbeat.Wrong as error:
        raise ApiError(500, f"The device computes wrongly: {error}.", code="wrong") from error
    finally:
        trim_memory()


def heartbeat_routes(engine: Engine) -> APIRouter:
    """The router of the heartbeat."""
    router = APIRouter(tags=["Heartbeat"])
    alone = asyncio.Lock()

    @router.post("/v1/heartbeat")
    async def measure(body: HeartbeatRequest) -> dict[str, Any]:
        """Times a matrix product on the device; 409 while requests or another one run."""
        if engine.state.phase != "ready":
            raise ApiError(503, f"The server is not ready: {engine.state.message}.")
        if alone.locked():
            raise ApiError(409, "Another heartbeat is running; wait for its end.", code="busy")
        if engine.unfinished and not body.force:
            raise ApiError(
                409,
                f"{engine.unfinished} requests are running and would be slowed down; wait, or "
                "send force: true.",
                "force",
                code="busy",
            )
        async with alone:
            return await asyncio.to_thread(_measure, engine, body)

    return router
