"""A small client of OpenAI-compatible servers for benchmarks: it notes when each event came.

Plain sockets and no parsing while a stream runs, since the client shares the processor with what it
measures. What does not live here: what is asked, and what the figures mean.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


class Refused(Exception):
    """The server answered with an error; the message has its text."""


@dataclass(slots=True)
class Stream:
    """One streamed answer: when it was asked for, and when each piece of its text came."""

    sent_s: float
    times_s: list[float] = field(default_factory=list)
    tokens: int = 0  # as the server counts them
    text: str = ""

    @property
    def ttft_s(self) -> float:
        """Asked for → first text."""
        return self.times_s[0] - self.sent_s

    @property
    def end_s(self) -> float:
        """When the last text came."""
        return self.times_s[-1]

    @property
    def tpot_s(self) -> float | None:
        """Mean time of a token after the first; None of a single one."""
        if self.tokens < 2:
            return None
        return (self.times_s[-1] - self.times_s[0]) / (self.tokens - 1)

    def worst_gap_s(self, since_s: float, until_s: float) -> float:
        """Longest wait for text that reaches into [since, until]; 0 when there is none."""
        pairs = zip(self.times_s, self.times_s[1:], strict=False)
        return max((b - a for a, b in pairs if b > since_s and a < until_s), default=0.0)


def _take(stream: Stream, events: list[tuple[float, bytes]]) -> None:
    for at_s, data in events:
        if data == b"[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            raise Refused(str(event["error"]))
        for choice in event["choices"]:
            text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            if text or choice.get("token_ids"):
                stream.text += text
                stream.times_s.append(at_s)
        if event.get("usage"):
            stream.tokens = event["usage"]["completion_tokens"]
    if not stream.times_s:
        stream.times_s.append(events[-1][0])


async def ask(
    port: int,
    path: str,
    body: Mapping[str, Any],
    on_event: Callable[[], None] = lambda: None,
) -> Stream:
    """Ask for a streamed answer and read all of it; Refused unless it is one."""
    content = json.dumps(
        {**body, "stream": True, "stream_options": {"include_usage": True}}
    ).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        stream = Stream(time.perf_counter())
        writer.write(head.encode() + content)
        status = await reader.readline()
        if b" 200 " not in status:
            raise Refused((status + await reader.read()).decode("utf-8", "replace"))
        events: list[tuple[float, bytes]] = []
        while line := await reader.readline():
            if line.startswith(b"data: "):
                events.append((time.perf_counter(), line[6:].strip()))
                on_event()
    finally:
        writer.close()
    _take(stream, events)
    return stream
