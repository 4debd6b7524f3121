"""The handler of CreateTimeSeries: one point per series, all that fit are kept."""

from __future__ import annotations

import math
from typing import Any, Final

from google.api import metric_pb2
from google.cloud import monitoring_v3
from google.protobuf import empty_pb2
from google.rpc import code_pb2, status_pb2

from emulator.apis.monitoring.catalogue import RESOURCES, Metric
from emulator.apis.monitoring.descriptor_api import shape_problem, type_problem
from emulator.apis.monitoring.model import (
    MonitoringState,
    Point,
    WrittenSeries,
    project_of,
)
from emulator.apis.monitoring.series import SeriesReader, seconds
from emulator.apis.monitoring.values import Refusal, value_of
from emulator.apis.monitoring.written import metric_of
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, invalid

_MOST_SERIES: Final = 200
_OLDEST_S: Final = 25 * 3600.0
_AHEAD_S: Final = 300.0
_CLOSEST_S: Final = 5.0
_KIND: Final = metric_pb2.MetricDescriptor.MetricKind
_VALUE_TYPE: Final = metric_pb2.MetricDescriptor.ValueType
_LONGEST_LABEL: Final = 1024


class Writes:
    """The part of MetricService that takes points."""

    _cloud: Cloud
    _reader: SeriesReader
    _state: MonitoringState

    def create_time_series(self, request: Any, call: Call) -> Any:
        """Keeps each series' one point; says which could not be kept, and why."""
        project_of(self._cloud, request.name)
        given = monitoring_v3.CreateTimeSeriesRequest.pb(request).time_series
        if not given:
            raise invalid("Field timeSeries is required.", field="time_series")
        if len(given) > _MOST_SERIES:
            raise invalid(
                "Field timeSeries had an invalid value: A maximum of 200 TimeSeries can be written "
                f"in a single request; got {len(given)}.",
                field="time_series",
            )
        problems: list[tuple[int, str]] = []
        seen: set[tuple[Any, ...]] = set()
        with self._cloud.lock:
            for number, series in enumerate(given):
                try:
                    self._write(series, number, seen)
                except Refusal as refusal:
                    problems.append((number, str(refusal)))
            self._state.writes += 1
        if problems:
            raise _refused(given, problems)  # the other points stay, as documented
        return empty_pb2.Empty()

    def _write(self, series: Any, number: int, seen: set[tuple[Any, ...]]) -> None:
        field = f"timeSeries[{number}]"
        if len(series.points) != 1:
            raise Refusal(
                f"Field {field}.points had an invalid value: Only one point can be written per "
                "TimeSeries per request."
            )
        labels = self._labels(series, field)
        key = (series.resource.type, *sorted(labels.items()))
        if (series.metric.type, key) in seen:
            raise Refusal(
                f"Field {field} had an invalid value: Duplicate TimeSeries encountered. Only one "
                "point can be written per TimeSeries per request."
            )
        seen.add((series.metric.type, key))
        metric, new = self._metric(series, field)
        point = self._point(series.points[0], metric, f"{field}.points[0]")
        if new is not None:
            new.name = f"projects/{self._cloud.project.id}/metricDescriptors/{new.type}"
            self._state.descriptors[new.type] = new
        kept = self._state.series.setdefault(metric.type, {})
        known = kept.get(key)
        if known is None:
            known = kept[key] = WrittenSeries(series.resource.type, labels)
        if known.points:
            _check_order(known.points[-1], point)
        known.points.append(point)

    def _labels(self, series: Any, field: str) -> dict[str, str]:
        """The series' labels as columns.py names them."""
        kind = series.resource.type or "global"
        series.resource.type = kind
        if kind not in RESOURCES:
            raise Refusal(
                f'Field {field}.resource.type had an invalid value of "{kind}": unrecognized '
                "resource type."
            )
        names = RESOURCES[kind][1]
        for key in series.resource.labels:
            if key not in names:
                raise Refusal(
                    f'Field {field}.resource.labels had an invalid value of "{key}": unrecognized '
                    f"label for the resource type {kind}."
                )
        labels = {f"resource.{k}": v for k, v in series.resource.labels.items()}
        if "project_id" in names:
            labels["resource.project_id"] = self._cloud.project.id
        for key, value in series.metric.labels.items():
            if len(value) > _LONGEST_LABEL:
                raise Refusal(
                    f"Field {field}.metric.labels had an invalid value for '{key}': label values "
                    "are limited to 1024 characters."
                )
            labels[f"metric.{key}"] = value
        return labels

    def _metric(self, series: Any, field: str) -> tuple[Metric, Any]:
        """The metric, and its descriptor when this write makes it."""
        name = series.metric.type
        why = type_problem(name)
        if why:
            raise Refusal(f'Field {field}.metric.type had an invalid value of "{name}": {why}')
        known = self._reader.metrics().get(name)
        if known is None:
            descriptor = _described(series, field)
            return metric_of(descriptor), descriptor
        _check_shape(series, known)
        labels = {key for key, _ in known.labels}
        for number, key in enumerate(series.metric.labels):
            if key not in labels:
                raise Refusal(
                    f'Field {field}.metric.labels[{number}] had an invalid value of "{key}": '
                    "Unrecognized metric label."
                )
        return known, None

    def _point(self, given: Any, metric: Metric, field: str) -> Point:
        if not given.interval.HasField("end_time"):
            raise Refusal(f"Field {field}.interval.endTime had an invalid value: it is required.")
        end, now = seconds(given.interval.end_time), self._cloud.clock.now()
        start = end
        if given.interval.HasField("start_time"):
            start = seconds(given.interval.start_time)
        where = f'Field {field}.interval.endTime had an invalid value of "{end:.0f}"'
        if end > now + _AHEAD_S:
            raise Refusal(f"{where}: Data points cannot be written more than 5m in the future.")
        if end < now - _OLDEST_S:
            raise Refusal(f"{where}: Data points cannot be written more than 25h in the past.")
        if metric.kind == "GAUGE" and start != end:
            raise Refusal(
                f"Field {field}.interval.startTime had an invalid value: The start time must be "
                "equal to the end time for the gauge metric."
            )
        if metric.kind == "CUMULATIVE" and start >= end:
            raise Refusal(
                f"Field {field}.interval.startTime had an invalid value: The start time must be "
                f"before the end time for the non-gauge metric '{metric.type}'."
            )
        value = value_of(given.value, metric, field)
        if isinstance(value, float) and not math.isfinite(value):
            raise Refusal(f"Field {field}.value had an invalid value: it must be finite.")
        return Point(start, end, value)


