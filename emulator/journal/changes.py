"""Makes changes in turns and writes each accepted one down before its answer leaves.

A call of a library's method comes through `call`, a router's HTTP request through http.py. Which
calls change something is reading.py's, order and instants are turns.py's.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from emulator.journal.file import Appender
from emulator.journal.reading import reads
from emulator.turns import Turns
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError

if TYPE_CHECKING:
    from emulator.wire.call import Call
    from emulator.wire.library import Method
    from emulator.wire.mount import Mount

T = TypeVar("T")
FAILED: Final = "failed"  # in place of an answer's checksum: the handler broke off, half done
# Headers that change no answer, or that nobody wants to find in a file.
_NOT_KEPT: Final = frozenset(
    {"accept-encoding", "authorization", "connection", "cookie", "proxy-authorization",
     "traceparent", "x-goog-api-client", "x-goog-api-key"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """A change's answer: whether it was accepted, and a checksum to know it again by.

    `answer` is an ApiError where only a part was accepted.
    """

    answer: Any
    accepted: bool
    checksum: int


class Changes:
    """All changes of one project.

    Attributes:
        journal: where accepted ones are written down; None: nowhere.
    """

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.journal: Appender | None = None
        self._mounts: dict[int, list[Mount]] = {}
        self._methods: dict[int, dict[tuple[str, str], Method]] = {}

    def serve(self, mounts: Iterable[Mount]) -> None:
        """Note which mount a handler belongs to, for the journal to name it."""
        for mount in mounts:
            self._mounts.setdefault(id(mount.handler), []).append(mount)

    def call(self, function: Callable[[Any, Call], T], handler: object, request: Any,
             call: Call) -> T:  # fmt: skip
        """Run the function that answers a call; as a change unless it only reads.

        Raises:
            ApiError: it is refused, or its acceptance could not be written down (UNAVAILABLE).
        """
        if reads(call.method, request):
            return function(request, call)
        return self.change(function, handler, request, call)

    def change(self, function: Callable[[Any, Call], T], handler: object, request: Any,
               call: Call) -> T:  # fmt: skip
        """Run a function as a change, written down as that call: making it again calls the handler.

        For a change that a call brings about without being one (an answer that is waited for).

        Raises:
            ApiError: as `call` does.
        """
        record = self._call_record(handler, request, call) if self.journal else {}

        made = self.make(record, lambda: made_by(lambda: function(request, call)))
        if isinstance(made.answer, ApiError):
            raise made.answer
        return made.answer

    def make(self, record: Mapping[str, Any], act: Callable[[], Made]) -> Made:
        """Make a change: `act` in a turn, then the record with instant and checksum, on the disk.

        Raises:
            ApiError: as `act` raises it; UNAVAILABLE when the journal cannot be written.
        """
        journal = self.journal
        if journal is not None and journal.failure:
            raise _unwritable(journal.failure)
        size = 0
        try:
            with self.turns.take() as turn:
                written: dict[str, Any] = {"at": turn.at, **record}
                try:
                    made = act()
                except ApiError:
                    raise
                except Exception:
                    # What it did before stays done, so it has to be done again.
                    size = self._append(journal, written | {"answer": FAILED})
                    raise
                turn.refused = not made.accepted
                if made.accepted:
                    if turn.decided:
                        written["decided"] = turn.decided
                    size = self._append(journal, written | {"answer": made.checksum})
            return made
        finally:
            if journal is not None and size:
                self._sync(journal, size)

    @staticmethod
    def _append(journal: Appender | None, record: Mapping[str, Any]) -> int:
        if journal is None:
            return 0
        try:
            return journal.append(record)
        except OSError as error:
            raise _unwritable(journal.failure) from error

    @staticmethod
    def _sync(journal: Appender, size: int) -> None:
        try:
            journal.sync(size)
        except OSError as error:
            raise _unwritable(journal.failure) from error

    def _call_record(self, handler: object, request: Any, call: Call) -> dict[str, Any]:
        mount = self._mount_of(handler, call.method)
        record: dict[str, Any] = {
            "kind": "call", "mount": [mount.prefix, mount.transports],
            "service": call.method.service, "method": call.method.name, "wire": call.wire,
            "request": as_text(plain(request).SerializeToString()),
        }  # fmt: skip
        optional = {
            "headers": kept_headers(call.headers), "base_url": call.base_url,
            "query": list(call.query), "payload": as_text(call.payload),
        }  # fmt: skip
        return record | {k: v for k, v in optional.items() if v}

    def _mount_of(self, handler: object, method: Method) -> Mount:
        found = self._mounts[id(handler)]
        own = (method.service, method.name)
        return next((m for m in found if len(found) == 1 or own in self.methods(m)), found[0])

    def methods(self, mount: Mount) -> Mapping[tuple[str, str], Method]:
        """A mount's methods by service and name."""
        if id(mount) not in self._methods:
            self._methods[id(mount)] = {(m.service, m.name): m for m in mount.methods()}
        return self._methods[id(mount)]


def made_by(function: Callable[[], Any]) -> Made:
    """What calling a method comes to; one that is refused in part has changed something.

    Raises:
        ApiError: all of it is refused.
    """
    try:
        answer = function()
    except ApiError as error:
        if not error.in_part:
            raise
        return Made(error, True, zlib.crc32(f"{error.code.name}: {error.message}".encode()))
    return Made(answer, True, zlib.crc32(plain(answer).SerializeToString(deterministic=True)))


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that a change may depend on."""
    return {k: v for k, v in headers.items() if k not in _NOT_KEPT}


def as_text(data: bytes) -> str:
    """Bytes in a record."""
    return base64.b64encode(data).decode()


def _unwritable(reason: str) -> ApiError:
    return ApiError(
        "UNAVAILABLE",
        f"The emulator cannot write its journal ({reason}): it accepts no change until it is "
        "started again.",
    )
