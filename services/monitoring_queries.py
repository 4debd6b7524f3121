"""Which Cloud Monitoring metric says what, from which kind of resource, and whose it is.

- Traffic and latency of a tier behind the load balancer are the load balancer's, plus Vertex's own
  for its Vertex part; a tier without one is read from its servers (vLLM's names).
- Time to first token, tokens, queue and KV cache are the servers' own; Vertex exports none of
  them, so they speak of the other parts of a tier.
- Utilisation is GKE's accelerator metrics by the node's tier label, or by node pool where the
  label does not tell (`by_pool`: a row per pool, some hundreds at most, never one per host); or the
  Cloud TPU API's by TPU VM.
- How good a tier's answers are no product measures: a job of the project's own may write the custom
  metric `SOLVED_METRIC`, as a `generic_task` in the tier's namespace.

Units: GKE's and the TPU API's utilisations are percent, vLLM's times seconds, latencies of Google's
own services milliseconds; `Query.scale` brings them to ratios and milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from core.series import Signal
from core.specs import TIER_LABEL
from services.time_series import Query


class Owner(StrEnum):
    """How a row is given to a tier."""

    NAMESPACE = "namespace"  # Kubernetes namespace of the servers, or what a job calls so
    BACKEND = "backend_target_name"  # the load balancer's backend service
    ENDPOINT = "endpoint_id"  # the Vertex endpoint, by its display name
    NODE = TIER_LABEL  # the tier label of the Kubernetes node, else its pool and cluster
    TPU_VM = "node_id"  # the TPU VM, by its name


@dataclass(frozen=True, slots=True)
class Source:
    """A query with the owner of its rows.

    `unbalanced_only`: it speaks only for tiers without a load balancer's backend service.
    """

    query: Query
    owner: Owner
    unbalanced_only: bool = False


_NAMESPACE: Final = "resource.labels.namespace"
_BACKEND: Final = "resource.labels.backend_target_name"
_ENDPOINT: Final = "resource.labels.endpoint_id"
POOL_LABEL: Final = "cloud.google.com/gke-nodepool"  # GKE puts it on every node
_SERVER: Final = (_NAMESPACE, "resource.labels.cluster", "resource.labels.location")
_NODE_TIER: Final = f'metadata.user_labels."{TIER_LABEL}"'
_NODE_CLUSTER: Final = ("resource.labels.cluster_name", "resource.labels.location")
_NODE_POOL: Final = (f'metadata.user_labels."{POOL_LABEL}"', *_NODE_CLUSTER)
_NODE_NAME: Final = "resource.labels.node_name"
_TPU_VM: Final = "resource.labels.node_id"
_TPU_WORKER: Final = "resource.labels.worker_id"
_CHIP: Final = "metric.labels.accelerator_id"
# What an evaluation writes: a gauge of doubles, 0–1.
SOLVED_METRIC: Final = "custom.googleapis.com/heartwood/evaluation/solved_ratio"
_PERCENT: Final = 0.01
_SECONDS: Final = 1000.0


def _vllm(
    name: str, kind: str, aligner: str, reducer: str, label: str = "", scale: float = 1.0
) -> Source:
    fields = (*_SERVER, f"metric.labels.{label}") if label else _SERVER
    metric = f"prometheus.googleapis.com/vllm:{name}/{kind}"
    query = Query(metric, "prometheus_target", aligner, reducer, fields, scale=scale)
    return Source(query, Owner.NAMESPACE)


def server_query(name: str) -> Query:
    """Growth of vLLM's counter of that name per server pod, all of its engines together."""
    return _vllm(name, "counter", "ALIGN_DELTA", "REDUCE_SUM", "pod").query


def _https(name: str, aligner: str, *labels: str) -> Source:
    metric = f"loadbalancing.googleapis.com/https/{name}"
    fields = (_BACKEND, *(f"metric.labels.{label}" for label in labels))
    return Source(Query(metric, "https_lb_rule", aligner, "REDUCE_SUM", fields), Owner.BACKEND)


def _vertex(name: str, aligner: str, *labels: str, terms: str = "") -> Source:
    metric = f"aiplatform.googleapis.com/prediction/online/{name}"
    fields = (_ENDPOINT, *(f"metric.labels.{label}" for label in labels))
    resource = "aiplatform.googleapis.com/Endpoint"
    query = Query(metric, resource, aligner, "REDUCE_SUM", fields, terms)
    return Source(query, Owner.ENDPOINT)