def _described(series: Any, field: str) -> Any:
    """The descriptor that a first write makes."""
    kind = _KIND.Name(series.metric_kind or _KIND.Value("GAUGE"))
    written = series.points[0].value.WhichOneof("value") or ""
    implied = written.removesuffix("_value").upper()
    value_type = _VALUE_TYPE.Name(series.value_type) if series.value_type else implied
    try:
        name, value, why = shape_problem(kind, value_type)
    except ApiError as error:
        raise Refusal(error.message) from error
    if why:
        raise Refusal(f'Field {field}.{name} had an invalid value of "{value}": {why}')
    found = metric_pb2.MetricDescriptor(
        type=series.metric.type, metric_kind=kind, value_type=value_type,
        unit=series.unit or "1", description=series.description or "auto created",
        display_name=series.metric.type.partition("/")[2],
    )  # fmt: skip
    for key in sorted(series.metric.labels):
        found.labels.add(key=key)
    return found


def _check_shape(series: Any, known: Metric) -> None:
    if series.metric_kind and _KIND.Name(series.metric_kind) != known.kind:
        raise Refusal(
            f"Metric kind for metric {known.type} must be {known.kind}, but is "
            f"{_KIND.Name(series.metric_kind)}."
        )
    if series.value_type and _VALUE_TYPE.Name(series.value_type) != known.value_type:
        raise Refusal(
            f"Value type for metric {known.type} must be {known.value_type}, but is "
            f"{_VALUE_TYPE.Name(series.value_type)}."
        )


def _check_order(newest: Point, point: Point) -> None:
    order = "Points must be written in order. One or more of the points specified had an older"
    if point.start < newest.start and point.start < point.end:
        raise Refusal(f"{order} start time than the most recent point.")
    if point.end <= newest.end:
        raise Refusal(f"{order} end time than the most recent point.")
    if point.end - newest.end < _CLOSEST_S:
        raise Refusal(
            "One or more points were written more frequently than the maximum sampling period "
            "configured for the metric."
        )
    if newest.start < point.start < newest.end:
        raise Refusal("The start time of a new interval must not lie within the last one.")


def _refused(given: Any, problems: list[tuple[int, str]]) -> ApiError:
    texts = [
        f"timeSeries[{n}] (metric.type=\"{given[n].metric.type}\", metric.labels="
        f"{dict(sorted(given[n].metric.labels.items()))}): {why}"
        for n, why in problems
    ]  # fmt: skip
    by_text: dict[str, int] = {}
    for _, why in problems:
        by_text[why] = by_text.get(why, 0) + 1
    summary = monitoring_v3.CreateTimeSeriesSummary(
        total_point_count=sum(len(s.points) for s in given),
        success_point_count=len(given) - len(problems),
        errors=[
            {"status": status_pb2.Status(code=code_pb2.INVALID_ARGUMENT), "point_count": count}
            for count in by_text.values()
        ],
    )
    return ApiError(
        "INVALID_ARGUMENT",
        f"One or more TimeSeries could not be written: {'; '.join(texts)}",
        details=[monitoring_v3.CreateTimeSeriesSummary.pb(summary)],
        in_part=len(problems) < len(given),
    )
