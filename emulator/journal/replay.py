"""Makes the changes of earlier processes again, at their instants, by the same handlers.

Operations that came due in between take effect in between, as they did. An answer that differs from
the one given then (another version of the emulator, or a handler that does not follow from state
and instant alone) is told, and does not stop the start.
"""

from __future__ import annotations

import base64
import logging
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from emulator.context import Cloud
from emulator.journal.changes import FAILED, Changes, Made, made_by
from emulator.journal.folder import StateError
from emulator.journal.http import Body, Loop
from emulator.wire.call import Call
from emulator.wire.codec import new_message
from emulator.wire.errors import ApiError
from emulator.wire.mount import Asgi, Mount

_LOG = logging.getLogger("emulator")
_TOLD: Final = 5  # answers that differ, one line each


@dataclass(slots=True)
class Replayed:
    """What was made again: changes, those of them answered otherwise, body files in use."""

    changes: int = 0
    otherwise: int = 0
    files: set[str] = field(default_factory=set)


class Replay:
    """One start's replay.

    Args:
        apps: routers' applications by prefix.
        bodies: where large bodies lie.
    """

    def __init__(
        self, cloud: Cloud, mounts: Iterable[Mount], apps: Mapping[str, Asgi], loop: Loop,
        bodies: Path,
    ) -> None:  # fmt: skip
        self._cloud, self._apps, self._loop, self._bodies = cloud, apps, loop, bodies
        self._changes: Changes = cloud.changes
        self._mounts = {(m.prefix, m.transports): m for m in mounts}
        self.done = Replayed()

    def run(self, records: Iterable[Mapping[str, Any]]) -> Replayed:
        """Make all of it again.

        Raises:
            StateError: a body's file is missing or damaged.
        """
        turns, clock, speed = self._cloud.turns, self._cloud.clock, self._cloud.clock.speed
        turns.replaying = True
        try:
            for record in records:
                clock.not_before = record["at"]
                if record["kind"] == "start":
                    turns.starts += 1
                    # What ran kept the speed that it was started with.
                    clock.speed = record["speed"]
                else:
                    self._once(record)
        finally:
            turns.replaying = False
            clock.speed = speed
        return self.done

    def _once(self, record: Mapping[str, Any]) -> None:
        self.done.changes += 1
        told: Any
        problem = ""
        with self._cloud.turns.again(record["at"], record.get("decided", {})) as turn:
            try:
                made = self._made(record)
                told = made.checksum if made.accepted else problem
                problem = "" if made.accepted else f"status {made.answer.status}"
            except ApiError as error:
                told, problem = None, f"{error.code.name}: {error.message}"
            except StateError:
                raise
            except Exception as error:  # noqa: BLE001 - it may have broken off then as well
                told, problem = FAILED, f"{type(error).__name__}: {error}"
            turn.refused = bool(problem)
        if told != record["answer"]:
            self._tell(record, problem or "the answer differs")

    def _made(self, record: Mapping[str, Any]) -> Made:
        if record["kind"] == "faults":
            if self._cloud.gate is not None:
                self._cloud.gate.enter(record["given"])
            return Made(None, True, 0)
        if record["kind"] == "struck":
            if self._cloud.gate is not None:
                self._cloud.gate.book.went_on(record["rule"], record["seen"], record["hits"])
            return Made(None, True, 0)
        return self._call(record) if record["kind"] == "call" else self._http(record)

    def _tell(self, record: Mapping[str, Any], problem: str) -> None:
        self.done.otherwise += 1
        if self.done.otherwise <= _TOLD:
            what = record.get("method") or f"{record['verb']} {record['path']}"
            _LOG.warning("journal: %s was answered otherwise before: %s", what, problem)

    def _call(self, record: Mapping[str, Any]) -> Made:
        mount = self._mounts.get(tuple(record["mount"]))
        method = None
        if mount is not None:
            method = self._changes.methods(mount).get((record["service"], record["method"]))
        if mount is None or method is None or not hasattr(mount.handler, method.name):
            raise ApiError("UNIMPLEMENTED", "the emulator serves it no more")
        request, target = new_message(method.request)
        target.ParseFromString(base64.b64decode(record["request"]))
        call = Call(
            record["wire"], method, record.get("headers", {}), record.get("base_url", ""),
            tuple((k, v) for k, v in record.get("query", ())),
            base64.b64decode(record.get("payload", "")),
        )  # fmt: skip
        handle = getattr(mount.handler, method.name)
        return made_by(lambda: handle(request, call))

    def _http(self, record: Mapping[str, Any]) -> Made:
        body = self._body(record)
        app = self._apps.get(record["prefix"])
        if app is None:
            raise ApiError("UNIMPLEMENTED", "the emulator serves it no more")
        headers = record["headers"]
        host, _, port = headers.get("host", "localhost").rpartition(":")
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1", "scheme": "http", "method": record["verb"],
            "path": record["path"], "raw_path": record["raw_path"].encode("latin-1"),
            "query_string": record["query"].encode("latin-1"), "root_path": record["prefix"],
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
            "client": None, "server": (host, int(port) if port.isdigit() else 80),
        }  # fmt: skip
        return self._loop.run(app, scope, body).made()

    def _body(self, record: Mapping[str, Any]) -> Body:
        if "file" not in record:
            return Body(base64.b64decode(record.get("body", "")))
        self.done.files.add(record["file"])
        path, size, checksum = self._bodies / record["file"], 0, 0
        try:
            with path.open("rb") as file:
                while chunk := file.read(1024 * 1024):
                    size, checksum = size + len(chunk), zlib.crc32(chunk, checksum)
        except OSError as error:
            raise StateError(
                f"{path}: {error.strerror}; restore it, or start with --fresh"
            ) from error
        if (size, checksum) != (record["bytes"], record["checksum"]):
            raise StateError(f"{path} is damaged: restore it, or start with --fresh")
        return Body(path=path, size=size, checksum=checksum)
