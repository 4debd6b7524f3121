"""Refuses a request whose body was not read, so that the client gets to read why."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

# As long as a client may take to finish sending a body that is refused; nginx's default of
# lingering_timeout for one read.
_LINGER_S = 5.0


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send `response`, then read what the client still sends before the connection closes."""

    async def hold_open(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "more_body": True}
        await send(message)

    await response(scope, receive, hold_open)
    await _discard(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    """Read what the client still sends, for a while.

    A connection closed with unread bytes is reset, and a reset throws away the answer before the
    client has read it (RFC 9112, section 9.6).
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            more = True
            while more:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
