"""Every metric that the emulated project writes: its descriptor as data, and who makes its series.

Names, kinds, units and labels follow Google's published metric lists and vLLM's documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from emulator.apis.monitoring.block import AnyBlock
from emulator.apis.monitoring.sources import (
    accelerators,
    evaluation,
    load_balancer,
    pools,
    servers,
    subscriptions,
    vertex,
)
from emulator.apis.monitoring.telemetry import Telemetry

GAUGE: Final = "GAUGE"
DELTA: Final = "DELTA"
CUMULATIVE: Final = "CUMULATIVE"
DOUBLE: Final = "DOUBLE"
INT64: Final = "INT64"
BOOL: Final = "BOOL"
DISTRIBUTION: Final = "DISTRIBUTION"

Source = Callable[[Telemetry, str], Sequence[AnyBlock]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric type. `short` is what its source knows it by; `labels` name → value type."""

    type: str
    kind: str
    value_type: str
    unit: str
    title: str
    description: str
    resources: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    source: Source | None
    short: str


def _labels(*names: str, integers: tuple[str, ...] = ()) -> tuple[tuple[str, str], ...]:
    return tuple((name, INT64 if name in integers else "STRING") for name in names)


_CHIP_LABELS: Final = _labels("make", "accelerator_id", "model")
_CHIP: Final[dict[str, tuple[str, str, str, str]]] = {
    "tensorcore_utilization": (DOUBLE, "%", "TensorCore utilization",
                               "Share of the TensorCore in use, 0 to 100."),
    "memory_bandwidth_utilization": (DOUBLE, "%", "Memory bandwidth utilization",
                                     "Share of the HBM bandwidth in use, 0 to 100."),
    "duty_cycle": (DOUBLE, "%", "Accelerator duty cycle",
                   "Share of the last sample period in which the accelerator was processing."),
    "memory_used": (INT64, "By", "Accelerator memory used", "HBM in use."),
    "memory_total": (INT64, "By", "Accelerator memory total", "HBM of the accelerator."),
}  # fmt: skip


def _chip_metrics() -> list[Metric]:
    scopes: tuple[tuple[str, str, Source], ...] = (
        ("kubernetes.io/node/accelerator/", "k8s_node", accelerators.node_blocks),
        ("kubernetes.io/container/accelerator/", "k8s_container", accelerators.container_blocks),
        ("tpu.googleapis.com/accelerator/", "tpu.googleapis.com/GceTpuWorker",
         accelerators.vm_blocks),
    )  # fmt: skip
    return [
        Metric(prefix + name, GAUGE, kind, unit, title, text, (resource,),
               _CHIP_LABELS if name in ("duty_cycle", "memory_used", "memory_total")
               else (*_CHIP_LABELS, ("tpu_topology", "STRING")), source, name)
        for prefix, resource, source in scopes
        for name, (kind, unit, title, text) in _CHIP.items()
    ]  # fmt: skip


def _pool_metrics() -> list[Metric]:
    prefix = "kubernetes.io/node_pool/"
    return [
        Metric(prefix + "status", GAUGE, BOOL, "1", "Node pool status",
               "State of the node pool.", (pools.RESOURCE,), _labels("status"),
               pools.status_blocks, "status"),
        Metric(prefix + "multi_host/available", GAUGE, BOOL, "1", "Multi-host availability",
               "Whether all hosts of the multi-host TPU slice are there.", (pools.RESOURCE,), (),
               pools.available_blocks, "available"),
    ]  # fmt: skip


def _vertex_metrics() -> list[Metric]:
    prefix = "aiplatform.googleapis.com/prediction/online/"
    resource = ("aiplatform.googleapis.com/Endpoint",)
    model = ("deployed_model_id",)
    return [
        Metric(prefix + "prediction_latencies", DELTA, DISTRIBUTION, "ms", "Model latency",
               "Online prediction latency.", resource, _labels(*model, "latency_type"),
               vertex.latency_blocks, "prediction_latencies"),
        Metric(prefix + "response_count", DELTA, INT64, "1", "Response count",
               "Online prediction responses by code.", resource, _labels(*model, "response_code"),
               vertex.count_blocks, "response_count"),
        *(
            Metric(prefix + name, DELTA, INT64, "1", title, text, resource, _labels(*model),
                   vertex.count_blocks, name)
            for name, title, text in (
                ("error_count", "Error count", "Online prediction errors."),
                ("prediction_count", "Prediction count", "Online predictions."),
            )
        ),
        *(
            Metric(prefix + name, GAUGE, kind, unit, title, text, resource, _labels(*model),
                   vertex.gauge_blocks, name)
            for name, kind, unit, title, text in (
                ("replicas", INT64, "1", "Replica count", "Active replicas."),
                ("target_replicas", INT64, "1", "Replica target", "Replicas wanted."),
                ("machine_count", INT64, "1", "Machine count", "Machines that serve."),
                ("accelerator/duty_cycle", DOUBLE, "10^2.%", "Accelerator duty cycle",
                 "Mean share of time in which the accelerators were processing, 0 to 1."),
                ("accelerator/memory/bytes_used", INT64, "By", "Accelerator memory usage",
                 "Accelerator memory in use, mean over the deployment's replicas."),
            )
        ),
    ]  # fmt: skip


