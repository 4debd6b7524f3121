"""Handlers of MetricService for descriptors: metrics (callers' own too) and monitored resources."""

from __future__ import annotations

import re
from typing import Any, Final

from google.api import label_pb2, launch_stage_pb2, metric_pb2, monitored_resource_pb2
from google.cloud import monitoring_v3
from google.protobuf import duration_pb2, empty_pb2

from emulator.apis.monitoring import filters
from emulator.apis.monitoring.catalogue import METRICS, RESOURCES, Metric
from emulator.apis.monitoring.columns import Table, table
from emulator.apis.monitoring.model import MonitoringState, project_of
from emulator.apis.monitoring.series import SeriesReader, parse
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, invalid
from emulator.wire.paging import page

_VALUE_TYPE: Final = metric_pb2.MetricDescriptor.ValueType
_LABEL: Final = label_pb2.LabelDescriptor.ValueType
_KIND: Final = metric_pb2.MetricDescriptor.MetricKind
# Domains under which callers may make metrics.
OWN_DOMAINS: Final = (
    "custom.googleapis.com/", "external.googleapis.com/", "workload.googleapis.com/",
    "prometheus.googleapis.com/",
)  # fmt: skip
_TYPE: Final = re.compile(r"[a-z][a-z0-9.-]*\.[a-z]+/[A-Za-z0-9][A-Za-z0-9_/.:%-]*")
_LABEL_KEY: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,99}")
_MOST_LABELS: Final = 30
_ONE: Final[Table] = table(1)


