"""Percentiles out of bucket counts, as Google's aligners and reducers estimate them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from emulator.world.noise import Floats

# Google's buckets for a load balancer's latencies: 66 from 1 ms, each 1.4 times the last.
FINITE_BUCKETS: Final = 66
GROWTH: Final = 1.4
BOUNDS_MS: Final = tuple(GROWTH**i for i in range(FINITE_BUCKETS + 1))


@dataclass(frozen=True, slots=True)
class Distributions:
    """Distributions of many series over windows.

    `counts` is (series, windows, buckets): below bounds[0], between the bounds, above the last;
    `sums` and `squares` are (series, windows). No events: no point.
    """

    bounds: Floats
    counts: Floats
    sums: Floats
    squares: Floats

    def take(self, rows: np.ndarray) -> Distributions:
        """Those series only."""
        return Distributions(self.bounds, self.counts[rows], self.sums[rows], self.squares[rows])


def percentile(found: Distributions, per_cent: float) -> Floats:
    """The percentile of each (series, window), NaN where there is no event.

    Linear within the bucket that holds it; the first bucket begins at 0, and the open last one
    counts as its lower bound, since nothing says how far it reaches.
    """
    total = found.counts.sum(axis=-1)
    below = np.cumsum(found.counts, axis=-1)
    wanted = total * per_cent / 100.0
    bucket = np.minimum((below < wanted[..., None]).sum(axis=-1), found.counts.shape[-1] - 1)
    inside = np.take_along_axis(found.counts, bucket[..., None], axis=-1)[..., 0]
    reached = np.take_along_axis(below, bucket[..., None], axis=-1)[..., 0]
    lower = np.concatenate([[0.0], found.bounds])[bucket]
    # Without bounds there is one bucket, of which nothing is known.
    last = found.bounds[-1:] if len(found.bounds) else np.array([np.nan])
    upper = np.concatenate([found.bounds, last])[bucket]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((wanted - (reached - inside)) / inside, 0.0, 1.0)
        return np.where(total > 0, lower + (upper - lower) * share, np.nan)
