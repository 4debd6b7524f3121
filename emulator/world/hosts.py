"""Hosts by name with the times at which each was away; who runs them tells (GKE, the TPU API).

What their chips do stands in chips.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FOREVER = float("inf")
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Host:
    """One VM with chips: `slice_index` counts within the part, `worker` within the slice.

    `pod` is the server's pod on it, where it runs one. `absences` are the [start, end) times in
    Unix seconds at which it did not exist. `spot`: its chips are billed as such.
    """

    name: str
    pool: str
    slice_index: int
    worker: int
    chips: int
    pod: str = ""
    absences: tuple[Span, ...] = ()
    spot: bool = False


def absences(sizes: Sequence[tuple[float, int]], ordinal: int) -> tuple[Span, ...]:
    """When the host of that ordinal was not there.

    Args:
        sizes: the pool's size since each time, oldest first, e.g. [(0.0, 12), (1.7e9, 16)].
    """
    found: list[Span] = []
    ends = [at for at, _ in sizes[1:]] + [FOREVER]
    for (start, size), end in zip(sizes, ends, strict=True):
        if ordinal < size:
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)
