"""Content-Range of uploads that come in pieces, as Google's resumable protocol has it."""

from __future__ import annotations

import re
from typing import Final

# What a piece counts in, the last one excepted.
_QUANTUM: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


def content_span(header: str, size: int) -> tuple[int | None, int | None]:
    """First byte of a body of that size (None: no body), and the whole upload's size if known.

    Without a header the body is the whole.

    Raises:
        ValueError: it is none, or does not fit the body.
    """
    if not header:
        return 0, size
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        raise ValueError(f"Invalid Content-Range: {header}")
    total = None if found[3] == "*" else int(found[3])
    if not found[1]:
        return None, total
    first, last = int(found[1]), int(found[2])
    if last - first + 1 != size or (total is not None and last >= total):
        raise ValueError(f"Content-Range {header} does not fit a body of {size}.")
    return first, total


def taken(first: int, size: int, have: int, total: int | None) -> tuple[int, int]:
    """(from, to) within a piece: what of it is new, whole quanta only unless it is the last."""
    end = size
    if total is None or first + size < total:
        end -= (first + size) % _QUANTUM
    return min(have - first, max(end, 0)), max(end, 0)
