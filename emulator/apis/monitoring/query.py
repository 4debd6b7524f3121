"""One ListTimeSeries query: select, align, reduce, and once more where asked.

The result is a list of pieces that are worked out only when a page comes to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np

from emulator.apis.monitoring import align, filters, raw, rules
from emulator.apis.monitoring.block import AnyBlock, Block, DistributionBlock, SampledBlock
from emulator.apis.monitoring.catalogue import CUMULATIVE, DELTA, GAUGE, Metric
from emulator.apis.monitoring.columns import Table, constant
from emulator.apis.monitoring.distributions import Distributions, percentile
from emulator.apis.monitoring.folding import LINEAR, adds_up, fold
from emulator.apis.monitoring.reduce import (
    concatenate,
    groups,
    reduce_distributions,
    reduce_numbers,
)
from emulator.apis.monitoring.windows import Windows, windows
from emulator.wire.errors import invalid
from emulator.world.noise import Floats

TYPE: Final = "resource.type"


@dataclass(frozen=True, slots=True)
class Step:
    """One Aggregation; `group_by` as columns.py names the fields."""

    aligner: str = "ALIGN_NONE"
    reducer: str = "REDUCE_NONE"
    period_s: float = 0.0
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: (start, end] in Unix seconds."""

    metric: Metric
    filter: filters.Node
    start: float
    end: float
    steps: tuple[Step, ...]
    project: str
    now: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Series of a common time grid; NaN or an empty distribution: no point.

    `starts` and `ends` (points) are the points' intervals in Unix seconds, oldest first; the
    table's column "resource.type" holds each series' resource type.
    """

    labels: Table
    kind: str
    value_type: str
    unit: str
    starts: Floats
    ends: Floats
    values: Floats | Distributions


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the result, worked out when wanted."""

    labels: Table
    evaluate: Callable[[], Answer]


def run(query: Query, blocks: Sequence[AnyBlock]) -> list[Piece]:
    """The query's result.

    Raises:
        ApiError: INVALID_ARGUMENT: an aligner or reducer that does not fit.
    """
    chosen = [b for block in blocks if (b := _select(query, block)) is not None]
    first = query.steps[0]
    kind, value_type = query.metric.kind, query.metric.value_type
    if first.aligner == "ALIGN_NONE":
        return [_raw_piece(query, part) for block in chosen for part in raw.split(block, query)]
    for number, step in enumerate(query.steps):
        field = "aggregation" if number == 0 else "secondaryAggregation"
        if number and step.aligner == "ALIGN_NONE":
            continue
        kind, value_type = rules.aligned_type(step.aligner, kind, value_type, field)
        if step.reducer != "REDUCE_NONE":
            value_type = rules.reduced_type(step.reducer, kind, value_type, field)
    if not chosen:
        return []
    labels = concatenate([_labelled(b) for b in chosen])
    return [Piece(labels, lambda: _evaluate(query, chosen, labels))]


def _labelled(block: AnyBlock) -> Table:
    return block.labels.with_columns({TYPE: constant(block.resource_type, block.labels.size)})


def _select(query: Query, block: AnyBlock) -> AnyBlock | None:
    fixed = {
        "metric.type": query.metric.type,
        "resource.type": block.resource_type,
        "project": query.project,
    }
    mask = query.filter.select(block.labels, fixed)
    if not mask.any():
        return None
    return block if mask.all() else block.take(np.flatnonzero(mask))


def _raw_piece(query: Query, block: AnyBlock) -> Piece:
    labels = _labelled(block)

    def evaluate() -> Answer:
        starts, ends, values = raw.points(block, query)
        metric = query.metric
        return Answer(labels, metric.kind, metric.value_type, metric.unit, starts, ends, values)

    return Piece(labels, evaluate)


def _evaluate(query: Query, blocks: Sequence[AnyBlock], labels: Table) -> Answer:
    first = query.steps[0]
    grid = windows(query.start, query.end, first.period_s, query.now)
    kind, value_type = rules.aligned_type(
        first.aligner, query.metric.kind, query.metric.value_type, "aggregation"
    )
    unit = query.metric.unit + ("/s" if first.aligner == "ALIGN_RATE" else "")
    if first.aligner.startswith("ALIGN_COUNT"):
        unit = "1"
    head = Answer(labels, kind, value_type, unit, *_intervals(grid, kind), np.zeros((0, 0)))
    if adds_up(blocks, grid.count, first.reducer):
        group, kept = groups(labels, first.group_by)

        def aligned(block: Block) -> Floats:
            return cast(Floats, _aligned(query.metric, block, grid, first.aligner))

        edges = (float(grid.edges[0]), float(grid.edges[-1]))
        span = edges if first.aligner in LINEAR else None
        shape = (kept.size, grid.count)
        values = fold(blocks, aligned, group, shape, first.reducer, span=span)
        answer = _reduced_to(head, first, kept, values)
    else:
        parts = [_aligned(query.metric, block, grid, first.aligner) for block in blocks]
        answer = _reduced(replace(head, values=_concatenate(parts)), first)
    for step in query.steps[1:]:
        answer = _reduced(_again(answer, query, step), step)
    return answer


def _intervals(grid: Windows, kind: str) -> tuple[Floats, Floats]:
    ends = grid.edges[1:]
    return (ends, ends) if kind == GAUGE else (grid.edges[:-1], ends)


