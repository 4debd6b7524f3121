"""Merging distributions and reading percentiles off them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.histograms import (
    EMPTY,
    Histogram,
    exponential_bounds,
    histogram,
    linear_bounds,
    merge,
    percentile,
    quantiles_ms,
)

_bounds = st.lists(
    st.floats(0.5, 10_000, allow_nan=False).map(lambda x: round(x, 1)),
    min_size=1,
    max_size=12,
    unique=True,
).map(sorted)


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    """Any histogram of at least one event."""
    bounds = draw(_bounds)
    counts = draw(
        st.lists(st.integers(0, 500), min_size=len(bounds) + 1, max_size=len(bounds) + 1).filter(
            any
        )
    )
    return Histogram(tuple(bounds), tuple(float(c) for c in counts))


@given(st.lists(histograms(), max_size=5))
def test_merging_keeps_every_event(parts: list[Histogram]) -> None:
    """The total of a merge is the sum of the parts' totals, whatever their bounds."""
    assert merge(parts).total == pytest.approx(sum(p.total for p in parts))


@given(st.lists(histograms(), min_size=1, max_size=5), st.floats(0.01, 0.99))
def test_a_merged_percentile_lies_between_those_of_the_parts(
    parts: list[Histogram], ratio: float
) -> None:
    """No mixture has a percentile outside the range of its parts' percentiles.

    Cutting a bucket or collecting an open one at its bound may move events by no more than one
    bucket of the union of bounds, which the tolerance allows for.
    """
    merged = merge(parts)
    found = percentile(merged, ratio)
    each = [p for part in parts if (p := percentile(part, ratio)) is not None]
    assert found is not None
    edges = (0.0, *merged.bounds)
    low = max((e for e in edges if e <= min(each)), default=0.0)
    high = min((e for e in edges if e > max(each)), default=edges[-1])
    assert low - 1e-6 <= found <= high + 1e-6


@given(histograms(), st.integers(2, 6))
def test_merging_copies_moves_no_percentile(part: Histogram, copies: int) -> None:
    """The same distribution many times over has the same percentiles."""
    merged = merge([part] * copies)
    for ratio in (0.1, 0.5, 0.95, 0.99):
        assert percentile(merged, ratio) == pytest.approx(percentile(part, ratio))


@given(histograms())
def test_percentiles_ascend(part: Histogram) -> None:
    """p50 ≤ p95 ≤ p99, and all lie within the bounds."""
    found = quantiles_ms(part)
    assert found.p50_ms is not None
    assert found.p95_ms is not None
    assert found.p99_ms is not None
    assert 0 <= found.p50_ms <= found.p95_ms <= found.p99_ms <= part.bounds[-1]


def test_percentile_is_linear_in_its_bucket() -> None:
    """100 events in [10, 20): the median is 15, as Prometheus' histogram_quantile gives."""
    assert percentile(Histogram((10.0, 20.0), (0.0, 100.0, 0.0)), 0.5) == pytest.approx(15.0)


def test_percentile_of_the_open_bucket_is_its_bound() -> None:
    """Above the last bound nothing more is known."""
    assert percentile(Histogram((10.0, 20.0), (1.0, 0.0, 9.0)), 0.99) == 20.0


def test_no_events_have_no_percentile() -> None:
    """No event is None, never 0."""
    assert percentile(EMPTY, 0.5) is None
    assert percentile(Histogram((10.0,), (0.0, 0.0)), 0.5) is None
    assert quantiles_ms(EMPTY).p95_ms is None


def test_a_slow_minority_shows_in_the_merge_and_not_in_the_mean_of_percentiles() -> None:
    """90 fast and 10 slow requests: the p95 is a slow one."""
    fast = Histogram((100.0, 200.0, 5000.0, 6000.0), (90.0, 0.0, 0.0, 0.0, 0.0))
    slow = Histogram((5000.0, 6000.0), (0.0, 10.0, 0.0))
    found = percentile(merge([fast, slow]), 0.95)
    assert found is not None
    assert 5000 <= found <= 6000


def test_scaling_changes_the_unit() -> None:
    """Seconds to milliseconds moves the bounds, not the counts."""
    part = Histogram((0.5, 1.0), (1.0, 2.0, 3.0)).scaled(1000)
    assert part == Histogram((500.0, 1000.0), (1.0, 2.0, 3.0))


def test_bounds_follow_googles_formulas() -> None:
    """Linear: offset + width·i for i = 0…n; exponential: scale·growth^i for i = 0…n."""
    assert linear_bounds(3, 10, 5) == (5, 15, 25, 35)
    assert exponential_bounds(3, 2.0, 0.5) == (0.5, 1.0, 2.0, 4.0)


def test_missing_trailing_counts_are_zero() -> None:
    """Google leaves out trailing empty buckets."""
    assert histogram((1.0, 2.0), (4.0,)) == Histogram((1.0, 2.0), (4.0, 0.0, 0.0))


@pytest.mark.parametrize(("bounds", "counts"), [((1.0,), (1.0,)), ((2.0, 1.0), (0.0, 0.0, 0.0))])
def test_malformed_histograms_are_refused(
    bounds: tuple[float, ...], counts: tuple[float, ...]
) -> None:
    """Counts must fit the bounds, and the bounds ascend."""
    with pytest.raises(ValueError, match="bounds"):
        Histogram(bounds, counts)


def test_infinite_bounds_never_come_out() -> None:
    """A percentile is a finite number."""
    found = percentile(Histogram((1.0,), (0.0, 5.0)), 0.99)
    assert found is not None
    assert math.isfinite(found)
