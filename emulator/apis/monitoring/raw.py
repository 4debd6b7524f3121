"""Points as they were written, unaligned (ALIGN_NONE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.apis.monitoring import align
from emulator.apis.monitoring.block import AnyBlock, Block, DistributionBlock, SampledBlock
from emulator.apis.monitoring.catalogue import CUMULATIVE, DELTA
from emulator.apis.monitoring.distributions import Distributions
from emulator.world.noise import Floats, Ints

if TYPE_CHECKING:
    from emulator.apis.monitoring.query import Query

# Servers restart with each week's roll-out (Tuesdays, 10:00 UTC): then their counters begin anew.
_WEEK_MINUTES: Final = 7 * 1440
_ROLLOUT_MINUTE: Final = 5 * 1440 + 600
_VALUES_AT_ONCE: Final = 2_000_000


def split(block: AnyBlock, query: Query) -> list[AnyBlock]:
    """The block in pieces that are small enough to unfold."""
    points = max((query.end - query.start) / 60.0, 1.0)
    width = len(block.bounds) + 1 if isinstance(block, DistributionBlock) else 1
    rows = max(int(_VALUES_AT_ONCE / (points * width)), 1)
    size = block.labels.size
    if rows >= size:
        return [block]
    return [block.take(np.arange(a, min(a + rows, size))) for a in range(0, size, rows)]


def points(block: AnyBlock, query: Query) -> tuple[Floats, Floats, Floats | Distributions]:
    """(starts, ends, values) of all points in the query's interval."""
    if isinstance(block, SampledBlock):
        return _samples(block, query)
    first = int(np.floor(query.start / 60.0))
    last = int(np.floor(min(query.end, query.now) / 60.0))
    minutes = np.arange(first, last, dtype=np.int64)
    ends = align.sample_times(minutes)
    minutes, ends = minutes[ends > query.start], ends[ends > query.start]
    if not minutes.size:
        minutes = _point_at(query)
        ends = align.sample_times(minutes)
    if isinstance(block, DistributionBlock):
        return _distributions(block, query, minutes, ends)
    if query.metric.kind == CUMULATIVE:
        return _running(block, minutes, ends)
    starts = ends - 60.0 if query.metric.kind == DELTA else ends
    return starts, ends, align.unfold(block, minutes)


def _point_at(query: Query) -> Ints:
    """The one sample at an interval without length, if there is one."""
    exact = query.start == query.end and query.end % 60.0 == 0 and query.end <= query.now
    return np.array([int(query.end // 60) - 1] if exact else [], dtype=np.int64)


def _reset(minutes: Ints) -> Ints:
    """The minute of the last restart before each minute."""
    return (minutes - _ROLLOUT_MINUTE) // _WEEK_MINUTES * _WEEK_MINUTES + _ROLLOUT_MINUTE


def _running(block: Block, minutes: Ints, ends: Floats) -> tuple[Floats, Floats, Floats]:
    if not minutes.size:
        return ends, ends, np.zeros((block.labels.size, 0))
    resets = _reset(minutes)
    whole = np.arange(resets[0], minutes[-1] + 1, dtype=np.int64)
    total = np.cumsum(block.basis(whole), axis=1)
    total = np.concatenate([np.zeros((total.shape[0], 1)), total], axis=1)
    since = total[:, minutes - whole[0] + 1] - total[:, resets - whole[0]]
    values = block.coefficients @ since
    for gap in block.gaps:
        hit = (ends > gap.start) & (ends <= gap.end)
        values[np.ix_(gap.rows, hit)] = np.nan
    return resets * 60.0, ends, values


def _distributions(
    block: DistributionBlock, query: Query, minutes: Ints, ends: Floats
) -> tuple[Floats, Floats, Distributions]:
    shape = (block.labels.size, minutes.size)
    if not minutes.size:
        none = np.zeros(shape)
        empty = Distributions(block.bounds, np.zeros((*shape, len(block.bounds) + 1)), none, none)
        return ends, ends, empty
    cumulative = query.metric.kind == CUMULATIVE
    resets = _reset(minutes)
    whole = np.arange(resets[0] if cumulative else minutes[0], minutes[-1] + 1, dtype=np.int64)
    found = block.basis(whole)
    parts = []
    for basis in (found.counts, found.sums, found.squares):
        flat = basis.reshape(len(whole), -1)
        if cumulative:
            total = np.concatenate([np.zeros((1, flat.shape[1])), np.cumsum(flat, axis=0)])
            flat = total[minutes - whole[0] + 1] - total[resets - whole[0]]
        parts.append(flat)
    weights = np.repeat(block.weights[:, None], minutes.size, axis=1)
    for gap in block.gaps:
        hit = (ends > gap.start) & (ends <= gap.end)
        weights[np.ix_(gap.rows, hit)] = 0.0
    values = Distributions(
        block.bounds, weights[..., None] * parts[0], weights * parts[1][:, 0],
        weights * parts[2][:, 0],
    )  # fmt: skip
    return resets * 60.0 if cumulative else ends - 60.0, ends, values


def _samples(block: SampledBlock, query: Query) -> tuple[Floats, Floats, Floats | Distributions]:
    keep = (block.times > query.start) & (block.times <= query.end)
    ends = block.times[keep]
    values = np.moveaxis(block.values[keep], 0, 1)
    starts = ends
    if block.starts is not None:
        starts = block.starts[keep]
    elif query.metric.kind == CUMULATIVE:
        # The process's start is unknown: the first sample that was taken stands for it.
        starts = np.full(ends.shape, block.times[0] - 1.0 if block.times.size else 0.0)
    if block.bounds is None or block.sums is None:
        return starts, ends, values
    sums = block.sums[keep].T
    counts = np.nan_to_num(values)
    known = block.squares if block.squares is not None else align.least_squares(block)
    squares = np.nan_to_num(known[keep].T)
    return starts, ends, Distributions(block.bounds, counts, np.nan_to_num(sums), squares)
