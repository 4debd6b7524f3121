"""CreateTimeSeries and metric descriptors through Google's client and over REST."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.api import metric_pb2
from google.api_core import exceptions
from google.cloud import monitoring_v3
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.emulator.monitoring.conftest import P, Rest, make
from tests.processes import EmulatorProcess

NOW = int(time.time()) // 60 * 60
FULL = monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL


def point(value: Any, end: int = NOW, start: int | None = None, kind: str = "double") -> Any:
    """One point."""
    interval = {"end_time": {"seconds": end}}
    if start is not None:
        interval["start_time"] = {"seconds": start}
    return {"interval": interval, "value": {f"{kind}_value": value}}


def series(name: str, *points: Any, labels: Any = None, **more: Any) -> Any:
    """One series of a metric of ours."""
    return {
        "metric": {"type": f"custom.googleapis.com/{name}", "labels": labels or {}},
        "resource": {"type": "global"}, "points": list(points), **more,
    }  # fmt: skip


def write(client: Any, *found: Any) -> None:
    """One call."""
    client.create_time_series(request={"name": P, "time_series": list(found)}, retry=None)


def read(client: Any, name: str, aligner: str = "ALIGN_NONE", reducer: str = "REDUCE_NONE",
         span: int = 3600, period: int = 60) -> list[Any]:  # fmt: skip
    """What ListTimeSeries has of it."""
    request = {
        "name": P, "filter": f'metric.type="custom.googleapis.com/{name}"', "view": FULL,
        "interval": {"start_time": {"seconds": NOW - span}, "end_time": {"seconds": NOW}},
    }  # fmt: skip
    if aligner != "ALIGN_NONE":
        request["aggregation"] = {
            "alignment_period": {"seconds": period}, "per_series_aligner": aligner,
            "cross_series_reducer": reducer,
        }  # fmt: skip
    return list(client.list_time_series(request=request, retry=None))


def test_a_first_write_makes_the_metric(own: EmulatorProcess) -> None:
    """Its descriptor follows from the point; the points come back raw, aligned and reduced."""
    client = make("metric", own)
    for minute in (3, 2, 1, 0):
        end = NOW - 60 * minute
        write(
            client,
            series("depth", point(10 + minute, end, kind="int64"), labels={"queue": "a"}),
            series("depth", point(100, end, kind="int64"), labels={"queue": "b"}),
        )
    descriptor = client.get_metric_descriptor(
        name=f"{P}/metricDescriptors/custom.googleapis.com/depth"
    )
    kinds = metric_pb2.MetricDescriptor
    assert (descriptor.metric_kind, descriptor.value_type) == (kinds.GAUGE, kinds.INT64)
    assert [label.key for label in descriptor.labels] == ["queue"]
    raw = {s.metric.labels["queue"]: s for s in read(client, "depth")}
    assert [p.value.int64_value for p in raw["a"].points] == [10, 11, 12, 13]
    assert raw["a"].resource.type == "global"
    (total,) = read(client, "depth", "ALIGN_MEAN", "REDUCE_SUM")
    assert [p.value.double_value for p in total.points] == [110, 111, 112, 113]
    (whole,) = read(client, "depth", "ALIGN_MAX", "REDUCE_MAX", period=3600)
    assert [p.value.int64_value for p in whole.points] == [100]


def test_counters_and_distributions_come_back(own: EmulatorProcess) -> None:
    """A counter gives its rate; a distribution gives what was written and its percentiles."""
    client = make("metric", own)
    begin = NOW - 900
    for step in range(1, 6):
        write(client, series("served", point(60.0 * step, begin + 60 * step, begin),
                             metric_kind="CUMULATIVE"))  # fmt: skip
    (rate,) = read(client, "served", "ALIGN_RATE")
    assert [p.value.double_value for p in rate.points] == pytest.approx([1.0] * 4)
    (raw,) = read(client, "served")
    assert {int(p.interval.start_time.timestamp()) for p in raw.points} == {begin}
    written = {
        "count": 4, "mean": 2.5, "sum_of_squared_deviation": 5.0,
        "bucket_options": {"explicit_buckets": {"bounds": [0.0, 2.0, 4.0]}},
        "bucket_counts": [0, 2, 2],
    }  # fmt: skip
    write(client, series("sizes", point(written, kind="distribution")))
    (found,) = read(client, "sizes")
    value = found.points[0].value.distribution_value
    assert (value.count, value.mean, list(value.bucket_counts)) == (4, 2.5, [0, 2, 2])
    assert value.sum_of_squared_deviation == pytest.approx(5.0)
    (median,) = read(client, "sizes", "ALIGN_PERCENTILE_50")
    assert median.points[0].value.double_value == pytest.approx(2.0)


GOOD = series("strict", point(1.0))
REFUSED = {
    "Only one point": series("strict", point(1.0), point(2.0)),
    "more than 25h in the past": series("strict", point(1.0, NOW - 26 * 3600)),
    "more than 5m in the future": series("strict", point(1.0, NOW + 86400)),
    "older end time": series("strict", point(1.0, NOW - 1200)),
    "more frequently than the maximum": series("strict", point(1.0, NOW - 598)),
    "must be DOUBLE, but is INT64": series("strict", point(1, kind="int64")),
    "must be GAUGE, but is CUMULATIVE": series(
        "strict", point(1.0, NOW, NOW - 60), metric_kind="CUMULATIVE"),
    "must be equal to the end time": series("strict", point(1.0, NOW, NOW - 60)),
    "Unrecognized metric label": series("strict", point(1.0), labels={"new": "x"}),
    "unrecognized resource type": {**GOOD, "resource": {"type": "moon"}},
    "unrecognized label for the resource": {
        **GOOD, "resource": {"type": "global", "labels": {"zone": "x"}}},
    "must begin with one of": {
        **GOOD, "metric": {"type": "compute.googleapis.com/instance/uptime"}},
    "URL-formatted": {**GOOD, "metric": {"type": "plain"}},
    "must be GAUGE or CUMULATIVE": series("delta", point(1.0, NOW, NOW - 60), metric_kind="DELTA"),
    "is required": series("strict", {"interval": {"end_time": {"seconds": NOW}}}),
}  # fmt: skip


def test_points_that_do_not_fit_are_refused_by_name(own: EmulatorProcess) -> None:
    """Each says which series and why, and counts; what fits in the same call is kept."""
    client = make("metric", own)
    write(client, series("strict", point(1.0, NOW - 600)))
    for number, (why, bad) in enumerate(REFUSED.items()):
        beside = series("beside", point(float(number), NOW - 600 + 6 * number))
        with pytest.raises(exceptions.InvalidArgument) as caught:
            write(client, bad, beside)
        assert caught.value.message.startswith("One or more TimeSeries could not be written"), why
        assert why in caught.value.message
        assert "timeSeries[0]" in caught.value.message
    (kept,) = read(client, "beside")
    assert len(kept.points) == len(REFUSED)
    with pytest.raises(exceptions.InvalidArgument, match="Duplicate TimeSeries"):
        write(client, series("twice", point(1.0)), series("twice", point(1.0)))
    many = [series("many", point(1.0), labels={"n": str(n)}) for n in range(201)]
    with pytest.raises(exceptions.InvalidArgument, match="maximum of 200"):
        write(client, *many)
    write(client, *many[:200])
    assert len(read(client, "many")) == 200


def test_refusals_carry_a_summary(rest: Rest) -> None:
    """The details count points, kept and refused, as Google's do."""
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW))
    value = {"interval": {"endTime": end}, "value": {"doubleValue": 1.5}}
    one = {"metric": {"type": "custom.googleapis.com/half"}, "resource": {"type": "global"},
           "points": [value]}  # fmt: skip
    body = {"timeSeries": [one, {**one, "resource": {"type": "moon"}}]}
    error = rest("POST", f"v3/{P}/timeSeries", body, 400)["error"]
    (summary,) = error["details"]
    assert summary["@type"].endswith("google.monitoring.v3.CreateTimeSeriesSummary")
    assert (summary["totalPointCount"], summary["successPointCount"]) == (2, 1)
    assert summary["errors"] == [{"status": {"code": 3}, "pointCount": 1}]
    other = {**one, "metric": {"type": "custom.googleapis.com/whole"}}
    assert rest("POST", f"v3/{P}/timeSeries", {"timeSeries": [other]}) == {}


