"""Levels that hold from one instant to the next."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from emulator.world.noise import Floats, Ints


def levels(steps: Iterable[tuple[float, float]], times: Ints | Floats) -> Floats:
    """The level at each Unix time, of (Unix time from which it holds, level) in their order."""
    at, level = np.array(sorted(steps, key=lambda step: step[0])).T
    found: Floats = level[
        np.searchsorted(at, np.asarray(times, dtype=np.float64), side="right") - 1
    ]
    return found
