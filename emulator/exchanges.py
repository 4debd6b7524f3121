"""Every request and its answer as one line of JSON (`--record FILE`), from both wires.

The rehearsal is recorded so, and tests hold the lines against Google's discovery documents. What
is done with the lines is no business of the emulator's.
"""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format

from emulator.wire.codec import plain
from emulator.wire.library import Method
from emulator.wire.mount import Asgi

# Longer bodies are left out: a list of a whole fleet has megabytes.
MOST_BYTES: Final = 262_144


class Exchanges:
    """The file; safe to append to from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, exchange: dict[str, Any]) -> None:
        """Append one line."""
        line = json.dumps(exchange, ensure_ascii=False, separators=(",", ":")) + "\n"
        with self._lock:
            if not self._file.closed:
                self._file.write(line)

    def add_grpc(self, method: Method, request: Any, answer: Any) -> None:
        """Append a gRPC call that was answered."""
        self.add({
            "wire": "grpc", "service": method.service, "rpc": method.rpc, "host": method.host,
            "request": json_format.MessageToDict(plain(request)),
            "answer": json_format.MessageToDict(plain(answer)),
        })  # fmt: skip

    def close(self) -> None:
        """Close the file; what comes later is not noted."""
        with self._lock:
            self._file.close()


class Recorded:
    """An ASGI application whose HTTP exchanges are appended to the file."""

    def __init__(self, app: Asgi, exchanges: Exchanges) -> None:
        self._app, self._exchanges = app, exchanges

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything through; note it at the end, also when the client has gone before."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, answered = bytearray(), bytearray()
        start: dict[str, Any] = {"status": None, "headers": []}

        async def hear() -> Any:
            event = await receive()
            asked.extend(event.get("body", b""))
            return event

        async def tell(event: Any) -> None:
            if event["type"] == "http.response.start":
                start.update(event)
            elif len(answered) <= MOST_BYTES:
                answered.extend(event.get("body", b""))
            await send(event)

        try:
            await self._app(scope, hear, tell)
        finally:
            self._exchanges.add(_line(scope, bytes(asked), start, bytes(answered)))


def _line(scope: Any, asked: bytes, start: dict[str, Any], answered: bytes) -> dict[str, Any]:
    raw = scope.get("raw_path") or scope["path"].encode()
    path = raw.decode("latin-1").split("?", 1)[0]
    query = scope.get("query_string", b"").decode("latin-1")
    headers = _headers(scope["headers"])
    found = {
        "wire": "rest", "verb": scope["method"], "path": f"{path}?{query}" if query else path,
        "headers": {k: v for k, v in headers.items() if k in _TELLING or k.startswith("x-upload-")},
        "status": start["status"], "location": _headers(start["headers"]).get("location"),
        **_body("body", asked), **_body("answer", answered),
    }  # fmt: skip
    return {k: v for k, v in found.items() if v is not None}


# Headers by which an answer differs.
_TELLING: Final = frozenset({"accept", "content-type", "content-range", "range", "if-match",
                             "if-none-match", "x-http-method-override"})  # fmt: skip


def _headers(pairs: Any) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in pairs}


def _body(name: str, found: bytes) -> dict[str, Any]:
    """As text, or in base64 where it is none; nothing of what is empty or too long."""
    if not found or len(found) > MOST_BYTES:
        return {f"{name}_bytes": len(found)} if found else {}
    try:
        return {name: found.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(found).decode()}
