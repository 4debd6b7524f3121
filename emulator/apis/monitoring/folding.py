"""Sums and means over very many series, some rows at a time.

Ten thousand chips over a month of hours are 60 MB per array, and aligning and reducing them takes
several. Reducers that add up need no such table: rows are aligned a thousand at a time and added,
and where the aligner is linear, rows without gaps are added before they are aligned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeGuard

import numpy as np
import numpy.typing as npt

from emulator.apis.monitoring.block import AnyBlock, Block
from emulator.apis.monitoring.columns import table
from emulator.world.noise import Floats, Ints

Bools = npt.NDArray[np.bool_]

REDUCERS: Final = frozenset({"REDUCE_SUM", "REDUCE_MEAN", "REDUCE_COUNT"})
LINEAR: Final = frozenset({"ALIGN_MEAN", "ALIGN_SUM", "ALIGN_DELTA", "ALIGN_RATE"})
_ROWS: Final = 1024
# Below as many values one table costs less than the steps.
_WORTH: Final = 2_000_000


def adds_up(blocks: Sequence[AnyBlock], windows: int, reducer: str) -> TypeGuard[Sequence[Block]]:
    """Whether the query is large enough, and such that `fold` may answer it."""
    if reducer not in REDUCERS or not all(isinstance(b, Block) for b in blocks):
        return False
    return sum(b.labels.size for b in blocks) * windows > _WORTH


def fold(
    blocks: Sequence[Block], align: Callable[[Block], Floats], group: Ints, shape: tuple[int, int],
    how: str, *, span: tuple[float, float] | None = None,
) -> Floats:  # fmt: skip
    """Values (groups, windows) of the rows of all blocks; NaN: no point.

    Args:
        align: a block's values (rows, windows).
        group: each row's group, all blocks' rows in order.
        shape: groups, windows.
        how: one of REDUCERS.
        span: the windows' start and end, where the aligner is one of LINEAR.
    """
    total, number = np.zeros(shape), np.zeros(shape)
    done = 0
    for block in blocks:
        steady = replace(block, basis=_once(block))
        plain = _gapless(block, span)
        if plain.any():
            _add_plain(steady, plain, align, group[done + np.flatnonzero(plain)], total, number)
        rest = np.flatnonzero(~plain)
        for first in range(0, rest.size, _ROWS):
            rows = rest[first : first + _ROWS]
            values = align(steady.take(rows))
            own = group[done + rows]
            order = np.argsort(own, kind="stable")
            kinds, starts = np.unique(own[order], return_index=True)
            values = values[order]
            present = ~np.isnan(values)
            number[kinds] += np.add.reduceat(present, starts, axis=0, dtype=np.float64)
            total[kinds] += np.add.reduceat(np.where(present, values, 0.0), starts, axis=0)
        done += block.labels.size
    if how == "REDUCE_COUNT":
        total = number
    elif how == "REDUCE_MEAN":
        total = total / np.maximum(number, 1.0)
    return np.where(number > 0, total, np.nan)


def _gapless(block: Block, span: tuple[float, float] | None) -> Bools:
    """Which rows have no gap in the span; none where there is no span."""
    if span is None:
        return np.zeros(block.labels.size, dtype=bool)
    found = np.ones(block.labels.size, dtype=bool)
    for gap in block.gaps:
        if gap.start < span[1] and gap.end > span[0]:
            found &= ~np.asarray(gap.rows)
    return found


def _add_plain(
    block: Block, plain: Bools, align: Callable[[Block], Floats], group: Ints, total: Floats,
    number: Floats,
) -> None:  # fmt: skip
    """Add rows without gaps: of each group the sum of coefficients says what the rows would."""
    kinds, place, counts = np.unique(group, return_inverse=True, return_counts=True)
    sums = np.zeros((kinds.size, block.coefficients.shape[1]))
    np.add.at(sums, place, block.coefficients[plain])
    together = replace(block, labels=table(kinds.size), coefficients=sums, gaps=())
    values = align(together)
    present = ~np.isnan(values)
    number[kinds] += present * counts[:, None]
    total[kinds] += np.where(present, values, 0.0)


def _once(block: Block) -> Callable[[Ints], Floats]:
    """The block's basis, worked out once for the minutes that all its rows share."""
    kept: dict[tuple[int, int, int], Floats] = {}

    def basis(minutes: Ints) -> Floats:
        first, last = (int(minutes[0]), int(minutes[-1])) if minutes.size else (0, 0)
        key = (first, last, minutes.size)
        if key not in kept:
            kept[key] = block.basis(minutes)
        return kept[key]

    return basis