def test_descriptors_have_a_life(rest: Rest) -> None:
    """Made, read, listed, given labels, kept in kind, deleted with their points."""
    kind = "custom.googleapis.com/llm/queue_age"
    path = f"v3/{P}/metricDescriptors/{kind}"
    body = {"type": kind, "metricKind": "GAUGE", "valueType": "DOUBLE", "unit": "s",
            "labels": [{"key": "tier", "description": "which tier"}]}  # fmt: skip
    made = rest("POST", f"v3/{P}/metricDescriptors", body)
    assert made == rest("GET", path)
    assert made["labels"][0]["description"] == "which tier"
    more = rest("POST", f"v3/{P}/metricDescriptors", {**body, "labels": [{"key": "pod"}]})
    assert {label["key"] for label in more["labels"]} == {"tier", "pod"}
    listed = rest("GET", f"v3/{P}/metricDescriptors",
                  filter='metric.type = starts_with("custom.googleapis.com/llm")')  # fmt: skip
    assert [d["type"] for d in listed["metricDescriptors"]] == [kind]
    for wrong in (
        {"metricKind": "CUMULATIVE"}, {"valueType": "BOOL", "type": "bare"},
        {"type": "custom.googleapis.com/x", "metricKind": "DELTA"},
        {"type": "custom.googleapis.com/x", "labels": [{"key": "9"}]},
        {"type": "custom.googleapis.com/x", "valueType": "MONEY"},
    ):  # fmt: skip
        rest("POST", f"v3/{P}/metricDescriptors", {**body, **wrong}, 400)
    assert rest("DELETE", path) == {}
    rest("GET", path, status=404)
    rest("DELETE", path, status=404)
    rest("DELETE", f"v3/{P}/metricDescriptors/kubernetes.io/node_pool/status", status=400)


@settings(max_examples=5, deadline=None)
@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6), run=st.integers(0, 10**9))
def test_what_is_written_is_what_is_read(
    own: EmulatorProcess, values: list[float], run: int
) -> None:
    """Any values come back unchanged, newest first; their sum is ALIGN_SUM's."""
    client = make("metric", own)
    name = f"any/r{run}_{len(values)}"
    if read_types(client, name):
        return
    for number, value in enumerate(values):
        write(client, series(name, point(value, NOW - 50 + 6 * number)))
    (raw,) = read(client, name)
    assert [p.value.double_value for p in raw.points] == values[::-1]
    (total,) = read(client, name, "ALIGN_SUM")
    assert total.points[0].value.double_value == pytest.approx(sum(values), rel=1e-9, abs=1e-6)


def read_types(client: Any, name: str) -> list[Any]:
    """The metric's descriptor, if it is there."""
    text = f'metric.type = "custom.googleapis.com/{name}"'
    return list(client.list_metric_descriptors(request={"name": P, "filter": text}, retry=None))
