"""Per-series aligners: from blocks to one value per window.

Aligners that are linear in the values work on the few basis series and never unfold the many;
the others unfold minute values, some rows at a time.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from emulator.apis.monitoring.block import Block, DistributionBlock, Gap, SampledBlock
from emulator.apis.monitoring.distributions import Distributions
from emulator.apis.monitoring.windows import Windows
from emulator.world.noise import Floats, Ints

_UNFOLDED: Final = 4_000_000
_STALE_S: Final = 300.0
_CHUNK_MINUTES: Final = 4096


def sample_times(minutes: Ints) -> Floats:
    """A minute's sample is stamped with the minute's end."""
    return (minutes + 1) * 60.0


def _past(windows: Windows) -> Ints:
    """Minutes that have ended."""
    minutes = windows.minutes()
    return minutes[sample_times(minutes) <= windows.now]


def dense(values: Floats, times: Floats, windows: Windows, how: str) -> Floats:
    """Align values (series, samples) at `times` to (series, windows); NaN means no point."""
    first, last = windows.sample_ranges(times)
    out = np.full((values.shape[0], windows.count), np.nan)
    if how == "ALIGN_COUNT":
        present = np.concatenate(
            [np.zeros((values.shape[0], 1)), np.cumsum(~np.isnan(values), axis=1)], axis=1
        )
        found = present[:, last] - present[:, first]
        return np.where(found > 0, found, np.nan)
    for window, (a, b) in enumerate(zip(first, last, strict=True)):
        if b > a:
            out[:, window] = _one_window(values[:, a:b], how)
    if how in ("ALIGN_NEXT_OLDER", "ALIGN_INTERPOLATE"):
        _fill_older(out, values, times, windows)
    return out


def _one_window(part: Floats, how: str) -> Floats:
    present = ~np.isnan(part)
    some = present.any(axis=1)
    if how == "ALIGN_MEAN":
        total = np.where(present, part, 0.0).sum(axis=1)
        return np.where(some, total / np.maximum(present.sum(axis=1), 1), np.nan)
    if how == "ALIGN_SUM":
        return np.where(some, np.where(present, part, 0.0).sum(axis=1), np.nan)
    if how == "ALIGN_MAX":
        return np.where(some, np.where(present, part, -np.inf).max(axis=1), np.nan)
    if how == "ALIGN_MIN":
        return np.where(some, np.where(present, part, np.inf).min(axis=1), np.nan)
    if how == "ALIGN_STDDEV":
        mean = np.where(present, part, 0.0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        spread = np.where(present, (part - mean[:, None]) ** 2, 0.0).sum(axis=1)
        return np.where(some, np.sqrt(spread / np.maximum(present.sum(axis=1), 1)), np.nan)
    if how == "ALIGN_FRACTION_TRUE":
        total = np.where(present, part, 0.0).sum(axis=1)
        return np.where(some, 100.0 * total / np.maximum(present.sum(axis=1), 1), np.nan)
    if how in ("ALIGN_COUNT_TRUE", "ALIGN_COUNT_FALSE"):
        wanted = 1.0 if how == "ALIGN_COUNT_TRUE" else 0.0
        return np.where(some, (part == wanted).sum(axis=1), np.nan)
    newest = part.shape[1] - 1 - np.argmax(present[:, ::-1], axis=1)
    return np.where(some, part[np.arange(part.shape[0]), newest], np.nan)


def _fill_older(out: Floats, values: Floats, times: Floats, windows: Windows) -> None:
    """Where a window has no sample, the newest older one, unless it is stale."""
    for window in range(windows.count):
        before = int(np.searchsorted(times, windows.edges[window + 1], side="right")) - 1
        if before >= 0 and windows.edges[window + 1] - times[before] <= _STALE_S:
            missing = np.isnan(out[:, window])
            out[missing, window] = values[missing, before]


def align_gauge(block: Block, windows: Windows, how: str) -> Floats:
    """A world gauge by any aligner, (series, windows)."""
    minutes = _past(windows)
    if how in ("ALIGN_NEXT_OLDER", "ALIGN_INTERPOLATE") and windows.count:
        lead = np.arange(minutes[0] - 5 if minutes.size else int(windows.edges[0] // 60) - 5,
                         minutes[0] if minutes.size else int(windows.edges[-1] // 60),
                         dtype=np.int64)  # fmt: skip
        minutes = np.concatenate([lead[sample_times(lead) <= windows.now], minutes])
    if how in ("ALIGN_MEAN", "ALIGN_SUM"):
        return _linear_gauge(block, minutes, windows, how)
    rows = max(1, _UNFOLDED // max(minutes.size, 1))
    parts = [
        dense(unfold(block.take(chunk), minutes), sample_times(minutes), windows, how)
        for chunk in _chunks(block.labels.size, rows)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, windows.count))


def _chunks(size: int, rows: int) -> list[Ints]:
    return [np.arange(a, min(a + rows, size)) for a in range(0, size, rows)]


def unfold(block: Block, minutes: Ints) -> Floats:
    """All values (series, minutes), NaN in gaps."""
    values = block.coefficients @ block.basis(minutes)
    times = sample_times(minutes)
    for gap in block.gaps:
        hit = (times > gap.start) & (times <= gap.end)
        if hit.any():
            values[np.ix_(gap.rows, hit)] = np.nan if gap.value is None else gap.value
    return values


def _linear_gauge(block: Block, minutes: Ints, windows: Windows, how: str) -> Floats:
    first, last = windows.sample_ranges(sample_times(minutes))
    basis = block.basis(minutes)
    running = np.concatenate([np.zeros((basis.shape[0], 1)), np.cumsum(basis, axis=1)], axis=1)
    samples = (last - first).astype(np.float64)
    sums = running[:, last] - running[:, first]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = block.coefficients @ np.where(samples > 0, sums / samples, np.nan)
    shares = np.ones_like(means) if how == "ALIGN_SUM" or block.gaps else None
    for gap in block.gaps:
        part = _overlap(gap, windows)
        if gap.value is not None:
            means[gap.rows] = means[gap.rows] * (1 - part) + gap.value * part
        elif shares is not None:
            shares[gap.rows] = np.maximum(shares[gap.rows] - part, 0.0)
    if shares is not None:
        means = np.where(shares > 1e-9, means, np.nan)
        if how == "ALIGN_SUM":
            means = means * samples * shares
    return means


def _overlap(gap: Gap, windows: Windows) -> Floats:
    """Share of each window's elapsed time that the gap covers."""
    ends = np.minimum(windows.edges[1:], windows.now)
    covered = np.minimum(ends, gap.end) - np.maximum(windows.edges[:-1], gap.start)
    return np.clip(covered, 0.0, None) / np.maximum(windows.covered(), 1e-9)


