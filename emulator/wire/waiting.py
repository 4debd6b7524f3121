"""Answers that come once an operation has ended, or a message is there: the wire waits, no handler.

REST waits in its event loop, where a wait costs no thread. gRPC's threads are few, so only some of
them may wait at a time; whoever comes then is told how the operation stands, as Google's methods
may do whenever they are overloaded. Both stop when the caller has gone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.requests import Request

if TYPE_CHECKING:
    import grpc

GRPC_WAITS: Final = 16
_STEP_S: Final = 0.05


class Ending(Protocol):
    """What can be waited for: an operation, say."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a handler returns in place of a message.

    Attributes:
        seconds: how long to wait at most.
        answer: makes the message, once the job has ended or the time is up.
    """

    job: Ending
    seconds: float
    answer: Callable[[], Any]


async def wait_rest(waiting: Waiting, request: Request) -> None:
    """Return once the job has ended, the time is up or the caller has gone."""
    until = time.monotonic() + waiting.seconds
    while not waiting.job.done and time.monotonic() < until:
        if await request.is_disconnected():
            return
        await asyncio.sleep(_STEP_S)


class GrpcWaits:
    """The waits of one gRPC server."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(GRPC_WAITS)

    def wait(self, waiting: Waiting, context: grpc.ServicerContext) -> Any:
        """The message, as soon as the job has ended or nobody is to wait any longer."""
        if not waiting.job.done and self._free.acquire(blocking=False):
            try:
                self._until_done(waiting, context)
            finally:
                self._free.release()
        return waiting.answer()

    def _until_done(self, waiting: Waiting, context: grpc.ServicerContext) -> None:
        until = time.monotonic() + waiting.seconds
        while not waiting.job.done and time.monotonic() < until and context.is_active():
            time.sleep(_STEP_S)
