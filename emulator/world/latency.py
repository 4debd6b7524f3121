"""Latency as a distribution: a mixture of two log-normals, as bucket counts over any bounds.

Most requests follow the part's own log-normal; a few take three times as long (a page fault of the
prefix cache, a retried connection), which makes the tail that real services have.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from emulator.world.noise import Floats

TAIL_SHARE: Final = 0.015
TAIL_FACTOR: Final = 3.0
_REACH: Final = 5.0  # standard deviations beyond which nothing is left
_SCALE: Final = 1.0 / (1.0 - TAIL_SHARE + TAIL_SHARE * TAIL_FACTOR)
# The normal distribution's function by a table, exact to 2e-7: SciPy's would cost 22 MiB.
_GRID: Final = np.linspace(-8.0, 8.0, 8193)
_NORMAL: Final = np.array([0.5 * math.erfc(-x / math.sqrt(2.0)) for x in _GRID])


def cdf(mean: Floats, sigma: Floats, bounds: Floats) -> Floats:
    """P(X ≤ bound): shape (minutes, bounds) for `mean` and `sigma` of shape (minutes,).

    The mixture's mean is `mean`; bounds must be positive and ascend. Bounds that are far from all
    the means cost nothing, nor do minutes that are all alike.
    """
    if len(mean) > 1 and np.ptp(mean) == 0 and np.ptp(sigma) == 0:
        return np.repeat(cdf(mean[:1], sigma[:1], bounds), len(mean), axis=0)
    mu = np.log(np.maximum(mean * _SCALE, 1e-12)) - sigma**2 / 2
    logs = np.log(bounds)
    out = np.zeros((len(mean), len(bounds)))
    if not len(mean):
        return out
    low = int(np.searchsorted(logs, (mu - _REACH * sigma).min()))
    top = (mu + np.log(TAIL_FACTOR) + _REACH * sigma).max()
    high = int(np.searchsorted(logs, top, side="right"))
    out[:, high:] = 1.0
    z = (logs[low:high] - mu[:, None]) / sigma[:, None]
    shift = np.log(TAIL_FACTOR) / sigma[:, None]
    out[:, low:high] = (1.0 - TAIL_SHARE) * _normal(z) + TAIL_SHARE * _normal(z - shift)
    return out


def _normal(z: Floats) -> Floats:
    return np.interp(z, _GRID, _NORMAL)


def bucket_counts(count: Floats, mean: Floats, sigma: Floats, bounds: Floats) -> Floats:
    """Expected counts per bucket, shape (..., bounds + 1): below the first, …, above the last."""
    below = cdf(mean, sigma, bounds)
    edges = np.concatenate(
        [np.zeros((*below.shape[:-1], 1)), below, np.ones((*below.shape[:-1], 1))], axis=-1
    )
    return np.diff(edges, axis=-1) * count[..., None]


def second_moment(mean: Floats, sigma: Floats) -> Floats:
    """E[X²] of the mixture."""
    base = (mean * _SCALE) ** 2 * np.exp(sigma**2)
    return base * (1.0 - TAIL_SHARE + TAIL_SHARE * TAIL_FACTOR**2)
