"""Series that callers wrote, as blocks that queries read, and their metrics' descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from google.api import label_pb2, metric_pb2

from emulator.apis.monitoring.block import SampledBlock
from emulator.apis.monitoring.catalogue import Metric
from emulator.apis.monitoring.columns import Column, Table, column
from emulator.apis.monitoring.model import MonitoringState, Point, Sum, WrittenSeries
from emulator.context import Cloud

_Descriptor: Any = metric_pb2.MetricDescriptor
_LABEL: Final = label_pb2.LabelDescriptor.ValueType


def metric_of(descriptor: Any) -> Metric:
    """A caller's descriptor as queries know metrics."""
    return Metric(
        type=descriptor.type,
        kind=_Descriptor.MetricKind.Name(descriptor.metric_kind),
        value_type=_Descriptor.ValueType.Name(descriptor.value_type),
        unit=descriptor.unit,
        title=descriptor.display_name,
        description=descriptor.description,
        resources=tuple(descriptor.monitored_resource_types),
        labels=tuple((label.key, _LABEL.Name(label.value_type)) for label in descriptor.labels),
        source=None,
        short=descriptor.type,
    )


class WrittenMetrics:
    """Blocks of written series; built again only after a write."""

    def __init__(self, cloud: Cloud, state: MonitoringState) -> None:
        self._cloud = cloud
        self._state = state
        self._known: dict[str, tuple[int, list[SampledBlock]]] = {}

    def metrics(self) -> dict[str, Metric]:
        """The metrics that callers made, by type."""
        with self._cloud.lock:
            return {name: metric_of(d) for name, d in self._state.descriptors.items()}

    def blocks(self, metric_type: str) -> list[SampledBlock]:
        """The written series of the type."""
        with self._cloud.lock:
            version = self._state.writes
            known = self._known.get(metric_type)
            if known is not None and known[0] == version:
                return known[1]
            written = [
                (s, tuple(s.points)) for s in self._state.series.get(metric_type, {}).values()
            ]
            found = _blocks(written)
            self._known[metric_type] = (version, found)
            return found


def _blocks(written: Sequence[tuple[WrittenSeries, tuple[Point, ...]]]) -> list[SampledBlock]:
    """One block for all series that share resource type, times and buckets."""
    shared: dict[tuple[Any, ...], list[tuple[WrittenSeries, tuple[Point, ...]]]] = {}
    for series, points in written:
        if not points:
            continue
        newest = points[-1].value
        bounds = newest.bounds if isinstance(newest, Sum) else None
        kept = tuple(p for p in points if _bounds(p) == bounds)
        times = tuple((p.start, p.end) for p in kept)
        key = (series.resource_type, times, bounds)
        shared.setdefault(key, []).append((series, kept))
    return [
        _block(kind, np.array(times), bounds, members)
        for (kind, times, bounds), members in shared.items()
    ]


def _bounds(point: Point) -> tuple[float, ...] | None:
    return point.value.bounds if isinstance(point.value, Sum) else None


def _block(
    kind: str, times: Any, bounds: tuple[float, ...] | None,
    members: Sequence[tuple[WrittenSeries, tuple[Point, ...]]],
) -> SampledBlock:  # fmt: skip
    labels = _table([series for series, _ in members])
    starts, ends = times[:, 0], times[:, 1]
    columns = [[p.value for p in points] for _, points in members]
    if bounds is None:
        values = np.array(columns, dtype=np.float64).T
        return SampledBlock(kind, labels, ends, values, starts=starts, longest_gap_s=np.inf)
    sums = [[v for v in row if isinstance(v, Sum)] for row in columns]
    return SampledBlock(
        kind, labels, ends,
        np.moveaxis(np.array([[v.counts for v in row] for row in sums], dtype=np.float64), 0, 1),
        np.array(bounds),
        np.array([[v.total for v in row] for row in sums]).T,
        squares=np.array([[v.squares for v in row] for row in sums]).T,
        starts=starts, longest_gap_s=np.inf,
    )  # fmt: skip


def _table(series: Sequence[WrittenSeries]) -> Table:
    names = dict.fromkeys(name for s in series for name in s.labels)
    columns: dict[str, Column] = {
        name: column([s.labels.get(name, "") for s in series]) for name in names
    }
    return Table(len(series), columns)
