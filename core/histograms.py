"""Distributions as histograms: merging them and reading percentiles off them.

Percentiles of several distributions together come only from their merged buckets, never from an
average of percentiles. Where the bounds differ, the merged histogram has the union of the bounds,
and the counts of a bucket that is cut are spread evenly over its parts. Reading time series into
histograms is `services/monitoring.py`'s work.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.records import Quantiles


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values between ascending bounds.

    Attributes:
        bounds: n finite, strictly ascending upper bounds of all buckets but the last.
        counts: n + 1 counts: below bounds[0], [bounds[i-1], bounds[i]) …, from bounds[-1] on.
            Not always whole numbers, since rates and cut buckets are counted too.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError(f"{len(self.bounds)} bounds need {len(self.bounds) + 1} counts")
        if any(a >= b for a, b in zip(self.bounds, self.bounds[1:], strict=False)):
            raise ValueError("bounds are not strictly ascending")

    @property
    def total(self) -> float:
        """Events counted."""
        return sum(self.counts)

    def scaled(self, factor: float) -> Histogram:
        """The same events in another unit: bounds times `factor` (1000 for seconds → ms)."""
        return Histogram(tuple(b * factor for b in self.bounds), self.counts)


EMPTY = Histogram((), (0.0,))


def linear_bounds(finite_buckets: int, width: float, offset: float) -> tuple[float, ...]:
    """Bounds of Cloud Monitoring's Distribution.BucketOptions.Linear (same formula)."""
    return tuple(offset + width * i for i in range(finite_buckets + 1))


def exponential_bounds(finite_buckets: int, growth: float, scale: float) -> tuple[float, ...]:
    """Bounds of Cloud Monitoring's Distribution.BucketOptions.Exponential (same formula)."""
    return tuple(scale * growth**i for i in range(finite_buckets + 1))


def histogram(bounds: Sequence[float], counts: Sequence[float]) -> Histogram:
    """A histogram from counts of which trailing zeros may be left out, as in Google's answers.

    Raises:
        ValueError: more counts than buckets, or bounds that do not ascend.
    """
    missing = len(bounds) + 1 - len(counts)
    return Histogram(tuple(bounds), (*counts, *(0.0,) * max(0, missing)))


def merge(parts: Iterable[Histogram]) -> Histogram:
    """All events of all parts, over the union of their bounds; the total is preserved."""
    merged = EMPTY
    for part in parts:
        if part.total == 0:
            continue
        if merged.total == 0:
            merged = part
        elif part.bounds == merged.bounds:
            sums = tuple(a + b for a, b in zip(merged.counts, part.counts, strict=True))
            merged = Histogram(merged.bounds, sums)
        else:
            bounds = tuple(sorted({*merged.bounds, *part.bounds}))
            a, b = _spread(merged, bounds), _spread(part, bounds)
            merged = Histogram(bounds, tuple(x + y for x, y in zip(a, b, strict=True)))
    return merged


def _spread(source: Histogram, bounds: tuple[float, ...]) -> list[float]:
    """Counts of `source` over finer `bounds`, which contain all of its own."""
    counts = [0.0] * (len(bounds) + 1)
    for i, count in enumerate(source.counts):
        if count == 0:
            continue
        if i == len(source.bounds):
            # Nothing is known of an open bucket's width: its events sit just above its bound.
            counts[bisect.bisect_right(bounds, source.bounds[-1])] += count
            continue
        low, high = _edges(source, i)
        if low == high:
            counts[bisect.bisect_left(bounds, high)] += count
            continue
        first, last = bisect.bisect_right(bounds, low), bisect.bisect_right(bounds, high)
        for j in range(first, last):
            below = max(low, bounds[j - 1]) if j > 0 else low
            counts[j] += count * (bounds[j] - below) / (high - low)
    return counts


def _edges(source: Histogram, i: int) -> tuple[float, float]:
    """Both edges of bucket i, not the last; the first one of values that cannot be negative
    starts at 0, one below that has no width."""
    high = source.bounds[i]
    return (source.bounds[i - 1] if i > 0 else min(0.0, high)), high


def percentile(source: Histogram, ratio: float) -> float | None:
    """The value below which `ratio` (0–1) of the events lie; None: no events.

    Linear within the bucket, as Prometheus' histogram_quantile and Cloud Monitoring's
    ALIGN_PERCENTILE do; of the last, open bucket its bound is all that is known.
    """
    total = source.total
    if total <= 0 or not source.bounds:
        return None
    wanted = ratio * total
    seen = 0.0
    for i, count in enumerate(source.counts):
        if count <= 0 or (seen + count < wanted and i < len(source.counts) - 1):
            seen += count
            continue
        if i == len(source.bounds):
            return source.bounds[-1]
        low, high = _edges(source, i)
        return low + (high - low) * min(1.0, max(0.0, (wanted - seen) / count))
    return source.bounds[-1]


def quantiles_ms(source_ms: Histogram) -> Quantiles:
    """p50, p95 and p99 of a histogram whose bounds are milliseconds."""
    return Quantiles(
        p50_ms=percentile(source_ms, 0.5),
        p95_ms=percentile(source_ms, 0.95),
        p99_ms=percentile(source_ms, 0.99),
    )