def _gke(name: str, reducer: str, scale: float = 1.0) -> Source:
    metric = f"kubernetes.io/node/accelerator/{name}"
    query = Query(metric, "k8s_node", "ALIGN_MEAN", reducer, (_NODE_TIER,), scale=scale)
    return Source(query, Owner.NODE)


def _tpu(name: str, reducer: str, scale: float = 1.0) -> Source:
    metric = f"tpu.googleapis.com/accelerator/{name}"
    resource = "tpu.googleapis.com/GceTpuWorker"
    query = Query(metric, resource, "ALIGN_MEAN", reducer, (_TPU_VM,), scale=scale)
    return Source(query, Owner.TPU_VM)


REQUESTS_BALANCED: Final = _https("backend_request_count", "ALIGN_DELTA", "response_code_class")
REQUESTS_VERTEX: Final = _vertex("response_count", "ALIGN_DELTA", "response_code")
REQUESTS_SERVED: Final = replace(
    _vllm("request_success_total", "counter", "ALIGN_DELTA", "REDUCE_SUM", "finished_reason"),
    unbalanced_only=True,
)
LATENCY_BALANCED: Final = _https("backend_latencies", "ALIGN_DELTA")
LATENCY_VERTEX: Final = _vertex(
    "prediction_latencies", "ALIGN_DELTA", terms='metric.labels.latency_type = "total"'
)
LATENCY_SERVED: Final = replace(
    _vllm("e2e_request_latency_seconds", "histogram", "ALIGN_DELTA", "REDUCE_SUM", scale=_SECONDS),
    unbalanced_only=True,
)
TTFT: Final = _vllm(
    "time_to_first_token_seconds", "histogram", "ALIGN_DELTA", "REDUCE_SUM", scale=_SECONDS
)
PROMPT_TOKENS: Final = _vllm("prompt_tokens_total", "counter", "ALIGN_DELTA", "REDUCE_SUM")
GENERATION_TOKENS: Final = _vllm("generation_tokens_total", "counter", "ALIGN_DELTA", "REDUCE_SUM")
RUNNING: Final = _vllm("num_requests_running", "gauge", "ALIGN_MEAN", "REDUCE_SUM")
WAITING: Final = _vllm("num_requests_waiting", "gauge", "ALIGN_MEAN", "REDUCE_SUM")
KV_CACHE: Final = _vllm("kv_cache_usage_perc", "gauge", "ALIGN_MEAN", "REDUCE_MEAN")
REPLICAS_VERTEX: Final = _vertex("replicas", "ALIGN_MEAN")
SOLVED: Final = Source(
    Query(SOLVED_METRIC, "generic_task", "ALIGN_MEAN", "REDUCE_MEAN", (_NAMESPACE,)),
    Owner.NAMESPACE,
)

TENSORCORE_SUM: Final = (
    _gke("tensorcore_utilization", "REDUCE_SUM", _PERCENT),
    _tpu("tensorcore_utilization", "REDUCE_SUM", _PERCENT),
)
TENSORCORE_COUNT: Final = (
    _gke("tensorcore_utilization", "REDUCE_COUNT"),
    _tpu("tensorcore_utilization", "REDUCE_COUNT"),
)
HBM_USED: Final = (_gke("memory_used", "REDUCE_SUM"), _tpu("memory_used", "REDUCE_SUM"))
HBM_TOTAL: Final = (_gke("memory_total", "REDUCE_SUM"), _tpu("memory_total", "REDUCE_SUM"))


def _per_host(name: str, then: str, scale: float = 1.0) -> tuple[Source, Source]:
    """The mean of each host's series, put together once more per tier: of nodes, of TPU VMs."""
    gke, tpu = _gke(name, "REDUCE_MEAN", scale), _tpu(name, "REDUCE_MEAN", scale)
    node, worker = (*gke.query.group_by, _NODE_NAME), (*tpu.query.group_by, _TPU_WORKER)
    return (
        replace(gke, query=replace(gke.query, group_by=node, then_by=(_NODE_TIER,), then=then)),
        replace(tpu, query=replace(tpu.query, group_by=worker, then_by=(_TPU_VM,), then=then)),
    )


DUTY_OF_HOSTS: Final = _per_host("duty_cycle", "REDUCE_SUM", _PERCENT)
HOSTS: Final = _per_host("memory_total", "REDUCE_COUNT")


