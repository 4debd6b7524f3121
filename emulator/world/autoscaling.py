"""How many replicas Vertex runs of a part that may scale out: from demand alone, without memory.

Modelled: so many are wanted that the last minutes' requests use a set share of them; new ones serve
after the time that a container with weights takes to start; fewer come only after a calm while, so
that the number is the most that was wanted in a window of the past. Vertex's own rules differ in
detail (they go by a metric's mean over five minutes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from emulator.world.noise import Floats, Ints
from emulator.world.roofline import Engine

TARGET_RATIO: Final = 0.7
STARTS_MIN: Final = 4
CALM_MIN: Final = 10
LOOKS_BACK_S: Final = 60.0 * (STARTS_MIN + CALM_MIN)


def wanted(engine: Engine, offered: Floats, least: Floats, most: int) -> Floats:
    """Replicas that so many requests/s want, between `least` and `most` (or `least`, if more)."""
    needed = np.ceil(offered / (TARGET_RATIO * engine.per_slice * engine.capacity_rps))
    return np.clip(needed, least, np.maximum(least, most))


def running(
    engine: Engine, offered: Callable[[Ints], Floats], least: Floats, most: int, minutes: Ints
) -> Floats:
    """Replicas that serve in each minute; `offered` gives requests/s of any minutes."""
    found = least.copy()
    for back in range(STARTS_MIN, STARTS_MIN + CALM_MIN + 1):
        found = np.maximum(found, wanted(engine, offered(minutes - back), least, most))
    return found
