"""Handlers of google.logging.v2.MetricsServiceV2: log-based metrics."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, unquote

from google.api import metric_pb2
from google.cloud.logging_v2.types import logging_metrics as types
from google.protobuf import empty_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.apis.logging.model import logging_state
from emulator.apis.logging.query import compile_query
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid
from emulator.wire.longrunning import LongRunning
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_SERVICE: Final = "logging.googleapis.com"
_METRIC_ID: Final = re.compile(r"[-A-Za-z0-9_.,+!*',()%][-A-Za-z0-9_.,+!*',()%/]{0,99}")
_EXTRACTOR: Final = re.compile(r"EXTRACT\(.+\)|REGEXP_EXTRACT\(.+,.+\)", re.DOTALL)
_TYPE: Final = "logging.googleapis.com/user/"
_Descriptor = metric_pb2.MetricDescriptor


class Metrics(LongRunning):
    """Log metrics."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._metrics = logging_state(cloud).metrics

    def list_log_metrics(
        self, request: types.ListLogMetricsRequest, call: Call
    ) -> types.ListLogMetricsResponse:
        self._check(request.parent)
        with self._cloud.lock:
            metrics = sorted(self._metrics.values(), key=lambda m: m.name)
        shown, token = page(
            metrics, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListLogMetricsResponse(metrics=shown, next_page_token=token)

    def get_log_metric(self, request: types.GetLogMetricRequest, call: Call) -> types.LogMetric:
        return self._find(self._id(request.metric_name))

    def create_log_metric(
        self, request: types.CreateLogMetricRequest, call: Call
    ) -> types.LogMetric:
        self._check(request.parent)
        with self._cloud.lock:
            if request.metric.name in self._metrics:
                raise ApiError("ALREADY_EXISTS", f"Metric {request.metric.name} already exists.")
            return self._keep(request.metric, request.metric.name)

    def update_log_metric(
        self, request: types.UpdateLogMetricRequest, call: Call
    ) -> types.LogMetric:
        """Replaces the metric, or creates it, as Google does."""
        name = self._id(request.metric_name)
        if request.metric.name not in ("", name):
            raise invalid("The metric's name must be that of metric_name.", field="metric.name")
        with self._cloud.lock:
            return self._keep(request.metric, name)

    def delete_log_metric(
        self, request: types.DeleteLogMetricRequest, call: Call
    ) -> empty_pb2.Empty:
        with self._cloud.lock:
            name = self._id(request.metric_name)
            self._find(name)
            del self._metrics[name]
            self._cloud.changed("logging.metric.deleted", self._full_name(name), "")
        return empty_pb2.Empty()

    def _keep(self, given: types.LogMetric, name: str) -> types.LogMetric:
        if _METRIC_ID.fullmatch(name) is None:
            raise invalid(f"Invalid metric name '{name}'.", field="metric.name")
        if not given.filter:
            raise invalid("A log metric needs a filter.", field="metric.filter")
        compile_query(given.filter, "metric.filter")
        metric: Any = types.LogMetric()
        plain(metric).CopyFrom(plain(given))
        metric.name = name
        _check_extractors(plain(metric))
        self._complete(plain(metric).metric_descriptor, metric)
        now = Timestamp(seconds=int(self._cloud.clock.now()))
        known = self._metrics.get(name)
        metric.create_time = known.create_time if known else now
        metric.update_time = now
        self._metrics[name] = metric
        verb = "updated" if known else "created"
        self._cloud.changed(f"logging.metric.{verb}", self._full_name(name), "")
        return metric

    def _complete(self, descriptor: Any, metric: types.LogMetric) -> None:
        """What Google fills in: type and name always, kind and unit where they are left out."""
        descriptor.type = _TYPE + metric.name
        project = self._cloud.project.id
        descriptor.name = f"projects/{project}/metricDescriptors/{descriptor.type}"
        descriptor.metric_kind = descriptor.metric_kind or _Descriptor.DELTA
        descriptor.value_type = descriptor.value_type or _Descriptor.INT64
        descriptor.unit = descriptor.unit or "1"
        descriptor.description = descriptor.description or metric.description

    def _find(self, name: str) -> types.LogMetric:
        metric = self._metrics.get(name)
        if metric is None:
            raise ApiError("NOT_FOUND", f"Metric {name} does not exist.")
        return metric

    def _id(self, asked: str) -> str:
        """The metric's id, which callers percent-encode in a resource name."""
        parent, _, name = asked.partition("/metrics/")
        self._check(parent, field="metric_name")
        if not name:
            raise invalid(f"Malformed name: '{asked}'.", field="metric_name")
        return unquote(name)

    def _check(self, parent: str, *, field: str = "parent") -> None:
        project = parse_name("projects/{project}", parent, field=field)["project"]
        check_project(self._cloud.project, project, service=_SERVICE)

    def _full_name(self, name: str) -> str:
        return f"projects/{self._cloud.project.id}/metrics/{quote(name, safe='')}"


def _check_extractors(metric: Any) -> None:
    descriptor = metric.metric_descriptor
    if descriptor.metric_kind not in (0, _Descriptor.DELTA):
        raise invalid("Log metrics are of the kind DELTA.", field="metric.metric_descriptor")
    distribution = descriptor.value_type == _Descriptor.DISTRIBUTION
    if descriptor.value_type not in (0, _Descriptor.INT64) and not distribution:
        raise invalid("Log metrics are INT64 or DISTRIBUTION.", field="metric.metric_descriptor")
    if distribution != bool(metric.value_extractor):
        raise invalid(
            "A distribution needs a value extractor, and nothing else takes one.",
            field="metric.value_extractor",
        )
    extractors = dict(metric.label_extractors)
    for field, text in {**extractors, "value": metric.value_extractor or "EXTRACT(x)"}.items():
        if _EXTRACTOR.fullmatch(text) is None:
            raise invalid(f"Invalid extractor '{text}' of {field}.", field="metric")
    if set(extractors) != {label.key for label in descriptor.labels}:
        raise invalid(
            "Each label of the metric descriptor needs a label extractor, and the other way round.",
            field="metric.label_extractors",
        )
