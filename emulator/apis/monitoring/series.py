"""Reads series by filter and aggregations: for ListTimeSeries, alert conditions and SLOs alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from google.cloud import monitoring_v3

from emulator.apis.monitoring import filters
from emulator.apis.monitoring.block import AnyBlock
from emulator.apis.monitoring.catalogue import METRICS, Metric
from emulator.apis.monitoring.local import LocalMetrics
from emulator.apis.monitoring.query import Piece, Query, Step, run
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.apis.monitoring.written import WrittenMetrics
from emulator.context import Cloud
from emulator.wire.errors import ApiError, invalid

_LEAST_PERIOD_S: Final = 60.0
_LONGEST_S: Final = 25 * 3600 * 24 * 30.0


class Selectors(Protocol):
    """What reads filters that select no metric's series, but an SLO's."""

    def check(self, text: str) -> None:
        """Raise ApiError unless the text selects something."""
        ...

    def read(
        self, text: str, start: float, end: float, steps: tuple[Step, ...], now: float
    ) -> list[Piece] | None:
        """The series; None: the text is an ordinary filter."""
        ...


class SeriesReader:
    """Series of the world, of the local server and of callers."""

    def __init__(
        self, cloud: Cloud, telemetry: Telemetry, local: LocalMetrics, written: WrittenMetrics
    ) -> None:
        self._cloud = cloud
        self._telemetry = telemetry
        self._local = local
        self._written = written
        self.selectors: Selectors | None = None

    def metrics(self) -> dict[str, Metric]:
        """Types that the project has: the world's, callers', those the local server brought in."""
        return {**self._local.metrics(), **self._written.metrics(), **METRICS}

    def read(
        self, text: str, start: float, end: float, steps: tuple[Step, ...], now: float
    ) -> tuple[str, list[Piece]]:
        """(metric type, pieces of the result) of a filter over (start, end].

        Raises:
            ApiError: INVALID_ARGUMENT: no filter, or an aggregation that does not fit; NOT_FOUND:
                no such metric.
        """
        if self.selectors is not None:
            selected = self.selectors.read(text, start, end, steps, now)
            if selected is not None:
                return "", selected
        node = parse(text)
        metric = self._metric(node, text)
        query = Query(metric, node, start, end, steps, self._cloud.project.id, now)
        return metric.type, run(query, self._blocks(metric))

    def metric_of(self, text: str) -> Metric:
        """The metric that a filter names.

        Raises:
            ApiError: INVALID_ARGUMENT: no filter, or of no one metric; NOT_FOUND: no such metric.
        """
        return self._metric(parse(text), text)

    def _blocks(self, metric: Metric) -> list[AnyBlock]:
        found: list[AnyBlock] = []
        if metric.source:
            found.extend(metric.source(self._telemetry, metric.short))
        found.extend(self._local.blocks(metric.type))
        found.extend(self._written.blocks(metric.type))
        return [block for block in found if block.labels.size]

    def _metric(self, node: filters.Node, text: str) -> Metric:
        name = filters.metric_type(node)
        if not name:
            raise invalid(
                f'Field filter had an invalid value of "{text}": must specify a restriction on '
                '"metric.type" in the filter; see '
                '"https://cloud.google.com/monitoring/api/resources" for a list of available '
                "metrics.",
                field="filter",
            )
        found = self.metrics().get(name)
        if found is None:
            raise ApiError(
                "NOT_FOUND",
                f'Cannot find metric(s) that match type = "{name}". If a metric was created '
                "recently, it could take up to 10 minutes to become available. Please try again "
                "soon.",
            )
        return found


def parse(text: str) -> filters.Node:
    """The filter's tree.

    Raises:
        ApiError: INVALID_ARGUMENT: it does not follow the grammar.
    """
    try:
        return filters.parse(text)
    except filters.FilterError as error:
        raise invalid(
            f'Field filter had an invalid value of "{text}": Could not parse filter "{text}"; '
            f"{error}",
            field="filter",
        ) from error


def interval_of(interval: Any) -> tuple[float, float]:
    """(start, end) of a TimeInterval, Unix seconds.

    Raises:
        ApiError: INVALID_ARGUMENT: no end, an end before the start, or too long.
    """
    if not interval.HasField("end_time"):
        raise invalid("Field interval.endTime is required.", field="interval.end_time")
    end = seconds(interval.end_time)
    start = seconds(interval.start_time) if interval.HasField("start_time") else end
    if start > end:
        raise invalid(
            "Field interval.endTime had an invalid value: The end time must not be earlier than "
            "the start time.",
            field="interval.end_time",
        )
    if end - start > _LONGEST_S:
        raise invalid("Field interval had an invalid value: it is too long.", field="interval")
    return start, end


def seconds(found: Any) -> float:
    """A Timestamp or Duration message in seconds."""
    return float(found.seconds) + float(found.nanos) / 1e9


def asked_steps(asked: Any) -> tuple[Step, ...]:
    """A ListTimeSeriesRequest's aggregations (the plain message)."""
    first = [asked.aggregation]
    more = [asked.secondary_aggregation] if asked.HasField("secondary_aggregation") else []
    return steps_of(first + more, ("aggregation", "secondaryAggregation"))


def steps_of(aggregations: Sequence[Any], fields: Sequence[str]) -> tuple[Step, ...]:
    """Aggregation messages, each with its field's name for errors.

    Raises:
        ApiError: INVALID_ARGUMENT: a period, aligner or reducer that cannot stand there.
    """
    found = tuple(
        _step(a, f, n) for n, (a, f) in enumerate(zip(aggregations, fields, strict=False))
    )
    if len(found) > 1 and found[0].reducer == "REDUCE_NONE":
        raise invalid(f"{fields[1]} needs an aggregation with a crossSeriesReducer.")
    return found


def _step(asked: Any, field: str, number: int) -> Step:
    kinds = monitoring_v3.Aggregation
    try:
        aligner = kinds.Aligner(asked.per_series_aligner).name
        reducer = kinds.Reducer(asked.cross_series_reducer).name
    except ValueError as error:
        raise invalid(f"Field {field} had an invalid value: {error}", field=field) from error
    period = seconds(asked.alignment_period)
    if aligner == "ALIGN_NONE" and reducer != "REDUCE_NONE" and number == 0:
        raise invalid(
            f'Field {field}.perSeriesAligner had an invalid value of "ALIGN_NONE": The aligner '
            "must be set when a crossSeriesReducer is set."
        )
    if aligner != "ALIGN_NONE" and period < _LEAST_PERIOD_S:
        raise invalid(
            f'Field {field}.alignmentPeriod had an invalid value of "{period:g}s": The alignment '
            "period must be at least 60 seconds.",
            field=f"{field}.alignment_period",
        )
    try:
        grouped = tuple(filters.split_field(f) for f in asked.group_by_fields)
    except filters.FilterError as error:
        raise invalid(f"Field {field}.groupByFields had an invalid value: {error}") from error
    return Step(aligner, reducer, period, grouped)
