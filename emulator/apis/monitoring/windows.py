"""Alignment windows, and which of the world's minutes fall into each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from emulator.world.noise import Floats, Ints


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows (edges[w], edges[w + 1]] in Unix seconds, oldest first, of `period` seconds."""

    edges: Floats
    period: float
    now: float

    @property
    def count(self) -> int:
        """Number of windows."""
        return max(len(self.edges) - 1, 0)

    def minutes(self) -> Ints:
        """Every minute index whose sample (at its end) lies in a window and is not in the future.

        The running minute is the last when it overlaps, so that a rate up to now is not too low.
        """
        if not self.count:
            return np.arange(0, dtype=np.int64)
        first = math.floor(self.edges[0] / 60.0)
        last = math.ceil(min(self.edges[-1], self.now) / 60.0)
        return np.arange(first, max(last, first), dtype=np.int64)

    def sample_ranges(self, times: Floats) -> tuple[Ints, Ints]:
        """Per window the [first, last) indexes into sorted sample times."""
        bounds = np.searchsorted(times, self.edges, side="right")
        return bounds[:-1], bounds[1:]

    def covered(self) -> Floats:
        """Seconds of each window that are not in the future."""
        return np.clip(np.minimum(self.edges[1:], self.now) - self.edges[:-1], 0.0, None)


def windows(start: float, end: float, period: float, now: float) -> Windows:
    """Windows that end at `end`, `end` − period, … while they end after `start`.

    Windows that begin in the future are left out.
    """
    count = max(math.ceil((end - start) / period - 1e-9), 1)
    edges = end - period * np.arange(count, -1, -1, dtype=np.float64)
    keep = max(int(np.searchsorted(edges, now, side="left")), 1)
    return Windows(edges[: keep + 1], period, now)