def _concatenate(parts: list[Floats | Distributions]) -> Floats | Distributions:
    dists = [p for p in parts if isinstance(p, Distributions)]
    if not dists:
        return np.concatenate([p for p in parts if not isinstance(p, Distributions)])
    bounds = max((d.bounds for d in dists), key=len)
    fitted = [_rebucket(d, bounds) for d in dists]
    return Distributions(
        bounds,
        np.concatenate([d.counts for d in fitted]),
        np.concatenate([d.sums for d in fitted]),
        np.concatenate([d.squares for d in fitted]),
    )


def _rebucket(found: Distributions, bounds: Floats) -> Distributions:
    """The same events in other buckets: each bucket goes where its upper bound lies."""
    if len(found.bounds) == len(bounds) and np.array_equal(found.bounds, bounds):
        return found
    target = np.append(np.searchsorted(bounds, found.bounds, side="left"), len(bounds))
    counts = np.zeros((*found.counts.shape[:-1], len(bounds) + 1))
    for source, slot in enumerate(target):
        counts[..., slot] += found.counts[..., source]
    return replace(found, bounds=bounds, counts=counts)


def _aligned(
    metric: Metric, block: AnyBlock, grid: Windows, aligner: str
) -> Floats | Distributions:
    found: Floats | Distributions
    if isinstance(block, DistributionBlock):
        found = align.align_distribution(block, grid)
    elif isinstance(block, SampledBlock):
        found = _aligned_samples(metric, block, grid, aligner)
    elif aligner in ("ALIGN_DELTA", "ALIGN_RATE"):
        found = align.align_growth(block, grid)
        if aligner == "ALIGN_RATE":
            found = found / np.maximum(grid.covered(), 1e-9)
    else:
        found = align.align_gauge(block, grid, aligner)
    if isinstance(found, Distributions) and aligner.startswith("ALIGN_PERCENTILE_"):
        return percentile(found, float(aligner.rsplit("_", 1)[1]))
    return found


def _aligned_samples(
    metric: Metric, block: SampledBlock, grid: Windows, aligner: str
) -> Floats | Distributions:
    if metric.kind != CUMULATIVE:
        if block.bounds is not None:
            return align.sampled_events(block, grid)
        return align.dense(block.values.T, block.times, grid, aligner)
    grown, seconds = align.sampled_growth(block, grid)
    if block.bounds is not None and block.sums is not None:
        totals = replace(block, values=block.sums, bounds=None, sums=None)
        sums, _ = align.sampled_growth(totals, grid)
        # A Prometheus histogram tells no squares: the least that its mean allows.
        squares = sums**2 / np.maximum(grown.sum(axis=-1), 1.0)
        if block.squares is not None:
            totals = replace(totals, values=block.squares)
            squares, _ = align.sampled_growth(totals, grid)
        return Distributions(block.bounds, grown, sums, squares)
    grown = np.where(seconds > 0, grown, np.nan)
    return grown / np.maximum(seconds, 1e-9) if aligner == "ALIGN_RATE" else grown


def _reduced(answer: Answer, step: Step) -> Answer:
    if step.reducer == "REDUCE_NONE":
        return answer
    group, kept = groups(answer.labels, step.group_by)
    values: Floats | Distributions
    if isinstance(answer.values, Distributions):
        values = reduce_distributions(answer.values, group, kept.size, step.reducer)
    else:
        values = reduce_numbers(answer.values, group, kept.size, step.reducer)
    return _reduced_to(answer, step, kept, values)


def _reduced_to(answer: Answer, step: Step, kept: Table, values: Floats | Distributions) -> Answer:
    """What a reducer makes of an answer's series: one of these labels and values per group."""
    value_type = rules.reduced_type(step.reducer, answer.kind, answer.value_type, "aggregation")
    types = answer.labels.columns[TYPE]
    shared = types.values[types.codes[0]] if len(set(types.codes.tolist())) == 1 else ""
    kept = kept.with_columns({TYPE: constant(shared, kept.size)})
    unit = "1" if step.reducer.startswith("REDUCE_COUNT") else answer.unit
    # What a reducer makes of growths is growth only when it is their sum.
    still = answer.kind == DELTA and step.reducer == "REDUCE_SUM"
    kind = DELTA if still else GAUGE
    starts = answer.starts if still else answer.ends
    return Answer(kept, kind, value_type, unit, starts, answer.ends, values)


def _again(answer: Answer, query: Query, step: Step) -> Answer:
    """The secondary aggregation's alignment of points that are aligned already."""
    if step.aligner == "ALIGN_NONE":
        return answer
    field = "secondaryAggregation"
    kind, value_type = rules.aligned_type(step.aligner, answer.kind, answer.value_type, field)
    grid = windows(query.start, query.end, step.period_s, query.now)
    if isinstance(answer.values, Distributions):
        if not np.array_equal(grid.edges[1:], answer.ends):
            raise invalid(f"{field} of distributions needs the alignment period of aggregation.")
        values: Floats | Distributions = answer.values
        if step.aligner.startswith("ALIGN_PERCENTILE_"):
            values = percentile(answer.values, float(step.aligner.rsplit("_", 1)[1]))
    else:
        how = {"ALIGN_DELTA": "ALIGN_SUM", "ALIGN_RATE": "ALIGN_SUM"}.get(
            step.aligner, step.aligner
        )
        values = align.dense(answer.values, answer.ends, grid, how)
        if step.aligner == "ALIGN_RATE":
            values = values / step.period_s
    return Answer(answer.labels, kind, value_type, answer.unit, *_intervals(grid, kind), values)
