"""Counter-based noise: the same (seed, stream, index) gives the same number for ever.

Nothing here keeps state, so any window of time can be asked in any order. No physics lives here.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


@lru_cache(maxsize=65536)
def stream(*parts: str | int) -> int:
    """A 64-bit stream number from any names, stable between runs and machines."""
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def splitmix64(index: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """Steele, Lea and Flood's SplitMix64 finaliser over a counter, keyed by `key`."""
    with np.errstate(over="ignore"):
        z = (index + np.uint64(1)) * _GOLDEN + np.uint64(key)
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return z ^ (z >> np.uint64(31))


def uniform(key: int, index: Ints | int) -> Floats:
    """Numbers in [0, 1) for each index; shape of `index`."""
    counter = np.asarray(index, dtype=np.int64).astype(np.uint64)
    return (splitmix64(counter, key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def smooth(key: int, minutes: Ints | Floats, period: float) -> Floats:
    """Value noise in [-1, 1] over time, which turns about once every `period` minutes.

    Cosine interpolation between hashed lattice values; mean 0.
    """
    position = np.asarray(minutes, dtype=np.float64) / period
    cell = np.floor(position).astype(np.int64)
    weight = (1.0 - np.cos(np.pi * (position - cell))) / 2.0
    left, right = uniform(key, cell), uniform(key, cell + 1)
    return 2.0 * (left * (1.0 - weight) + right * weight) - 1.0


def unit(*parts: str | int) -> float:
    """One number in [0, 1) for a name."""
    return float(uniform(stream(*parts), 0))
