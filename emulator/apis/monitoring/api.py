"""google.monitoring.v3.MetricService: descriptors and time series."""

from __future__ import annotations

from typing import Any, Final

from google.api import label_pb2, launch_stage_pb2, metric_pb2, monitored_resource_pb2
from google.cloud import monitoring_v3
from google.protobuf import duration_pb2

from emulator.apis.monitoring import answers, filters
from emulator.apis.monitoring.block import AnyBlock
from emulator.apis.monitoring.catalogue import METRICS, RESOURCES, Metric
from emulator.apis.monitoring.columns import Table, table
from emulator.apis.monitoring.local import LocalMetrics
from emulator.apis.monitoring.query import Query, Step, run
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, invalid
from emulator.wire.library import HttpRule
from emulator.wire.names import check_project
from emulator.wire.paging import page

RULES: Final = {
    "list_time_series": (HttpRule("GET", "/v3/{name=projects/*}/timeSeries"),),
    "list_metric_descriptors": (HttpRule("GET", "/v3/{name=projects/*}/metricDescriptors"),),
    "get_metric_descriptor": (HttpRule("GET", "/v3/{name=projects/*/metricDescriptors/**}"),),
    "list_monitored_resource_descriptors": (
        HttpRule("GET", "/v3/{name=projects/*}/monitoredResourceDescriptors"),
    ),
    "get_monitored_resource_descriptor": (
        HttpRule("GET", "/v3/{name=projects/*/monitoredResourceDescriptors/**}"),
    ),
}
_LEAST_PERIOD_S: Final = 60.0
_LONGEST_S: Final = 25 * 3600 * 24 * 30.0
_VALUE_TYPE: Final = metric_pb2.MetricDescriptor.ValueType
_LABEL: Final = label_pb2.LabelDescriptor.ValueType
_KIND: Final = metric_pb2.MetricDescriptor.MetricKind


class MetricService:
    """Reads; series come from the world and from the local server's samples."""

    def __init__(self, cloud: Cloud, telemetry: Telemetry, local: LocalMetrics) -> None:
        self._cloud = cloud
        self._telemetry = telemetry
        self._local = local

    def _check(self, name: str) -> None:
        check_project(self._cloud.project, _project(name), service="monitoring.googleapis.com")

    def list_time_series(self, request: Any, call: Call) -> Any:
        """Series that match a filter, aligned and reduced as asked."""
        self._check(request.name)
        asked = monitoring_v3.ListTimeSeriesRequest.pb(request)
        node = _parse(asked.filter)
        metric = self._metric(node, asked.filter)
        if asked.order_by:
            raise invalid("Field orderBy is not supported.", field="order_by")
        start, end = _interval(asked.interval)
        query = Query(
            metric, node, start, end, _steps(asked), self._cloud.project.id,
            self._cloud.clock.now(),
        )  # fmt: skip
        scope = f"{asked.filter}|{asked.interval}|{asked.aggregation}|{asked.view}"
        return answers.answer(
            run(query, self._blocks(metric)), metric.type,
            full=asked.view == monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
            size=asked.page_size, token=asked.page_token, scope=scope,
        )  # fmt: skip

    def _blocks(self, metric: Metric) -> list[AnyBlock]:
        found: list[AnyBlock] = []
        if metric.source and self._cloud.scenario.tiers:
            found.extend(metric.source(self._telemetry, metric.short))
        found.extend(self._local.blocks(metric.type))
        return [block for block in found if block.labels.size]

    def _metrics(self) -> dict[str, Metric]:
        """Types that the project has: the world's and those the local server brought in."""
        return {**self._local.metrics(), **METRICS}

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
        found = self._metrics().get(name)
        if found is None:
            raise ApiError(
                "NOT_FOUND",
                f'Cannot find metric(s) that match type = "{name}". If a metric was created '
                "recently, it could take up to 10 minutes to become available. Please try again "
                "soon.",
            )
        return found

    def list_metric_descriptors(self, request: Any, call: Call) -> Any:
        """Metric descriptors, by metric.type where a filter says so."""
        self._check(request.name)
        node = _parse(request.filter)
        found = [m for _, m in sorted(self._metrics().items()) if _describes(node, m)]
        items, token = page(
            found, request.page_size, request.page_token,
            scope=f"metrics {request.filter}", default=10_000, most=10_000,
        )  # fmt: skip
        return monitoring_v3.ListMetricDescriptorsResponse(
            metric_descriptors=[self._descriptor(m) for m in items], next_page_token=token
        )

    def get_metric_descriptor(self, request: Any, call: Call) -> Any:
        """One metric descriptor."""
        project, _, name = request.name.partition("/metricDescriptors/")
        self._check(project)
        found = self._metrics().get(name)
        if found is None:
            raise ApiError("NOT_FOUND", f"Could not find descriptor for metric '{name}'.")
        return self._descriptor(found)

    def _descriptor(self, metric: Metric) -> Any:
        return metric_pb2.MetricDescriptor(
            name=f"projects/{self._cloud.project.id}/metricDescriptors/{metric.type}",
            type=metric.type,
            labels=[
                label_pb2.LabelDescriptor(key=k, value_type=_LABEL.Value(t))
                for k, t in metric.labels
            ],
            metric_kind=_KIND.Value(metric.kind),
            value_type=_VALUE_TYPE.Value(metric.value_type),
            unit=metric.unit,
            description=metric.description,
            display_name=metric.title,
            metadata=metric_pb2.MetricDescriptor.MetricDescriptorMetadata(
                sample_period=duration_pb2.Duration(seconds=60),
                ingest_delay=duration_pb2.Duration(seconds=0),
            ),
            launch_stage=launch_stage_pb2.GA,
            monitored_resource_types=list(metric.resources),
        )  # fmt: skip

    def list_monitored_resource_descriptors(self, request: Any, call: Call) -> Any:
        """Descriptors of resource types, by resource.type where a filter says so."""
        self._check(request.name)
        node = _parse(request.filter)
        found = [n for n in sorted(RESOURCES) if node.select(_ONE, {"resource.type": n}).any()]
        items, token = page(
            found, request.page_size, request.page_token,
            scope=f"resources {request.filter}", default=1000, most=1000,
        )  # fmt: skip
        return monitoring_v3.ListMonitoredResourceDescriptorsResponse(
            resource_descriptors=[self._resource(n) for n in items], next_page_token=token
        )

    def get_monitored_resource_descriptor(self, request: Any, call: Call) -> Any:
        """One resource type's descriptor."""
        project, _, name = request.name.partition("/monitoredResourceDescriptors/")
        self._check(project)
        if name not in RESOURCES:
            raise ApiError("NOT_FOUND", f"Could not find descriptor for resource '{name}'.")
        return self._resource(name)

    def _resource(self, name: str) -> Any:
        title, labels = RESOURCES[name]
        return monitored_resource_pb2.MonitoredResourceDescriptor(
            name=f"projects/{self._cloud.project.id}/monitoredResourceDescriptors/{name}",
            type=name, display_name=title,
            labels=[label_pb2.LabelDescriptor(key=k) for k in labels],
        )  # fmt: skip


