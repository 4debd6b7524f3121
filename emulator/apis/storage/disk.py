"""Contents of objects as files in a folder, hashed while they are written.

The folder goes when the emulator stops; the journal, if there is one, makes it again.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import google_crc32c

CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """A finished file; hashes in base64 as the API shows them. `md5` is "" for composed objects."""

    path: Path
    size: int
    crc32c: str
    md5: str


class Draft:
    """A file that is being written; `kept` once an object has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.kept = False
        self._file: IO[bytes] = path.open("wb")
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc = google_crc32c.Checksum()

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._md5.update(data)
        self._crc.update(data)
        self.size += len(data)

    def finish(self, *, composed: bool = False) -> Content:
        """Close it; no more can be written."""
        self._file.close()
        crc = base64.b64encode(self._crc.digest()).decode()
        md5 = "" if composed else base64.b64encode(self._md5.digest()).decode()
        return Content(self.path, self.size, crc, md5)

    def drop(self) -> None:
        """Give it up."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Disk:
    """The folder; `remove()` deletes it."""

    def __init__(self, parent: Path | None = None) -> None:
        """In `parent`, or in the system's temporary place."""
        self.folder = Path(tempfile.mkdtemp(prefix="heartwood-storage-", dir=parent))
        # Also where no emulator runs and stops, as in a test that only loads the APIs.
        self.remove = weakref.finalize(self, shutil.rmtree, self.folder, True)
        self._numbers = itertools.count(1)

    def draft(self) -> Draft:
        """A new, empty file."""
        return Draft(self._path())

    def put(self, data: bytes) -> Content:
        """A file of these bytes."""
        draft = self.draft()
        draft.write(data)
        return draft.finish()

    def share(self, content: Content) -> Content:
        """The same bytes under another name, without a copy of them."""
        path = self._path()
        os.link(content.path, path)
        return Content(path, content.size, content.crc32c, content.md5)

    def read(self, content: Content, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bytes `start` up to but without `end`; opened at once, so that a delete does no harm."""
        file = content.path.open("rb")
        return _chunks(file, start, content.size if end is None else end)

    def _path(self) -> Path:
        return self.folder / f"{next(self._numbers):08d}"


def _chunks(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = end - start
        while left > 0 and (data := file.read(min(CHUNK, left))):
            left -= len(data)
            yield data