def by_pool(query: Query) -> Query:
    """The query of GKE nodes with a row per tier label, node pool and cluster, for any selector."""

    def finer(fields: tuple[str, ...]) -> tuple[str, ...]:
        return (*fields, *_NODE_POOL) if _NODE_TIER in fields else fields

    return replace(query, group_by=finer(query.group_by), then_by=finer(query.then_by))


def chip_queries(name: str, scale: float = 1.0) -> tuple[Query, Query]:
    """The accelerator metric of that name per host and chip: of GKE nodes and of TPU VMs."""
    gke, tpu = _gke(name, "REDUCE_MEAN", scale).query, _tpu(name, "REDUCE_MEAN", scale).query
    return (
        replace(gke, group_by=(_NODE_NAME, *_NODE_CLUSTER, _CHIP)),
        replace(tpu, group_by=(_TPU_VM, _TPU_WORKER, _CHIP)),
    )


@dataclass(frozen=True, slots=True)
class Formula:
    """A signal as numerator ÷ denominator, each the sum of its sources' rows of a tier.

    Attributes:
        denominator: () stands for 1, or for the step's seconds with `per_s`.
        absent_is_zero: a numerator without a row counts as 0 where the denominator has one.
        errors_only: of the numerator only the rows of failed requests count.
        per_s: the numerator counts events. Counts, not rates, are asked for: over a step that is
            covered in part a rate says too much, and only counts of several steps add up.
    """

    numerator: tuple[Source, ...]
    denominator: tuple[Source, ...] = ()
    absent_is_zero: bool = False
    errors_only: bool = False
    per_s: bool = False


@dataclass(frozen=True, slots=True)
class Distribution:
    """A signal as a percentile (0–1) of its sources' merged distributions, in milliseconds."""

    sources: tuple[Source, ...]
    ratio: float


_TRAFFIC: Final = (REQUESTS_BALANCED, REQUESTS_VERTEX, REQUESTS_SERVED)
_LATENCY: Final = (LATENCY_BALANCED, LATENCY_VERTEX, LATENCY_SERVED)

# Duty cycle is the mean over hosts of what each host's accelerators report. Google does not say of
# what TPU7x has a series: of the chip or of each of its two devices; those of the memory are
# numbered otherwise, so the two counts may not be divided. A host's mean is right for both.
# It is absent on idle accelerators: a host that sends none counts as 0 where it has a memory series
# (its agent has then reported in that step, which stands in for the node being Ready, which is not
# among Monitoring's metrics); a host without one is unknown and counts nowhere.
RECIPES: Final[Mapping[Signal, Formula | Distribution]] = {
    Signal.REQUESTS: Formula(_TRAFFIC, per_s=True),
    Signal.ERRORS: Formula(_TRAFFIC, _TRAFFIC, absent_is_zero=True, errors_only=True),
    Signal.TTFT_P50: Distribution((TTFT,), 0.50),
    Signal.TTFT_P95: Distribution((TTFT,), 0.95),
    Signal.TTFT_P99: Distribution((TTFT,), 0.99),
    Signal.LATENCY_P50: Distribution(_LATENCY, 0.50),
    Signal.LATENCY_P95: Distribution(_LATENCY, 0.95),
    Signal.LATENCY_P99: Distribution(_LATENCY, 0.99),
    Signal.PROMPT_TOKENS: Formula((PROMPT_TOKENS,), per_s=True),
    Signal.GENERATION_TOKENS: Formula((GENERATION_TOKENS,), per_s=True),
    Signal.TENSORCORE: Formula(TENSORCORE_SUM, TENSORCORE_COUNT),
    Signal.DUTY_CYCLE: Formula(DUTY_OF_HOSTS, HOSTS, absent_is_zero=True),
    Signal.HBM: Formula(HBM_USED, HBM_TOTAL),
    Signal.RUNNING: Formula((RUNNING,)),
    Signal.WAITING: Formula((WAITING,)),
    Signal.KV_CACHE: Formula((KV_CACHE,)),
    Signal.SOLVED: Formula((SOLVED,)),
    Signal.HOSTS: Formula((*HOSTS, REPLICAS_VERTEX)),
}


def sources_of(recipe: Formula | Distribution) -> tuple[Source, ...]:
    """Every source that the recipe draws on."""
    if isinstance(recipe, Distribution):
        return recipe.sources
    return (*recipe.numerator, *recipe.denominator)