def _balancer_metrics() -> list[Metric]:
    prefix = "loadbalancing.googleapis.com/https/"
    shared = ("proxy_continent", "client_country", "cache_result", "protocol",
              "load_balancing_scheme", "response_code_class")  # fmt: skip
    integers = ("response_code", "response_code_class")
    counts = _labels(*shared, "response_code", integers=integers)
    latencies = _labels(*shared, integers=integers)
    return [
        *(
            Metric(prefix + name, DELTA, INT64, "1", title, text, ("https_lb_rule",), counts,
                   load_balancer.count_blocks, name)
            for name, title, text in (
                ("request_count", "Request count", "Requests that the load balancer served."),
                ("backend_request_count", "Backend request count", "Requests sent to backends."),
            )
        ),
        *(
            Metric(prefix + name, DELTA, DISTRIBUTION, "ms", title, text, ("https_lb_rule",),
                   latencies, load_balancer.latency_blocks, name)
            for name, title, text in (
                ("total_latencies", "Total latency",
                 "From the request's first byte at the proxy to the response's last."),
                ("backend_latencies", "Backend latency",
                 "From the request sent to the backend to the response's last byte."),
            )
        ),
    ]  # fmt: skip


def _server_metrics() -> list[Metric]:
    def metric(name: str, suffix: str, kind: str, value: str, source: Source, *more: str) -> Metric:
        return Metric(
            f"prometheus.googleapis.com/vllm:{name}/{suffix}", kind, value, "1",
            f"prometheus/vllm:{name}/{suffix}", f"Prometheus {suffix} vllm:{name}.",
            ("prometheus_target",), _labels("model_name", "engine", "pod", "container", *more),
            source, name,
        )  # fmt: skip

    return [
        *(metric(n, "gauge", GAUGE, DOUBLE, servers.gauge_blocks) for n in servers.GAUGES),
        *(
            metric(n, "counter", CUMULATIVE, DOUBLE, servers.counter_blocks,
                   *(("finished_reason",) if n == "request_success_total" else ()))
            for n in servers.COUNTERS
        ),
        *(
            metric(n, "histogram", CUMULATIVE, DISTRIBUTION, servers.histogram_blocks)
            for n in servers.HISTOGRAMS
        ),
    ]  # fmt: skip


def _subscription_metrics() -> list[Metric]:
    prefix = "pubsub.googleapis.com/subscription/"
    return [
        Metric(prefix + name, GAUGE, INT64, unit, title, text, (subscriptions.RESOURCE,), (),
               subscriptions.backlog_blocks, name)
        for name, unit, title, text in (
            ("num_undelivered_messages", "1", "Unacked messages",
             "Messages of a subscription that have not been acknowledged or pushed."),
            ("oldest_unacked_message_age", "s", "Oldest unacked message age",
             "Age of the oldest message of a subscription that is not acknowledged."),
        )
    ]  # fmt: skip


def _evaluation_metrics() -> list[Metric]:
    return [
        Metric("custom.googleapis.com/heartwood/evaluation/solved_ratio", GAUGE, DOUBLE, "1",
               "Tasks solved", "Share of an evaluation's tasks that a tier's answers solve.",
               (evaluation.RESOURCE,), _labels("model_name"), evaluation.solved_blocks,
               "solved_ratio"),
    ]  # fmt: skip


METRICS: Final[dict[str, Metric]] = {
    m.type: m
    for m in (
        *_chip_metrics(),
        *_pool_metrics(),
        *_vertex_metrics(),
        *_balancer_metrics(),
        *_server_metrics(),
        *_subscription_metrics(),
        *_evaluation_metrics(),
    )
}

# Monitored resource types: title and labels, as Google describes them.
RESOURCES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "k8s_node": ("Kubernetes Node", ("project_id", "location", "cluster_name", "node_name")),
    "k8s_container": ("Kubernetes Container", ("project_id", "location", "cluster_name",
                                               "namespace_name", "pod_name", "container_name")),
    "k8s_node_pool": ("Kubernetes Node Pool", ("project_id", "location", "cluster_name",
                                               "node_pool_name")),
    "prometheus_target": ("Prometheus Target", ("project_id", "location", "cluster", "namespace",
                                                "job", "instance")),
    "pubsub_subscription": ("Cloud Pub/Sub Subscription", ("project_id", "subscription_id")),
    "https_lb_rule": ("Google Cloud HTTP/S Load Balancing Rule", (
        "project_id", "region", "forwarding_rule_name", "url_map_name", "target_proxy_name",
        "matched_url_path_rule", "backend_target_name", "backend_target_type", "backend_name",
        "backend_type", "backend_scope", "backend_scope_type")),
    "aiplatform.googleapis.com/Endpoint": ("Vertex AI Endpoint", (
        "resource_container", "location", "endpoint_id")),
    "global": ("Global", ("project_id",)),
    "generic_node": ("Generic Node", ("project_id", "location", "namespace", "node_id")),
    "generic_task": ("Generic Task", ("project_id", "location", "namespace", "job", "task_id")),
    "gce_instance": ("VM Instance", ("project_id", "instance_id", "zone")),
    "k8s_cluster": ("Kubernetes Cluster", ("project_id", "location", "cluster_name")),
    "k8s_pod": ("Kubernetes Pod", ("project_id", "location", "cluster_name", "namespace_name",
                                   "pod_name")),
    "tpu.googleapis.com/GceTpuWorker": ("Cloud TPU Worker", (
        "resource_container", "location", "node_id", "worker_id")),
}  # fmt: skip
