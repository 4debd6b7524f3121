"""Cloud Monitoring through Google's own client over gRPC."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import (
    MetricServiceGrpcTransport,
)

from tests.processes import EmulatorProcess

NODE = "kubernetes.io/node/accelerator/"
VLLM = "prometheus.googleapis.com/vllm:"
TIER = 'metadata.user_labels."heartwood-tier"'
NAMESPACE = "resource.labels.namespace"
SOLVED = "custom.googleapis.com/heartwood/evaluation/solved_ratio"
HOUR = 3600
DAY = 24 * HOUR
END = int(time.time()) // HOUR * HOUR


@pytest.fixture(scope="session")
def client(emulator: EmulatorProcess) -> monitoring_v3.MetricServiceClient:
    """Google's client on the running emulator."""
    options = [("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(emulator.grpc_target, options=options)
    return monitoring_v3.MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))


def ask(
    client: monitoring_v3.MetricServiceClient,
    terms: str,
    aligner: str = "ALIGN_MEAN",
    reducer: str = "REDUCE_NONE",
    by: tuple[str, ...] = (),
    *,
    span: int = 3 * HOUR,
    period: int = 300,
    end: int = END,
    **more: Any,
) -> list[Any]:
    """The series of one query."""
    request: dict[str, Any] = {
        "name": "projects/heartwood-demo",
        "filter": terms if "metric.type" in terms else f'metric.type = "{terms}"',
        "interval": {"end_time": {"seconds": end}, "start_time": {"seconds": end - span}},
        "view": monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
        **more,
    }
    if aligner != "ALIGN_NONE":
        request["aggregation"] = {
            "alignment_period": {"seconds": period}, "per_series_aligner": aligner,
            "cross_series_reducer": reducer, "group_by_fields": list(by),
        }  # fmt: skip
    return list(client.list_time_series(request=request, timeout=30, retry=None))


def numbers(series: Any) -> list[float]:
    """Its points' values, newest first."""
    return [p.value.double_value or float(p.value.int64_value) for p in series.points]


def test_one_call_answers_for_every_tier(client: monitoring_v3.MetricServiceClient) -> None:
    """Grouped by a label, one call has one series per tier, points newest first."""
    found = ask(client, NODE + "tensorcore_utilization", reducer="REDUCE_MEAN", by=(TIER,))
    assert {s.metadata.user_labels["heartwood-tier"] for s in found} == {"small", "medium"}
    for series in found:
        assert len(series.points) == 36
        assert all(0 < v <= 100 for v in numbers(series))
        ends = [p.interval.end_time for p in series.points]
        assert ends == sorted(ends, reverse=True)
        assert int(ends[0].timestamp()) == END


def test_sum_of_groups_is_the_whole(client: monitoring_v3.MetricServiceClient) -> None:
    """Grouping loses nothing: groups add up to the ungrouped series and to the total."""
    metric = VLLM + "generation_tokens_total/counter"
    alone = ask(client, metric, "ALIGN_RATE")
    grouped = ask(client, metric, "ALIGN_RATE", "REDUCE_SUM", (NAMESPACE,))
    total = ask(client, metric, "ALIGN_RATE", "REDUCE_SUM")
    assert len(alone) > 100
    assert {s.resource.labels["namespace"] for s in grouped} == {"small", "medium", "dev"}
    for point in (0, 7, 35):
        whole = numbers(total[0])[point]
        assert sum(numbers(s)[point] for s in grouped) == pytest.approx(whole, rel=1e-9)
        assert sum(numbers(s)[point] for s in alone) == pytest.approx(whole, rel=1e-9)


def test_resolution_does_not_change_the_mean(client: monitoring_v3.MetricServiceClient) -> None:
    """The mean of sixty minutes is the hour's value."""
    metric = VLLM + "num_requests_running/gauge"
    fine = ask(client, metric, reducer="REDUCE_SUM", by=(NAMESPACE,), span=HOUR, period=60)
    coarse = ask(client, metric, reducer="REDUCE_SUM", by=(NAMESPACE,), span=HOUR, period=HOUR)
    for one, hour in zip(fine, coarse, strict=True):
        assert len(one.points) == 60
        assert sum(numbers(one)) / 60 == pytest.approx(numbers(hour)[0], rel=1e-6)