_ONE: Final[Table] = table(1)


def _describes(node: filters.Node, metric: Metric) -> bool:
    return bool(node.select(_ONE, {"metric.type": metric.type}).any())


def _project(name: str) -> str:
    parts = name.split("/")
    if len(parts) != 2 or parts[0] != "projects" or not parts[1]:
        raise invalid(f"Name must begin with 'projects/{{project_id_or_number}}', got '{name}'.")
    return parts[1]


def _parse(text: str) -> filters.Node:
    try:
        return filters.parse(text)
    except filters.FilterError as error:
        raise invalid(
            f'Field filter had an invalid value of "{text}": Could not parse filter "{text}"; '
            f"{error}",
            field="filter",
        ) from error


def _interval(interval: Any) -> tuple[float, float]:
    if not interval.HasField("end_time"):
        raise invalid("Field interval.endTime is required.", field="interval.end_time")
    end = _seconds(interval.end_time)
    start = _seconds(interval.start_time) if interval.HasField("start_time") else end
    if start > end:
        raise invalid(
            "Field interval.endTime had an invalid value: The end time must not be earlier than "
            "the start time.",
            field="interval.end_time",
        )
    if end - start > _LONGEST_S:
        raise invalid("Field interval had an invalid value: it is too long.", field="interval")
    return start, end


def _seconds(stamp: Any) -> float:
    return float(stamp.seconds) + float(stamp.nanos) / 1e9


def _steps(asked: Any) -> tuple[Step, ...]:
    first = _step(asked.aggregation, "aggregation")
    if not asked.HasField("secondary_aggregation"):
        return (first,)
    if first.reducer == "REDUCE_NONE":
        raise invalid("secondaryAggregation needs an aggregation with a crossSeriesReducer.")
    return first, _step(asked.secondary_aggregation, "secondaryAggregation")


def _step(asked: Any, field: str) -> Step:
    kinds = monitoring_v3.Aggregation
    try:
        aligner = kinds.Aligner(asked.per_series_aligner).name
        reducer = kinds.Reducer(asked.cross_series_reducer).name
    except ValueError as error:
        raise invalid(f"Field {field} had an invalid value: {error}", field=field) from error
    period = asked.alignment_period.seconds + asked.alignment_period.nanos / 1e9
    if aligner == "ALIGN_NONE" and reducer != "REDUCE_NONE" and field == "aggregation":
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
