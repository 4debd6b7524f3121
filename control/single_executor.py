"""One executor per data directory: the lock that a second console on it finds taken.

Only on this machine; consoles on several machines share a database and its own locks.
"""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path


class DirectoryLock:
    """An exclusive lock on a directory, released with the process at the latest.

    Whoever has it says in the file who it is, for those who find it taken.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "executor.lock"
        self._file: TextIOWrapper | None = None

    def acquire(self) -> bool:
        """Take it; False: another process has it."""
        if self._file is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a", encoding="utf-8")  # not "w": the holder's words stand in it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {_now()} UTC\n")
        file.flush()
        self._file = file
        return True

    def holder(self) -> str:
        """Who has it, in words; "" when it does not say."""
        try:
            return self._path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