def test_percentiles_come_from_the_distribution(client: monitoring_v3.MetricServiceClient) -> None:
    """REDUCE_PERCENTILE_x grows with x and lies in the distribution that REDUCE_SUM gives."""
    metric = VLLM + "time_to_first_token_seconds/histogram"
    p50, p95, p99 = (
        numbers(ask(client, metric, "ALIGN_DELTA", f"REDUCE_PERCENTILE_{p}", (NAMESPACE,))[0])[0]
        for p in (50, 95, 99)
    )
    assert 0 < p50 < p95 < p99
    whole = ask(client, metric, "ALIGN_DELTA", "REDUCE_SUM", (NAMESPACE,))[0]
    found = whole.points[0].value.distribution_value
    assert found.count == sum(found.bucket_counts)
    bounds = list(found.bucket_options.explicit_buckets.bounds)
    below = sum(c for c, b in zip(found.bucket_counts, bounds, strict=False) if b < p50)
    assert below <= found.count / 2


def test_requests_agree_between_products(client: monitoring_v3.MetricServiceClient) -> None:
    """What the load balancer sent to `medium` is what its servers answered, Little's law holds."""
    balanced = ask(
        client,
        'metric.type = "loadbalancing.googleapis.com/https/backend_request_count" AND '
        'resource.labels.backend_target_name = "hw-medium" AND '
        "metric.labels.response_code_class = 200",
        "ALIGN_RATE", "REDUCE_SUM",
    )  # fmt: skip
    medium = f'resource.labels.namespace = "medium" AND metric.type = "{VLLM}'
    served = ask(
        client,
        medium + 'request_success_total/counter" AND metric.labels.finished_reason != "error"',
        "ALIGN_RATE",
        "REDUCE_SUM",
    )
    rate = numbers(balanced[0])
    assert numbers(served[0]) == pytest.approx(rate, rel=1e-6)
    running = ask(client, medium + 'num_requests_running/gauge"', reducer="REDUCE_SUM")
    e2e = ask(client, medium + 'e2e_request_latency_seconds/histogram"', "ALIGN_DELTA",
              "REDUCE_MEAN")  # fmt: skip
    for busy, throughput, residence in zip(numbers(running[0]), rate, numbers(e2e[0]), strict=True):
        assert busy == pytest.approx(throughput * residence, rel=0.02)


def test_idle_and_absent_are_told_apart(client: monitoring_v3.MetricServiceClient) -> None:
    """A scaled-up tier shows its hosts from that day on; before, they have no points."""
    metric = NODE + "memory_total"
    small = f'metric.type = "{metric}" AND resource.labels.node_name = has_substring("hw-small")'
    found = ask(
        client, small, reducer="REDUCE_COUNT", span=20 * DAY, period=DAY,
    )  # fmt: skip
    counts = numbers(found[0])
    assert max(counts) >= 48 * 4 - 4
    assert counts[-1] <= 44 * 4


def test_paging_by_points(client: monitoring_v3.MetricServiceClient) -> None:
    """Small pages give the same points as one large page, even when they cut a series."""
    metric = VLLM + "kv_cache_usage_perc/gauge"
    whole = ask(client, metric, "ALIGN_NONE", span=600)
    pages = ask(client, metric, "ALIGN_NONE", span=600, page_size=7)
    flat = [(s.resource.labels["instance"], p.interval.end_time, p.value.double_value)
            for s in whole for p in s.points]  # fmt: skip
    cut = [(s.resource.labels["instance"], p.interval.end_time, p.value.double_value)
           for s in pages for p in s.points]  # fmt: skip
    assert flat == cut
    assert len(pages) > len(whole)


