"""Writing what was read: again from the newest state when an answer was lost or it just changed.

For writes that compare first and carry a fingerprint, so that a second one never does harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from core.errors import Conflict, OpsError, Unavailable

T = TypeVar("T")

_TRIES: Final = 3


def write_from_newest(write: Callable[[], T], what: str) -> T:
    """What `write` returns; it reads, compares and writes, and is called anew up to three times.

    Raises:
        OpsError: it failed for good. After a lost answer it says that the outcome is not known.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return write()
        except OpsError as error:
            again = error.retryable or isinstance(error, Conflict)
            if again and attempt < _TRIES:
                continue
            if not error.retryable:
                raise
            raise Unavailable(
                f"{error.message} (whether it was written is not known: look at {what})",
                resource=error.resource,
                hint=error.hint,
            ) from error
    raise AssertionError("the loop either returns or raises")
