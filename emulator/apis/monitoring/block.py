"""Many series of one metric that share a shape: a product of coefficients and basis series.

`Block` and `DistributionBlock` come from the world, `SampledBlock` from measured samples. What an
aligner makes of them stands in align.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emulator.apis.monitoring.columns import Table
from emulator.world.noise import Floats, Ints

Basis = Callable[[Ints], Floats]


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows without points in [start, end), or with a constant `value` there."""

    rows: np.ndarray
    start: float
    end: float
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Series with value[s, minute] = coefficients[s] · basis(minutes)[:, minute].

    A GAUGE's basis is its value at the minute's end; a counter's is its growth in that minute.
    """

    resource_type: str
    labels: Table
    coefficients: Floats
    basis: Basis
    gaps: tuple[Gap, ...] = ()

    def take(self, rows: Ints) -> Block:
        """The block of those rows only."""
        gaps = tuple(replace(g, rows=g.rows[rows]) for g in self.gaps)
        return replace(
            self, labels=self.labels.take(rows), coefficients=self.coefficients[rows],
            gaps=tuple(g for g in gaps if g.rows.any()),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moments:
    """Distributions: counts (…, buckets), and Σx and Σx² (…)."""

    counts: Floats
    sums: Floats
    squares: Floats


@dataclass(frozen=True, slots=True)
class DistributionBlock:
    """Series whose minute holds a distribution: weights[s] × basis(minutes).

    The basis has counts (minutes, buckets) for `bounds`, and moments (minutes).
    """

    resource_type: str
    labels: Table
    weights: Floats
    bounds: Floats
    basis: Callable[[Ints], Moments]
    gaps: tuple[Gap, ...] = ()

    def take(self, rows: Ints) -> DistributionBlock:
        """The block of those rows only."""
        gaps = tuple(replace(g, rows=g.rows[rows]) for g in self.gaps)
        return replace(
            self, labels=self.labels.take(rows), weights=self.weights[rows],
            gaps=tuple(g for g in gaps if g.rows.any()),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SampledBlock:
    """Measured series: values (samples, series) at `times`, NaN where there was none.

    Counters and histograms hold their running totals; a histogram has `bounds`, its values are
    (samples, series, buckets) of counts per bucket, and `sums` (samples, series); `squares` (Σx²)
    where they are known. `starts` (samples) are the points' start times where they are known.
    A step over more than `longest_gap_s` without samples counts for nothing.
    """

    resource_type: str
    labels: Table
    times: Floats
    values: Floats
    bounds: Floats | None = None
    sums: Floats | None = None
    squares: Floats | None = None
    starts: Floats | None = None
    longest_gap_s: float = 60.0

    def take(self, rows: Ints) -> SampledBlock:
        """The block of those rows only."""
        return replace(
            self, labels=self.labels.take(rows), values=self.values[:, rows],
            sums=None if self.sums is None else self.sums[:, rows],
            squares=None if self.squares is None else self.squares[:, rows],
        )  # fmt: skip


AnyBlock = Block | DistributionBlock | SampledBlock