def test_counters_only_grow(client: monitoring_v3.MetricServiceClient) -> None:
    """Raw points of a cumulative metric rise from one start time on, and agree with its delta."""
    medium = (
        f'metric.type = "{VLLM}prompt_tokens_total/counter" AND resource.labels.namespace="dev"'
    )
    raw = ask(client, medium, "ALIGN_NONE", span=600)[0]
    values = numbers(raw)
    assert values == sorted(values, reverse=True)
    delta = ask(client, medium, "ALIGN_DELTA", span=540, period=540)
    if raw.points[0].interval.start_time == raw.points[-1].interval.start_time:
        assert numbers(delta[0])[0] == pytest.approx(values[0] - values[-1], rel=1e-6)


@pytest.mark.parametrize(
    ("terms", "aligner", "code", "word"),
    [
        ('metric.type = "nobody.com/knows"', "ALIGN_MEAN", exceptions.NotFound, "Cannot find"),
        ('resource.type = "k8s_node"', "ALIGN_MEAN", exceptions.InvalidArgument, "metric.type"),
        ('metric.type = "unclosed', "ALIGN_MEAN", exceptions.InvalidArgument, "parse filter"),
        (VLLM + "prompt_tokens_total/counter", "ALIGN_MEAN", exceptions.InvalidArgument,
         "CUMULATIVE"),
        (NODE + "duty_cycle", "ALIGN_RATE", exceptions.InvalidArgument, "GAUGE"),
    ],
)  # fmt: skip
def test_refusals(
    client: monitoring_v3.MetricServiceClient, terms: str, aligner: str, code: type[Exception],
    word: str,
) -> None:  # fmt: skip
    """What the real API refuses is refused with its code and words."""
    if "metric.type" not in terms and "resource.type" in terms:
        terms += " AND resource.labels.x = 'metric.type'"
    with pytest.raises(code, match=word):
        ask(client, terms, aligner)


def test_interval_and_token_are_checked(client: monitoring_v3.MetricServiceClient) -> None:
    """An interval that ends before it begins, a short period and a foreign token are refused."""
    metric = NODE + "duty_cycle"
    with pytest.raises(exceptions.InvalidArgument, match="end time"):
        ask(client, metric, span=-60)
    with pytest.raises(exceptions.InvalidArgument, match="60 seconds"):
        ask(client, metric, period=10)
    with pytest.raises(exceptions.InvalidArgument, match="pageToken"):
        ask(client, metric, page_token="bm9uZQ")


def test_local_tier_is_never_made_up(client: monitoring_v3.MetricServiceClient) -> None:
    """Without an inference server the local tier has no series at all."""
    local = (
        f'metric.type = "{VLLM}num_requests_running/gauge" AND resource.labels.namespace="local"'
    )
    assert ask(client, local, span=30 * DAY, period=HOUR) == []


def test_descriptors(client: monitoring_v3.MetricServiceClient) -> None:
    """Every metric has a descriptor whose resource types are described too."""
    name = "projects/heartwood-demo"
    metrics = list(client.list_metric_descriptors(name=name, retry=None, timeout=30))
    resources = {
        r.type
        for r in client.list_monitored_resource_descriptors(name=name, retry=None, timeout=30)
    }
    assert len(metrics) > 40
    assert all(set(m.monitored_resource_types) <= resources for m in metrics)
    one = client.get_metric_descriptor(name=metrics[0].name, retry=None, timeout=30)
    assert one.type == metrics[0].type
    only = client.list_metric_descriptors(
        request={"name": name, "filter": 'metric.type = starts_with("loadbalancing")'},
        retry=None, timeout=30,
    )  # fmt: skip
    assert {m.type.split(".")[0] for m in only} == {"loadbalancing"}


def test_an_evaluation_tells_of_every_tier_with_requests(
    client: monitoring_v3.MetricServiceClient,
) -> None:
    """A share of tasks solved per part, of which larger models solve more."""
    found = {
        (s.resource.labels["namespace"], s.resource.labels["task_id"]): s.points[0].value
        for s in ask(client, SOLVED, period=3 * HOUR)
    }
    assert set(found) == {
        ("small", "gke"), ("small", "vertex"), ("medium", "gke"), ("dev", "tpu_vm"),
    }  # fmt: skip
    solved = {key: value.double_value for key, value in found.items()}
    assert 0.6 < solved["small", "gke"] < solved["medium", "gke"] < 0.9
