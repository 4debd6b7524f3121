"""Cross-series reducers: from many aligned series to one per group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emulator.apis.monitoring.columns import Column, Table
from emulator.apis.monitoring.distributions import Distributions, percentile
from emulator.world.noise import Floats, Ints


def concatenate(tables: Sequence[Table]) -> Table:
    """All rows of the tables; a label that a table lacks is empty."""
    names = dict.fromkeys(name for table in tables for name in table.columns)
    columns: dict[str, Column] = {}
    for name in names:
        known: dict[str, int] = {}
        codes: list[Ints] = []
        for table in tables:
            found = table.columns.get(name)
            values = found.values if found else ("",)
            mapped = np.array([known.setdefault(v, len(known)) for v in values], dtype=np.int64)
            codes.append(mapped[found.codes] if found else np.repeat(mapped, table.size))
        columns[name] = Column(np.concatenate(codes), tuple(known))
    return Table(sum(t.size for t in tables), columns)


def groups(table: Table, fields: Sequence[str]) -> tuple[Ints, Table]:
    """(group of each row, table of the groups with those labels alone)."""
    number = np.zeros(table.size, dtype=np.int64)
    for field in fields:
        column = table.columns.get(field)
        if column is not None:
            number = number * len(column.values) + column.codes
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    kept = {f: table.columns[f] for f in fields if f in table.columns}
    return inverse.astype(np.int64), Table(table.size, kept).take(first)


def reduce_numbers(values: Floats, group: Ints, count: int, how: str) -> Floats:
    """Values (series, windows) → (groups, windows); NaN: no point."""
    order = np.argsort(group, kind="stable")
    values = values[order]
    starts = np.searchsorted(group[order], np.arange(count))
    present = ~np.isnan(values)
    number = np.add.reduceat(present, starts, axis=0, dtype=np.float64)
    some = number > 0
    if how == "REDUCE_COUNT":
        return np.where(some, number, np.nan)
    if how == "REDUCE_MAX":
        best = np.maximum.reduceat(np.where(present, values, -np.inf), starts, axis=0)
        return np.where(some, best, np.nan)
    if how == "REDUCE_MIN":
        best = np.minimum.reduceat(np.where(present, values, np.inf), starts, axis=0)
        return np.where(some, best, np.nan)
    if how.startswith("REDUCE_PERCENTILE_"):
        per_cent = float(how.rsplit("_", 1)[1])
        ends = [*starts[1:], len(values)]
        parts = [_percentile(values[a:b], per_cent) for a, b in zip(starts, ends, strict=True)]
        return np.stack(parts)
    total = np.add.reduceat(np.where(present, values, 0.0), starts, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / number
    if how == "REDUCE_SUM":
        return np.where(some, total, np.nan)
    if how == "REDUCE_STDDEV":
        squares = np.add.reduceat(np.where(present, values**2, 0.0), starts, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(np.maximum(squares / number - mean**2, 0.0))
    if how == "REDUCE_COUNT_TRUE":
        return np.where(some, total, np.nan)
    if how == "REDUCE_COUNT_FALSE":
        return np.where(some, number - total, np.nan)
    return np.where(some, mean, np.nan)  # REDUCE_MEAN, REDUCE_FRACTION_TRUE


def _percentile(values: Floats, per_cent: float) -> Floats:
    """Linear interpolation between order statistics, missing values left out, per column."""
    ordered = np.sort(values, axis=0)
    number = (~np.isnan(ordered)).sum(axis=0)
    position = np.maximum(number - 1, 0) * per_cent / 100.0
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(number - 1, 0))
    left = np.take_along_axis(ordered, low[None, :], axis=0)[0]
    right = np.take_along_axis(ordered, high[None, :], axis=0)[0]
    return np.where(number > 0, left + (right - left) * (position - low), np.nan)


def merge(found: Distributions, group: Ints, count: int) -> Distributions:
    """The distributions of each group together."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(count))
    return Distributions(
        found.bounds,
        np.add.reduceat(found.counts[order], starts, axis=0),
        np.add.reduceat(found.sums[order], starts, axis=0),
        np.add.reduceat(found.squares[order], starts, axis=0),
    )


def reduce_distributions(
    found: Distributions, group: Ints, count: int, how: str
) -> Distributions | Floats:
    """Distributions → merged ones (REDUCE_SUM), or a number per group and window."""
    merged = merge(found, group, count)
    if how == "REDUCE_SUM":
        return merged
    if how.startswith("REDUCE_PERCENTILE_"):
        return percentile(merged, float(how.rsplit("_", 1)[1]))
    if how == "REDUCE_COUNT":
        some = np.where(found.counts.sum(axis=-1) > 0, 1.0, np.nan)
        return reduce_numbers(some, group, count, how)
    total = merged.counts.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(total > 0, merged.sums / total, np.nan)
        if how == "REDUCE_STDDEV":
            return np.sqrt(np.maximum(merged.squares / total - mean**2, 0.0))
    return mean