def align_growth(block: Block, windows: Windows) -> Floats:
    """Growth of a world counter in each window, (series, windows); exact at any edges."""
    minutes = windows.minutes()
    basis = block.basis(minutes)
    running = np.concatenate([np.zeros((basis.shape[0], 1)), np.cumsum(basis, axis=1)], axis=1)
    start = minutes[0] if minutes.size else 0
    edges = np.clip(np.minimum(windows.edges, windows.now) / 60.0 - start, 0.0, minutes.size)
    whole = np.minimum(np.floor(edges).astype(np.int64), max(minutes.size - 1, 0))
    at = running[:, whole]
    if minutes.size:
        at = at + (edges - whole) * basis[:, whole]
    grown = block.coefficients @ np.diff(at, axis=1)
    for gap in block.gaps:
        part = _overlap(gap, windows)
        grown[gap.rows] = np.where(part > 1 - 1e-9, np.nan, grown[gap.rows] * (1 - part))
    return grown


def align_distribution(block: DistributionBlock, windows: Windows) -> Distributions:
    """Events of a world distribution in each window."""
    minutes = _past(windows)
    buckets = len(block.bounds) + 1
    counts = np.zeros((windows.count, buckets))
    sums, squares = np.zeros(windows.count), np.zeros(windows.count)
    # Some minutes at a time, so that a long range does not need its whole unfolded table.
    for a in range(0, minutes.size, _CHUNK_MINUTES):
        chunk = minutes[a : a + _CHUNK_MINUTES]
        found = block.basis(chunk)
        target = np.searchsorted(windows.edges, sample_times(chunk), side="left") - 1
        inside = (target >= 0) & (target < windows.count)
        slots, begin = np.unique(target[inside], return_index=True)
        if slots.size:
            counts[slots] += np.add.reduceat(found.counts[inside], begin, axis=0)
            sums[slots] += np.add.reduceat(found.sums[inside], begin)
            squares[slots] += np.add.reduceat(found.squares[inside], begin)
    weights = np.repeat(block.weights[:, None], windows.count, axis=1)
    for gap in block.gaps:
        weights[gap.rows] = weights[gap.rows] * (1 - _overlap(gap, windows))
    return Distributions(
        block.bounds, weights[..., None] * counts, weights * sums, weights * squares
    )


def sampled_growth(block: SampledBlock, windows: Windows) -> tuple[Floats, Floats]:
    """Growth of measured counters and the seconds it was measured over, (series, windows, …).

    A step over more than the block's longest gap counts for nothing; a total that fell was reset,
    and its new value is its growth.
    """
    steps = np.diff(block.values, axis=0)
    steps = np.where(steps < 0, block.values[1:], steps)
    spacing = np.diff(block.times)
    steps = np.where(
        (spacing <= block.longest_gap_s).reshape((-1,) + (1,) * (steps.ndim - 1)), steps, np.nan
    )
    first, last = windows.sample_ranges(block.times[1:])
    shape = (block.labels.size, windows.count, *block.values.shape[2:])
    grown, seconds = np.zeros(shape), np.zeros((block.labels.size, windows.count))
    for window, (a, b) in enumerate(zip(first, last, strict=True)):
        if b > a:
            part = steps[a:b]
            grown[:, window] = np.where(np.isnan(part), 0.0, part).sum(axis=0)
            real = ~np.isnan(part.reshape(*part.shape[:2], -1)[..., 0])
            seconds[:, window] = (real * spacing[a:b, None]).sum(axis=0)
    return grown, seconds


def sampled_events(block: SampledBlock, windows: Windows) -> Distributions:
    """Events in each window of a distribution whose points are single samples, not totals."""
    assert block.bounds is not None
    assert block.sums is not None
    first, last = windows.sample_ranges(block.times)
    shape = (block.labels.size, windows.count)
    counts = np.zeros((*shape, block.values.shape[2]))
    sums, squares = np.zeros(shape), np.zeros(shape)
    written = block.squares if block.squares is not None else least_squares(block)
    for window, (a, b) in enumerate(zip(first, last, strict=True)):
        counts[:, window] = np.nansum(block.values[a:b], axis=0)
        sums[:, window] = np.nansum(block.sums[a:b], axis=0)
        squares[:, window] = np.nansum(written[a:b], axis=0)
    return Distributions(block.bounds, counts, sums, squares)


def least_squares(block: SampledBlock) -> Floats:
    """Σx² (samples, series) of a histogram that tells none: the least that its mean allows."""
    assert block.sums is not None
    counts = np.nan_to_num(block.values).sum(axis=-1)
    return np.nan_to_num(block.sums) ** 2 / np.maximum(counts, 1.0)
