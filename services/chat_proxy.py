"""A chat request passed on to a server as it is, and its answer as it comes, byte for byte.

For whoever stands between a client and a server; what a conversation of our own reads from an
answer is `services/inference.py`'s. Which server it is is decided elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from core.errors import Unavailable
from core.tier_address import CHAT
from services import calls, outbound

_CONNECT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class PassedAnswer:
    """The head of a server's answer, and its body as it comes (once)."""

    status: int
    headers: Mapping[str, str]
    parts: AsyncIterator[bytes]

    @property
    def is_stream(self) -> bool:
        """Whether it comes event by event."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    async def whole(self) -> bytes:
        """All of the body."""
        return b"".join([part async for part in self.parts])


class ChatProxy:
    """Passes chat requests on, over one pool of connections per server; for one event loop."""

    def __init__(self, silence_s: float) -> None:
        """`silence_s`: how long a server may send nothing before it counts as broken."""
        self._timeout = httpx.Timeout(silence_s, connect=_CONNECT_S)
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()

    @asynccontextmanager
    async def ask(
        self,
        base_url: str,
        body: Mapping[str, Any],
        *,
        api_key: str = "",
        headers: Mapping[str, str] | None = None,
        path: str = CHAT,
    ) -> AsyncGenerator[PassedAnswer]:
        """A server's answer; leaving the block ends the request, also in the middle of it.

        Args:
            base_url: with or without a trailing /v1.
            body: goes on as JSON.
            api_key: sent as bearer token; "": none.
            headers: more of them, such as another Host.
            path: below the base address.

        Raises:
            OpsError: it is no address that may be called, the server does not answer, redirects or
                breaks off; also while the body is read.
        """
        url = str(outbound.check_url(base_url)).removesuffix("/v1").rstrip("/")
        resource = f"{url}{path}"
        sent = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            **(headers or {}),
        }
        if api_key:
            sent["authorization"] = f"Bearer {api_key}"
        context = calls.CallContext(unreachable_hint=f"Is the server at {url} running?")
        with calls.translating(resource, context):
            async with self._client(url).stream(
                "POST", resource, content=json.dumps(body), headers=sent
            ) as answer:
                if answer.is_redirect:
                    raise Unavailable(
                        "The server redirects to another address, which is not followed",
                        resource=resource,
                    )
                yield PassedAnswer(answer.status_code, dict(answer.headers), answer.aiter_raw())

    def _client(self, url: str) -> httpx.AsyncClient:
        if url not in self._clients:
            self._clients[url] = httpx.AsyncClient(
                transport=outbound.make_async_transport(httpx.URL(url)),
                timeout=self._timeout,
                limits=httpx.Limits(max_connections=None),
                follow_redirects=False,  # a redirect could lead where nobody was asked about
            )
        return self._clients[url]
