"""Rotary position embeddings: how fast each pair of a head turns, and the ways of stretching that.

Plain NumPy in float64. What does not live here: applying the rotation (`model`).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class RopeScaling:
    """How a checkpoint was stretched beyond the context that it was first trained for.

    `low` and `high` are, for llama3, the numbers of turns within the original context below and
    above which a pair is stretched wholly and not at all; for yarn its beta_slow and beta_fast.
    `size` is what yarn multiplies cosine and sine by.
    """

    kind: Literal["linear", "llama3", "yarn"]
    factor: float
    original_context: int = 0
    low: float = 1.0
    high: float = 4.0
    size: float = 1.0


def _llama3(speed: np.ndarray, scaling: RopeScaling) -> np.ndarray:
    """Slow pairs are stretched, quick ones kept, those between blended (Llama 3.1's release)."""
    turns = scaling.original_context * speed / (2 * math.pi)
    kept = np.clip((turns - scaling.low) / (scaling.high - scaling.low), 0, 1)
    return speed * (kept + (1 - kept) / scaling.factor)


def _yarn(speed: np.ndarray, scaling: RopeScaling, base: float, width: int) -> np.ndarray:
    """The same, blended along the pair's index (Peng et al. 2023, "YaRN", section 3.2)."""

    def pair_of(turns: float) -> float:
        wave = scaling.original_context / (turns * 2 * math.pi)
        return width * math.log(wave) / (2 * math.log(base))

    first = max(math.floor(pair_of(scaling.high)), 0)
    last = min(math.ceil(pair_of(scaling.low)), width - 1)
    stretched = np.clip((np.arange(len(speed)) - first) / max(last - first, 0.001), 0, 1)
    return speed * (1 - stretched + stretched / scaling.factor)


def rope_angles(
    width: int, base: float, scaling: RopeScaling | None, positions: int
) -> tuple[np.ndarray, float]:
    """Angles `[positions, width / 2]` in radians, and the factor for their cosine and sine."""
    speed = base ** (-np.arange(0, width, 2, dtype=np.float64) / width)
    if scaling is not None and scaling.kind == "linear":
        speed = speed / scaling.factor
    elif scaling is not None and scaling.kind == "llama3":
        speed = _llama3(speed, scaling)
    elif scaling is not None:
        speed = _yarn(speed, scaling, base, width)
    return np.arange(positions, dtype=np.float64)[:, None] * speed, scaling.size if scaling else 1.0
