"""One executor per data directory: the lock that a second console on it finds taken.

Only on this machine; consoles on several machines share a database and its own locks.
"""

from __future__ import annotations

import fcntl
from io import TextIOWrapper
from pathlib import Path


class DirectoryLock:
    """An exclusive lock on a directory, released with the process at the latest."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "executor.lock"
        self._file: TextIOWrapper | None = None

    def acquire(self) -> bool:
        """Take it; False: another process has it."""
        if self._file is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None
