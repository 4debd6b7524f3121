"""Answers that come late, broken off, or never: what REST callers see of some faults."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

# A stream that is to break off is let run for so long before it does.
_STREAM_S: Final = 0.5
# SO_LINGER with no time: closing sends RST instead of FIN.
_ABORT: Final = struct.pack("ii", 1, 0)
_TRANSPORTS: dict[Any, asyncio.Transport] = {}


class BreakableProtocol(H11Protocol):
    """uvicorn's protocol, whose connections can be broken by the caller's address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the connection."""
        super().connection_made(transport)
        self._peer = transport.get_extra_info("peername")
        _TRANSPORTS[self._peer] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        _TRANSPORTS.pop(self._peer, None)
        super().connection_lost(exc)


async def reset(scope: Any, receive: Any) -> None:
    """Reset the connection of a request (TCP RST)."""
    transport = _TRANSPORTS.get(_peer(scope))
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        transport.abort()
    await _gone(receive)


def _peer(scope: Any) -> Any:
    client = scope.get("client")
    return next((p for p in _TRANSPORTS if client and tuple(p[:2]) == tuple(client)), None)


async def _gone(receive: Any) -> None:
    """Wait until the server has noticed, so that it does not answer in our place."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Truncating:
    """Stands in for `send`: lets half of the answer's body through, then ends the connection."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._until = asyncio.get_running_loop().time() + _STREAM_S
        self._broken = False

    async def __call__(self, message: Any) -> None:
        """Pass a part of the answer on, or break off."""
        if self._broken:
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        late = asyncio.get_running_loop().time() >= self._until
        if message.get("more_body") and not late:
            await self._send(message)
            return
        body = message.get("body", b"")
        self._broken = True
        await self._send({**message, "body": body[: len(body) // 2], "more_body": True})
        transport = _TRANSPORTS.get(_peer(self._scope))
        if transport is not None:
            transport.close()
        await _gone(self._receive)
