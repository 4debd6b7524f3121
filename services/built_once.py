"""Things that are built at first use and kept, each by itself: no build waits for another's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


class BuiltOnce:
    """By key. Safe for threads.

    Building may ask Google and take long, so it holds up those alone who need the same thing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}
        self._built: dict[str, object] = {}

    def get(self, key: str, build: Callable[[], T]) -> T:
        """What was built under that key, built now if it was not."""
        with self.lock_of(key):
            with self._lock:
                found = self._built.get(key)
            if found is None:
                found = build()
                with self._lock:
                    self._built[key] = found
            return cast(T, found)

    def lock_of(self, key: str) -> threading.RLock:
        """The lock under which that key is built."""
        with self._lock:
            return self._locks.setdefault(key, threading.RLock())

    def clear(self) -> dict[str, object]:
        """Forget all; what there was."""
        with self._lock:
            found, self._built = self._built, {}
        return found
