"""HTTP requests to routers as changes: the body first, then the application, all in one turn.

A router's application runs its changing requests on an event loop of their own, one after the
other, so that nothing else happens between its awaits; its reads pass untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
import threading
import weakref
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect, Request

from emulator.journal.changes import Changes, Made, as_text, kept_headers
from emulator.journal.folder import sync_folder
from emulator.journal.reading import http_reads
from emulator.wire.errors import ApiError, to_envelope

if TYPE_CHECKING:
    from emulator.wire.mount import Asgi, RouterMount

_INLINE: Final = 64 * 1024  # a larger body is a file of its own
_CHUNK: Final = 1024 * 1024
# Cloud Storage answers a cancelled upload so.
_ACCEPTED: Final = frozenset({499, 500})
# Kubernetes' versions count what a process has seen, reads included: another's are others.
_VERSION: Final = re.compile(rb'"resourceVersion": ?"\d+"')


@dataclass(slots=True)
class Body:
    """A request's body: in memory, or in a file."""

    data: bytes = b""
    path: Path | None = None
    size: int = 0
    checksum: int = 0

    def read(self) -> bytes:
        """All of it."""
        return self.data if self.path is None else self.path.read_bytes()

    def drop(self) -> None:
        """Delete the file."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class Bodies:
    """Takes bodies in; large ones into `folder`, or a temporary one until that is set."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._lock = threading.Lock()
        self._number = 0
        self.lasting = False

    def keep_in(self, folder: Path, used: set[str]) -> None:
        """From now on there; of what lies there only the `used` names are kept."""
        for path in folder.iterdir():
            if path.name not in used:
                path.unlink()
        self._number = max((int(name) for name in used), default=0)
        self._folder, self.lasting = folder, True

    def new_path(self) -> Path:
        """Of a file that is not there yet."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="heartwood-bodies-"))
                weakref.finalize(self, _remove, self._folder)
            self._number += 1
            return self._folder / f"{self._number:08d}"

    async def take(self, request: Request) -> Body:
        """A request's whole body, on the disk if it is large.

        Raises:
            ClientDisconnect: the caller went before its end.
            OSError: it could not be written.
        """
        body = Body()
        with contextlib.ExitStack() as stack:
            file: IO[bytes] | None = None
            parts: list[bytes] = []
            try:
                async for chunk in request.stream():
                    body.size += len(chunk)
                    body.checksum = zlib.crc32(chunk, body.checksum)
                    if file is None and body.size <= _INLINE:
                        parts.append(chunk)
                        continue
                    if file is None:
                        body.path = self.new_path()
                        file = stack.enter_context(body.path.open("wb"))
                        file.write(b"".join(parts))
                    await asyncio.to_thread(file.write, chunk)
                if file is not None:
                    await asyncio.to_thread(self._finish, file)
            except (ClientDisconnect, OSError):
                body.drop()
                raise
        if body.path is None:
            body.data = b"".join(parts)
        return body

    def _finish(self, file: IO[bytes]) -> None:
        file.flush()
        if self.lasting:
            os.fsync(file.fileno())
            assert self._folder is not None
            sync_folder(self._folder)


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
    folder.rmdir()


@dataclass(slots=True)
class Answer:
    """What an application sent."""

    status: int = 500
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    def made(self) -> Made:
        """As the outcome of a change."""
        accepted = self.status < 400 or self.status in _ACCEPTED
        return Made(self, accepted, zlib.crc32(_VERSION.sub(b"", self.body), self.status))


class _Inheriting(ThreadPoolExecutor):
    """Threads that have the turn of whoever gives them work, as asyncio.to_thread's have."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(copy_context().run, fn, *args, **kwargs)


class Loop:
    """Runs an application's requests from its first to its last event, one at a time."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, app: Asgi, scope: dict[str, Any], body: Body) -> Answer:
        """The application's answer. Call in a turn."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_default_executor(_Inheriting(4, thread_name_prefix="change"))
            weakref.finalize(self, self._loop.close)
        return self._loop.run_until_complete(_run(app, scope, body))


async def _run(app: Asgi, scope: dict[str, Any], body: Body) -> Answer:
    answer, parts = Answer(), list[bytes]()
    events = _events(body)

    async def send(event: Any) -> None:
        if event["type"] == "http.response.start":
            answer.status, answer.headers = event["status"], tuple(event.get("headers", ()))
        else:
            parts.append(event.get("body", b""))

    async with contextlib.aclosing(events):
        await app(scope, events.__anext__, send)
    answer.body = b"".join(parts)
    return answer


async def _events(body: Body) -> AsyncGenerator[Any]:
    """What a server would give to the application."""
    if body.path is None:
        yield {"type": "http.request", "body": body.data, "more_body": False}
    else:
        with body.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield {"type": "http.request", "body": chunk, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}
    await asyncio.Event().wait()  # the caller stays


class ChangingApps:
    """All routers' applications, their bodies and the loop that they share.

    Attributes:
        plain: the applications themselves, by prefix.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.bodies, self.loop = Bodies(), Loop()
        self.plain: dict[str, Asgi] = {}

    def app(self, mount: RouterMount) -> Asgi:
        """The application to serve in place of the mount's own."""
        self.plain[mount.prefix] = mount.app
        return _ChangingApp(self._changes, self.bodies, self.loop, mount)


class _ChangingApp:
    """A router's application whose changing requests take turns and are written down."""

    def __init__(self, changes: Changes, bodies: Bodies, loop: Loop, mount: RouterMount) -> None:
        self._changes, self._bodies, self._loop = changes, bodies, loop
        self.app, self._own_turns = mount.app, mount.own_turns

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        verb = request.method
        own = self._own_turns(verb, scope["path"])
        if own or http_reads(verb, scope["path"], scope["query_string"]):
            await self.app(scope, receive, send)
            return
        try:
            body = await self._bodies.take(request)
        except ClientDisconnect:
            return
        answer = await asyncio.to_thread(self._make, dict(scope), body)
        await _send(answer, send)

    def _make(self, scope: dict[str, Any], body: Body) -> Answer:
        kept = self._bodies.lasting

        def act() -> Made:
            nonlocal kept
            made = self._loop.run(self.app, scope, body).made()
            kept = kept and made.accepted
            return made

        try:
            return self._changes.make(record_of(scope, body), act).answer
        except ApiError as error:  # the journal cannot be written
            text = json.dumps(to_envelope(error, legacy=True)).encode()
            return Answer(error.http_status, ((b"content-type", b"application/json"),), text)
        finally:
            if not kept:
                body.drop()


def record_of(scope: Mapping[str, Any], body: Body) -> dict[str, Any]:
    """What the journal keeps of a request."""
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    raw = scope.get("raw_path") or scope["path"].encode()
    record: dict[str, Any] = {
        "kind": "http", "prefix": scope["root_path"], "verb": scope["method"],
        "path": scope["path"], "raw_path": raw.decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"), "headers": kept_headers(headers),
    }  # fmt: skip
    if body.path is not None:
        record |= {"file": body.path.name, "bytes": body.size, "checksum": body.checksum}
    elif body.size:
        record["body"] = as_text(body.data)
    return record


async def _send(answer: Answer, send: Callable[[Any], Any]) -> None:
    headers = list(answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
