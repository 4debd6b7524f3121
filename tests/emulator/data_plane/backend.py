"""An inference server for tests: answers at once or event by event, as its requests ask for."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

import uvicorn


class Backend:
    """On a port of its own; `seen` holds each request's path and headers.

    `metrics`: what it exposes, in Prometheus' text.
    """

    def __init__(self, metrics: bytes = b"") -> None:
        self._metrics = metrics
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.left = threading.Event()  # a client of /slow went away
        self.go = threading.Event()  # lets a stream of /held go on
        # With the protocol named, asyncio turns Nagle's algorithm off, as for any server it binds.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        config = uvicorn.Config(self, lifespan="off", log_level="error", ws="none")
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self.go.set()
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(20)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        path = scope["path"]
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        self.seen.append((path, headers))
        if path == "/v1/echo":
            await _start(send, 200, b"application/octet-stream")
            await send({"type": "http.response.body", "body": body})
        elif path == "/metrics" and self._metrics:
            await _start(send, 200, b"text/plain; version=0.0.4")
            await send({"type": "http.response.body", "body": self._metrics})
        elif path == "/v1/stream":
            await _events(send, json.loads(body))
        elif path == "/v1/held":
            await _start(send, 200, b"text/event-stream")
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await asyncio.to_thread(self.go.wait, 60)
            await send({"type": "http.response.body", "body": b"data: 2\n\n"})
        elif path == "/v1/slow":
            if json.loads(body or b"{}").get("begin"):
                await _start(send, 200, b"text/event-stream")
                await send({"type": "http.response.body", "body": b"data: 1\n\n",
                            "more_body": True})  # fmt: skip
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
        else:
            await _start(send, 200, b"application/json")
            await send({"type": "http.response.body", "body": b'{"usage": {}}'})


async def _start(send: Any, status: int, kind: bytes) -> None:
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _events(send: Any, asked: dict[str, Any]) -> None:
    """`count` events that name their stream."""
    await _start(send, 200, b"text/event-stream")
    for number in range(asked["count"]):
        event = f"data: {asked['name']} {number}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})
