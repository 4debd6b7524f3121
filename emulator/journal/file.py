"""The journal's format: one record a line, each with its checksum; only ever appended to.

A line is eight hex digits (CRC-32 of the rest), a blank, and a JSON object. What a crash cut off is
the end of the last line: any beginning of a journal is a journal. What records mean is not known
here.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


class Damaged(Exception):
    """A record in the middle of a journal cannot be read; the message says where."""


def encode(record: Record) -> bytes:
    """A record's line."""
    text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode(line: bytes) -> dict[str, Any] | None:
    """A line's record; None when it is not whole."""
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    text = line[9:-1]
    if line[:8] != b"%08x" % zlib.crc32(text):
        return None
    found = json.loads(text)
    return found if isinstance(found, dict) else None


class Reader:
    """Goes through a journal once.

    Attributes:
        good: bytes of whole records read so far.
        torn: bytes behind the last whole record, known at the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.good = 0
        self.torn = 0

    def records(self) -> Iterator[dict[str, Any]]:
        """All whole records, oldest first.

        Raises:
            Damaged: something that is no record stands before one.
        """
        with self._path.open("rb") as file:
            for line in file:
                record = decode(line)
                if record is None:
                    self.torn = len(line)
                    for later in file:
                        self.torn += len(later)
                        if decode(later) is not None:
                            raise Damaged(f"the record at byte {self.good} is damaged")
                    return
                self.good += len(line)
                yield record


class Appender:
    """A journal that is being written; safe for threads."""

    def __init__(self, path: Path, size: int) -> None:
        """Open to go on behind the first `size` bytes; what lies there is cut off."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.ftruncate(self._file, size)
        os.fsync(self._file)
        self._size = self._synced = size
        self._syncing = threading.Lock()
        self.failure = ""

    def append(self, record: Record) -> int:
        """Write a record; the size then, for `sync`. One thread at a time.

        Raises:
            OSError: it could not be written; nothing is written any more from then on.
        """
        if self.failure:
            raise OSError(self.failure)
        line = encode(record)
        try:
            done = 0
            while done < len(line):
                done += os.pwrite(self._file, line[done:], self._size + done)
        except OSError as error:
            self._fail(error)
            raise
        self._size += len(line)
        return self._size

    def sync(self, size: int) -> None:
        """Return once the first `size` bytes are on the disk; who waits together syncs together.

        Raises:
            OSError: they are not, and whether they will be is not known.
        """
        with self._syncing:
            if self._synced >= size:
                return
            if self.failure:
                raise OSError(self.failure)
            written = self._size
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self._fail(error)
                raise
            self._synced = written

    def close(self) -> None:
        """Write no more."""
        self.failure = self.failure or "the journal is closed"
        with self._syncing:
            os.close(self._file)

    def _fail(self, error: OSError) -> None:
        self.failure = error.strerror or str(error)
