"""Single chips: the part's level with a spread over chips, which moves slowly.

A chip's reading is level(t) + gain(t) × Σₖ uₖ(chip)·vₖ(t), a product of two small matrices, so that
ten thousand chips over thirty days are one matrix product and any mean over time is exact. The
reading stays within 0–1 since the gain falls to nothing at both ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from emulator.world.load import Load
from emulator.world.noise import Floats, smooth, stream, uniform

_PERIODS: Final = (4.0, 9.0, 23.0, 61.0, 181.0)
RANK: Final = 2 + len(_PERIODS)
STATIC_SPREAD: Final = 0.22
MOVING_SPREAD: Final = 0.10

TENSORCORE: Final = "tensorcore"
DUTY: Final = "duty"
BANDWIDTH: Final = "bandwidth"
MEMORY: Final = "memory"


def loadings(seed: int, hosts: Sequence[str], chips: Sequence[int]) -> Floats:
    """Each chip's coefficients, shape (chips, RANK): 1, the lasting spread, the moving ones."""
    keys = np.array([stream(host) % (1 << 40) for host in hosts], dtype=np.int64)
    index = keys * 16 + np.asarray(chips, dtype=np.int64)
    columns = [np.ones(index.shape)]
    for number in range(RANK - 1):
        spread = STATIC_SPREAD if number == 0 else MOVING_SPREAD
        columns.append(spread * (2.0 * uniform(stream(seed, "chip", number), index) - 1.0))
    return np.stack(columns, axis=1)


def basis(load: Load, signal: str, seed: int) -> Floats:
    """The signal's levels over time, 0–1, shape (RANK, minutes)."""
    level = _level(load, signal)
    damping = 0.12 if signal == MEMORY else 1.0
    gain = damping * level * (1.0 - level)
    rows = [level, gain]
    for period in _PERIODS:
        rows.append(gain * smooth(stream(seed, "chip wave", int(period)), load.minutes, period))
    return np.stack(rows)


def _level(load: Load, signal: str) -> Floats:
    """TensorCore use is the load over what the engine could carry (see docs of the world)."""
    if signal == TENSORCORE:
        return load.utilisation
    if signal == DUTY:
        return np.minimum(load.duty_ratio, 0.995)
    if signal == BANDWIDTH:
        return load.bandwidth_ratio
    return load.hbm_ratio
