"""A model server for tests of what passes requests on; prompts say how it answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.emulator.data_plane.backend import Backend

STATUS = {"status": "ready", "model": "tiny", "slots": 4, "context": 2048}


class ModelServer(Backend):
    """Answers chats in words of its own; `asked` holds each body with its path and headers.

    By the last message: "hold" streams one event and the rest once `go` is set, "slow" says nothing
    until its client leaves, "cut" breaks its stream off, anything else is answered whole.
    `services` tells which path is answered in whose name, as a load balancer does.
    """

    def __init__(self, services: dict[str, str] | None = None) -> None:
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.services = services or {}
        super().__init__()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        path = scope["path"]
        if scope["method"] == "GET":
            await _whole(send, 200, STATUS if path == "/v1/status" else {"data": []}, {})
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        asked = json.loads(body)
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        self.asked.append((path, asked, headers))
        named = next((s for start, s in self.services.items() if path.startswith(start)), "")
        told = {"x-heartwood-backend": named, "x-heartwood-tier": named.removeprefix("hw-")}
        await self._answer(asked["messages"][-1]["content"], told if named else {}, receive, send)

    async def _answer(self, prompt: str, told: dict[str, str], receive: Any, send: Any) -> None:
        if prompt == "slow":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
        elif prompt in ("hold", "cut"):
            await _begin(send, 200, "text/event-stream", told | {"content-length": "999"}
                         if prompt == "cut" else told)  # fmt: skip
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            if prompt == "hold":
                await asyncio.to_thread(self.go.wait, 60)
                await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        else:
            usage = {"prompt_tokens": 3, "completion_tokens": 1}
            await _whole(send, 200, {"choices": [], "usage": usage}, told)


async def _begin(send: Any, status: int, kind: str, headers: dict[str, str]) -> None:
    raw = [(k.encode(), v.encode()) for k, v in ({"content-type": kind} | headers).items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _whole(send: Any, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
    await _begin(send, status, "application/json", headers)
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
