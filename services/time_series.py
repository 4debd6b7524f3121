"""Cloud Monitoring's ListTimeSeries: one grouped query, and what comes back, in plain values.

Which metrics make up which signal stands in `monitoring_queries.py`; putting them together per
tier is `monitoring.py`'s work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core import histograms
from core.errors import NotFound
from core.histograms import Histogram
from services import calls
from services.clients import Clients

_PAGE_POINTS: Final = 100_000
_TIMEOUT_S: Final = 30.0
_POLICY: Final = calls.RetryPolicy(attempts=3, deadline_s=60.0)
_UNITS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Query:
    """One ListTimeSeries call over all tiers at once.

    Attributes:
        metric, resource: types.
        aligner, reducer: names of Aggregation.Aligner and .Reducer.
        group_by: fields that stay, e.g. "resource.labels.namespace".
        filter: further terms; "" for none.
        then_by, then: when set, the series grouped by `group_by` are put together once more, per
            these fields, by this reducer.
        scale: by which a value (or a distribution's bounds) is multiplied: percent → ratio, s → ms.
    """

    metric: str
    resource: str
    aligner: str
    reducer: str
    group_by: tuple[str, ...]
    filter: str = ""
    then_by: tuple[str, ...] = ()
    then: str = "REDUCE_COUNT"
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One grouped series: the labels it is grouped by (last part of each field) and its points.

    `numbers` and `distributions` hold (end of the aligned step as Unix seconds, value).
    """

    labels: Mapping[str, str]
    numbers: tuple[tuple[float, float], ...]
    distributions: tuple[tuple[float, Histogram], ...]


def fetch(clients: Clients, query: Query, start: datetime, end: datetime, step_s: int) -> list[Row]:
    """All rows of the query over (start, end] in steps of `step_s` seconds ending at `end`.

    A metric that the project has never written is unknown to Monitoring: that is no data.

    Raises:
        OpsError: the call failed.
    """
    resource = f"monitoring: {query.metric}"

    def read(timeout_s: float) -> list[Any]:
        pager = clients.metrics().list_time_series(
            request=_request(clients.project, query, start, end, step_s),
            timeout=timeout_s,
            retry=None,
        )
        # The plain protobuf messages: their wrappers cost tenfold for fleets of many chips.
        return [series for page in pager.pages for series in type(page).pb(page).time_series]

    try:
        found = clients.call(read, resource=resource, timeout_s=_TIMEOUT_S, policy=_POLICY)
    except NotFound as error:
        if "metric" not in error.message.lower():
            raise  # it is the project that is not there
        return []
    with calls.converting(resource):
        return [_row(series, query.scale) for series in found]


def _request(project: str, query: Query, start: datetime, end: datetime, step_s: int) -> Any:
    from google.cloud.monitoring_v3 import Aggregation, ListTimeSeriesRequest, TimeInterval

    terms = [f'metric.type = "{query.metric}"', f'resource.type = "{query.resource}"']
    request: dict[str, Any] = {
        "name": f"projects/{project}",
        "filter": " AND ".join([*terms, query.filter] if query.filter else terms),
        "interval": TimeInterval(start_time=start, end_time=end),
        "aggregation": {
            "alignment_period": {"seconds": step_s},
            "per_series_aligner": Aggregation.Aligner[query.aligner],
            "cross_series_reducer": Aggregation.Reducer[query.reducer],
            "group_by_fields": list(query.group_by),
        },
        "view": ListTimeSeriesRequest.TimeSeriesView.FULL,
        "page_size": _PAGE_POINTS,
    }
    if query.then_by:
        request["secondary_aggregation"] = {
            "alignment_period": {"seconds": step_s},
            "per_series_aligner": Aggregation.Aligner.ALIGN_MEAN,
            "cross_series_reducer": Aggregation.Reducer[query.then],
            "group_by_fields": list(query.then_by),
        }
    return request


def _row(series: Any, scale: float) -> Row:
    labels = {
        **dict(series.resource.labels),
        **dict(series.metadata.user_labels),
        **dict(series.metric.labels),
    }
    numbers: list[tuple[float, float]] = []
    distributions: list[tuple[float, Histogram]] = []
    for point in series.points:
        end = point.interval.end_time
        at = end.seconds + end.nanos / _UNITS_PER_S
        kind = point.value.WhichOneof("value")
        if kind == "distribution_value":
            distributions.append((at, _histogram(point.value.distribution_value).scaled(scale)))
        else:
            numbers.append((at, float(getattr(point.value, kind)) * scale))
    return Row(labels, tuple(numbers), tuple(distributions))


def _histogram(found: Any) -> Histogram:
    """A Distribution; one without buckets counts its events at their mean."""
    options = found.bucket_options
    kind = options.WhichOneof("options")
    if kind == "explicit_buckets":
        bounds = tuple(options.explicit_buckets.bounds)
    elif kind == "exponential_buckets":
        own = options.exponential_buckets
        bounds = histograms.exponential_bounds(own.num_finite_buckets, own.growth_factor, own.scale)
    elif kind == "linear_buckets":
        own = options.linear_buckets
        bounds = histograms.linear_bounds(own.num_finite_buckets, own.width, own.offset)
    else:
        bounds = ()
    if not bounds:
        return Histogram((found.mean,), (float(found.count), 0.0))
    return histograms.histogram(bounds, [float(c) for c in found.bucket_counts])
