"""The state directory: the journal, large bodies beside it, a place for what does not last.

```
DIR/journal     the first record says whose state it is, each other one start or one change
DIR/bodies/     bodies of requests that are too large for a line
DIR/scratch/    emptied at each start; APIs keep files there
```
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emulator.journal.file import Appender, Damaged, Reader, encode

FORMAT: Final = 1
_JOURNAL: Final = "journal"
_OWN: Final = frozenset({_JOURNAL, "journal.new", "lock", "bodies", "scratch"})


class StateError(Exception):
    """A state directory that cannot be used; the message, one line, says why and what to do."""


@dataclass(frozen=True, slots=True)
class Head:
    """Whose state it is; `started_at` in Unix seconds."""

    scenario: str
    seed: int
    started_at: float


class StateFolder:
    """A state directory of this process alone.

    Attributes:
        head: as the journal says, or as this start began it.
        journal: to write to, once all `records` are read.
        torn: bytes of an unfinished record that were cut off the journal's end.
    """

    def __init__(self, path: Path, head: Head, *, fresh: bool = False) -> None:
        """Open the directory, or make it if its parent is there; `fresh` drops what is in it.

        Raises:
            StateError: it is missing, cannot be written, is in use, holds something else, or the
                state of another scenario or seed.
        """
        self.path = path
        self.torn = 0
        self.journal: Appender | None = None
        self._lock: int | None = None
        try:
            self._open(head, fresh)
        except OSError as error:
            self.close()
            raise StateError(f"state directory {path}: {error.strerror or error}") from error
        except StateError:
            self.close()
            raise

    def _open(self, head: Head, fresh: bool) -> None:
        self._claim()
        if fresh:
            self._empty()
        if not self._file.exists():
            self._begin(head)
        self.head = self._read_head(head)
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.bodies, self.scratch):
            folder.mkdir(exist_ok=True)

    @property
    def bodies(self) -> Path:
        """Where large bodies lie."""
        return self.path / "bodies"

    @property
    def scratch(self) -> Path:
        """Where APIs may keep files; empty at each start."""
        return self.path / "scratch"

    @property
    def _file(self) -> Path:
        return self.path / _JOURNAL

    def _claim(self) -> None:
        if not self.path.exists():
            if not self.path.parent.is_dir():
                raise StateError(f"state directory {self.path}: {self.path.parent} does not exist")
            self.path.mkdir()
        foreign = sorted(p.name for p in self.path.iterdir() if p.name not in _OWN)
        if foreign:
            raise StateError(
                f"state directory {self.path} holds something else ({foreign[0]}): give an empty "
                "or a new one"
            )
        # Held until the process ends, however it ends.
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateError(
                f"state directory {self.path} is in use by another emulator"
            ) from error

    def _empty(self) -> None:
        self._file.unlink(missing_ok=True)
        shutil.rmtree(self.bodies, ignore_errors=True)

    def _begin(self, head: Head) -> None:
        shutil.rmtree(self.bodies, ignore_errors=True)
        record = {
            "kind": "head", "format": FORMAT, "scenario": head.scenario, "seed": head.seed,
            "started_at": head.started_at,
        }  # fmt: skip
        new = self.path / "journal.new"
        with new.open("wb") as file:
            file.write(encode(record))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file)
        sync_folder(self.path)

    def _read_head(self, wanted: Head) -> Head:
        try:
            first = next(Reader(self._file).records(), {})
        except Damaged:
            first = {}
        if first.get("kind") != "head":
            raise StateError(f"{self._file} is no journal of an emulator")
        if first["format"] != FORMAT:
            raise StateError(
                f"{self._file} has format {first['format']}, this emulator reads {FORMAT}: "
                "begin anew with --fresh"
            )
        found = Head(first["scenario"], first["seed"], first["started_at"])
        for name, there, asked in (
            ("scenario", found.scenario, wanted.scenario), ("seed", found.seed, wanted.seed),
        ):  # fmt: skip
            if there != asked:
                raise StateError(
                    f"state directory {self.path} is of {name} {there}, not {asked}: start with "
                    f"--{name} {there}, give another directory, or begin anew with --fresh"
                )
        return found

    def records(self) -> Iterator[dict[str, Any]]:
        """All records behind the head, oldest first; then the journal can be written to.

        Raises:
            StateError: it is damaged, or cannot be opened.
        """
        reader = Reader(self._file)
        try:
            for record in reader.records():
                if record["kind"] != "head":
                    yield record
            self.journal = Appender(self._file, reader.good)
        except Damaged as error:
            raise StateError(
                f"{self._file}: {error}, and others follow it: restore the file, or begin anew "
                "with --fresh"
            ) from error
        except OSError as error:
            raise StateError(f"{self._file}: {error.strerror or error}") from error
        self.torn = reader.torn

    def close(self) -> None:
        """Write no more, and let others have the directory."""
        if self.journal is not None:
            self.journal.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sync_folder(path: Path) -> None:
    """Return once the names in a folder are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