class Descriptors:
    """The part of MetricService that tells of metrics and resources."""

    _cloud: Cloud
    _reader: SeriesReader
    _state: MonitoringState

    def list_metric_descriptors(self, request: Any, call: Call) -> Any:
        """Metric descriptors, by metric.type where a filter says so."""
        project_of(self._cloud, request.name)
        node = parse(request.filter)
        found = [m for _, m in sorted(self._reader.metrics().items()) if _describes(node, m)]
        items, token = page(
            found, request.page_size, request.page_token,
            scope=f"metrics {request.filter}", default=10_000, most=10_000,
        )  # fmt: skip
        return monitoring_v3.ListMetricDescriptorsResponse(
            metric_descriptors=[self._descriptor(m) for m in items], next_page_token=token
        )

    def get_metric_descriptor(self, request: Any, call: Call) -> Any:
        """One metric descriptor."""
        name = self._type_of(request.name)
        found = self._reader.metrics().get(name)
        if found is None:
            raise ApiError("NOT_FOUND", f"Could not find descriptor for metric '{name}'.")
        return self._descriptor(found)

    def create_metric_descriptor(self, request: Any, call: Call) -> Any:
        """Makes a caller's metric, or updates it: labels are added and never removed."""
        project_of(self._cloud, request.name)
        given = metric_pb2.MetricDescriptor()
        given.CopyFrom(request.metric_descriptor)
        check_descriptor(given)
        with self._cloud.lock:
            known = self._state.descriptors.get(given.type)
            if known is not None:
                _merge_labels(given, known)
            return self._keep(given, "updated" if known is not None else "created")

    def delete_metric_descriptor(self, request: Any, call: Call) -> Any:
        """Deletes a caller's metric with all its points."""
        name = self._type_of(request.name)
        if name in METRICS:
            raise invalid(f"Metric descriptor '{name}' is Google's and cannot be deleted.")
        with self._cloud.lock:
            if self._state.descriptors.pop(name, None) is None:
                raise ApiError("NOT_FOUND", f"Could not find descriptor for metric '{name}'.")
            self._state.series.pop(name, None)
            self._state.writes += 1
            self._changed("deleted", name)
        return empty_pb2.Empty()

    def _keep(self, descriptor: Any, verb: str) -> Any:
        descriptor.name = self._descriptor_name(descriptor.type)
        self._state.descriptors[descriptor.type] = descriptor
        self._changed(verb, descriptor.type)
        return descriptor

    def _changed(self, verb: str, name: str) -> None:
        self._cloud.changed(f"monitoring.metric_descriptor.{verb}", self._descriptor_name(name), "")

    def _descriptor_name(self, name: str) -> str:
        return f"projects/{self._cloud.project.id}/metricDescriptors/{name}"

    def _type_of(self, name: str) -> str:
        project, _, found = name.partition("/metricDescriptors/")
        project_of(self._cloud, project)
        return found

    def _descriptor(self, metric: Metric) -> Any:
        own = self._state.descriptors.get(metric.type)
        if own is not None and metric.type not in METRICS:
            return own
        return metric_pb2.MetricDescriptor(
            name=self._descriptor_name(metric.type),
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
        project_of(self._cloud, request.name)
        node = parse(request.filter)
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
        project_of(self._cloud, project)
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


def _describes(node: filters.Node, metric: Metric) -> bool:
    return bool(node.select(_ONE, {"metric.type": metric.type}).any())


def type_problem(name: str) -> str:
    """Why callers cannot have a metric of that type; "" when they can."""
    if _TYPE.fullmatch(name) is None or len(name) > 200:
        return "The metric type must be a URL-formatted string with a domain and non-empty path."
    if not name.startswith(OWN_DOMAINS):
        return f"The metric type must begin with one of {', '.join(OWN_DOMAINS)}."
    return ""


def shape_problem(kind: str, value_type: str) -> tuple[str, str, str]:
    """(field, value, why) no user-defined metric has this kind and value type; "" when one can."""
    if kind not in ("GAUGE", "CUMULATIVE"):
        return "metricKind", kind, "The metric kind must be GAUGE or CUMULATIVE."
    if value_type not in ("BOOL", "INT64", "DOUBLE", "DISTRIBUTION"):
        if value_type == "STRING" and kind == "GAUGE":
            raise ApiError("UNIMPLEMENTED", "The emulator does not implement STRING metrics.")
        return "valueType", value_type, f"The value type does not suit metrics of kind {kind}."
    if kind == "CUMULATIVE" and value_type == "BOOL":
        return "valueType", value_type, "BOOL metrics must be of kind GAUGE."
    return "", "", ""


def check_descriptor(given: Any) -> None:
    """Pass a descriptor that a caller may make; its unit is filled in.

    Raises:
        ApiError: INVALID_ARGUMENT with the field.
    """
    why = type_problem(given.type)
    if why:
        raise _bad("type", given.type, why)
    field, value, why = shape_problem(
        _KIND.Name(given.metric_kind), _VALUE_TYPE.Name(given.value_type)
    )
    if why:
        raise _bad(field, value, why)
    if len(given.labels) > _MOST_LABELS:
        raise _bad("labels", str(len(given.labels)), f"At most {_MOST_LABELS} labels are allowed.")
    keys = [label.key for label in given.labels]
    for key in keys:
        if _LABEL_KEY.fullmatch(key) is None:
            raise _bad("labels", key, "A label key must match [a-zA-Z][a-zA-Z0-9_]*.")
        if keys.count(key) > 1:
            raise _bad("labels", key, "Duplicate label key.")
    if given.value_type != _VALUE_TYPE.Value("BOOL"):
        given.unit = given.unit or "1"


def _merge_labels(given: Any, known: Any) -> None:
    for field in ("metric_kind", "value_type"):
        if getattr(given, field) != getattr(known, field):
            raise _bad(
                field, str(getattr(given, field)),
                f"The metric '{known.type}' exists with another {field}; delete it first.",
            )  # fmt: skip
    keys = {label.key for label in given.labels}
    given.labels.extend(label for label in known.labels if label.key not in keys)


def _bad(field: str, value: str, why: str) -> ApiError:
    return invalid(
        f'Field metricDescriptor.{field} had an invalid value of "{value}": {why}',
        field=f"metric_descriptor.{field}",
    )
