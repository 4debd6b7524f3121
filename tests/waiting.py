"""Waits for what is to come, for the tests of all folders: for conditions, never for times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_Found = TypeVar("_Found")


def wait_until(
    look: Callable[[], _Found], timeout_s: float = 120.0, pause_s: float = 0.05
) -> _Found:
    """What `look` gives, once it gives anything true; in time, or the test fails."""
    end = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < end, f"not in time, but {found!r}"
        time.sleep(pause_s)
    return found
