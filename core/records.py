"""The typed records that flow through Heartwood, all frozen.

Adapters in `services/` return them, `control/` gathers them into one immutable `Snapshot`, pure
functions in `core/` derive what pages draw. None means unknown, never zero. Ratios are 0–1, times
are UTC, money is US dollars. What configures a tier lives in `core/specs.py`, time series in
`core/series.py`, plans and verdicts in `core/plans.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from core.specs import TierSpec

Labels = Mapping[str, str]


class Source(StrEnum):
    """Everything that a Snapshot is read from; one refresher job each."""

    GKE = "gke"
    KUBE = "kube"
    TPU = "tpu"
    VERTEX = "vertex"
    LOAD_BALANCER = "load_balancer"
    LOAD = "load"  # Cloud Monitoring: what each tier carries right now
    CHIPS = "chips"  # Cloud Monitoring: per-chip utilisation and HBM
    PRICES = "prices"  # Cloud Billing Catalog
    COSTS = "costs"  # BigQuery billing export
    BUDGETS = "budgets"
    INFERENCE = "inference"  # our own server


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is kept and shown (see `core.errors`)."""

    kind: str
    message: str
    resource: str = ""
    hint: str = ""
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class SourceState:
    """How fresh one source is.

    Attributes:
        read_at: when `Snapshot` data of this source was last read with success; None: never.
        tried_at: when the last attempt ended.
        failing_since: start of the unbroken run of failures; None: the last attempt succeeded.
        problem: of the last attempt, when it failed.
        interval_s: how often it is read.
        latency_ms: of the last successful read.
        identity: as whom we call; "anonymous" on the emulator.
        endpoint: what we call.
    """

    source: Source
    interval_s: float
    read_at: datetime | None = None
    tried_at: datetime | None = None
    failing_since: datetime | None = None
    problem: Problem | None = None
    latency_ms: float | None = None
    identity: str = ""
    endpoint: str = ""

    def age_s(self, now: datetime) -> float | None:
        """Seconds since the last successful read; None: never read."""
        return None if self.read_at is None else max(0.0, (now - self.read_at).total_seconds())


# --- inventory -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cluster:
    """A GKE cluster. `location` is a region or zone; `status` is GKE's word (RUNNING …)."""

    name: str
    location: str
    version: str
    status: str
    endpoint: str
    labels: Labels = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class NodePool:
    """A GKE node pool. `etag` lets an apply notice that the pool changed since it was planned."""

    name: str
    cluster: str
    location: str
    zones: tuple[str, ...]
    machine_type: str
    topology: str | None
    node_count: int
    status: str
    status_message: str
    version: str
    labels: Labels  # Kubernetes node labels of the pool
    etag: str = ""
    placement_policy: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """A Kubernetes node: one VM with chips. `ready` None: the node has not reported."""

    name: str
    cluster: str
    pool: str
    zone: str
    machine_type: str
    accelerator: str
    topology: str
    chips: int
    ready: bool | None
    reason: str
    schedulable: bool
    created_at: datetime | None
    labels: Labels


@dataclass(frozen=True, slots=True)
class Workload:
    """A Kubernetes Deployment (or LeaderWorkerSet) that serves a tier."""

    name: str
    namespace: str
    cluster: str
    kind: str
    image: str
    replicas_wanted: int
    replicas_ready: int
    labels: Labels


@dataclass(frozen=True, slots=True)
class Pod:
    """A Kubernetes pod."""

    name: str
    namespace: str
    cluster: str
    host: str
    phase: str
    ready: bool
    restarts: int
    reason: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class KubeEvent:
    """A Kubernetes event; `type` is Normal or Warning."""

    at: datetime
    cluster: str
    namespace: str
    type: str
    reason: str
    object: str
    message: str
    count: int


@dataclass(frozen=True, slots=True)
class TpuVm:
    """A Cloud TPU API node (v5e, v5p, v6e only). `state` is the API's word (READY …)."""

    name: str
    zone: str
    state: str
    health: str
    accelerator_type: str
    topology: str
    runtime_version: str
    hosts: int
    created_at: datetime | None
    labels: Labels


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A model on a Vertex endpoint. `traffic_ratio` is 0–1."""

    id: str
    display_name: str
    machine_type: str
    topology: str
    replicas_min: int
    replicas_max: int
    traffic_ratio: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Vertex endpoint; without deployed models it is empty and serves nothing."""

    id: str
    display_name: str
    location: str
    deployed: tuple[DeployedModel, ...]
    labels: Labels


@dataclass(frozen=True, slots=True)
class Backend:
    """One group behind a backend service with the health of its members.

    `healthy` and `unhealthy` count endpoints; both None when health could not be read.
    """

    group: str
    balancing_mode: str
    capacity_ratio: float | None
    healthy: int | None
    unhealthy: int | None


@dataclass(frozen=True, slots=True)
class BackendService:
    """A global backend service."""

    name: str
    protocol: str
    scheme: str
    timeout_s: int
    health_checks: tuple[str, ...]
    backends: tuple[Backend, ...]


@dataclass(frozen=True, slots=True)
class PathRule:
    """Paths of a path matcher that go to one backend service."""

    paths: tuple[str, ...]
    service: str


@dataclass(frozen=True, slots=True)
class PathMatcher:
    """A URL map's path matcher with the hosts that select it."""

    name: str
    hosts: tuple[str, ...]
    default_service: str
    rules: tuple[PathRule, ...]


@dataclass(frozen=True, slots=True)
class UrlMap:
    """A URL map: host → path matcher → backend service."""

    name: str
    default_service: str
    matchers: tuple[PathMatcher, ...]


@dataclass(frozen=True, slots=True)
class ForwardingRule:
    """A global forwarding rule: where clients come in."""

    name: str
    address: str
    ports: str
    scheme: str
    target: str


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """All that stands between clients and tiers."""

    forwarding_rules: tuple[ForwardingRule, ...]
    url_maps: tuple[UrlMap, ...]
    backend_services: tuple[BackendService, ...]


# --- load ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Percentiles of one distribution, in milliseconds; None: no events in the window."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class TierLoad:
    """What one tier carries, averaged over the `window_s` seconds before `at`.

    Every None is "no data", which is not zero. `tensorcore_utilisation_ratio` is the mean over
    chips that report; `hbm_utilisation_ratio` is used ÷ total HBM bytes.
    """

    tier: str
    at: datetime
    window_s: float
    requests_per_s: float | None = None
    error_ratio: float | None = None
    ttft: Quantiles = Quantiles()
    latency: Quantiles = Quantiles()
    prompt_tokens_per_s: float | None = None
    generation_tokens_per_s: float | None = None
    tensorcore_utilisation_ratio: float | None = None
    duty_cycle_ratio: float | None = None
    hbm_utilisation_ratio: float | None = None
    requests_running: float | None = None
    requests_waiting: float | None = None
    kv_cache_ratio: float | None = None
    vertex_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class ChipReading:
    """The latest per-chip figures; None: that chip sent no such point in the window."""

    host: str
    chip: str  # accelerator_id
    tensorcore_utilisation_ratio: float | None
    hbm_used_bytes: float | None
    hbm_total_bytes: float | None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Our own inference server's word about itself."""

    url: str
    ready: bool
    detail: str
    model: str = ""
    parameters: int | None = None
    devices: tuple[str, ...] = ()
    precision: str = ""
    slots: int | None = None
    context_tokens: int | None = None
    uptime_s: float | None = None
    compiles_after_ready: int | None = None


# --- money ---------------------------------------------------------------------------------------


class PriceBasis(StrEnum):
    """Where a money figure comes from; shown beside every one."""

    LIST = "list"  # catalogue price × what runs now
    ESTIMATED = "estimated"  # forecast or extrapolated
    BILLED = "billed"  # from the billing export
    CONFIGURED = "configured"  # the user's own price for hardware that nobody bills


@dataclass(frozen=True, slots=True)
class Price:
    """A catalogue SKU's price for one chip-hour (USD)."""

    sku_id: str
    description: str
    generation: str
    region: str
    usage_type: str  # OnDemand, Preemptible, Commit1Yr …
    usd_per_chip_hour: float
    effective_at: datetime | None


@dataclass(frozen=True, slots=True)
class CostRow:
    """One day's cost of one SKU in one tier, from the billing export.

    `tier` "" : the rows carry no tier label (unassigned). `net_usd` = cost + credits (negative).
    `complete` False: late rows may still come for that day.
    """

    day: date
    tier: str
    service: str
    sku_id: str
    sku: str
    cost_usd: float
    credits_usd: float
    usage: float
    usage_unit: str
    complete: bool = True

    @property
    def net_usd(self) -> float:
        """Cost after credits, USD."""
        return self.cost_usd + self.credits_usd


@dataclass(frozen=True, slots=True)
class Budget:
    """A Cloud Billing budget. Spend is not part of the API; it comes from `CostRow`s."""

    id: str
    display_name: str
    amount_usd: float | None  # None: "last period's amount"
    threshold_ratios: tuple[float, ...]
    labels: Labels
    period: str


# --- the whole -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One immutable picture of everything, with the freshness of each source.

    A field is None until its source was first read with success; after a failure the last good
    value stays, and `sources` says how old it is and why.
    """

    taken_at: datetime
    specs: tuple[TierSpec, ...]
    sources: Mapping[Source, SourceState]
    clusters: tuple[Cluster, ...] | None = None
    node_pools: tuple[NodePool, ...] | None = None
    hosts: tuple[Host, ...] | None = None
    workloads: tuple[Workload, ...] | None = None
    pods: tuple[Pod, ...] | None = None
    kube_events: tuple[KubeEvent, ...] | None = None
    tpu_vms: tuple[TpuVm, ...] | None = None
    endpoints: tuple[Endpoint, ...] | None = None
    load_balancer: LoadBalancer | None = None
    loads: Mapping[str, TierLoad] | None = None  # by tier
    chips: tuple[ChipReading, ...] | None = None
    prices: tuple[Price, ...] | None = None
    costs: tuple[CostRow, ...] | None = None  # 31 days
    budgets: tuple[Budget, ...] | None = None
    server: ServerStatus | None = None

    def spec(self, tier: str) -> TierSpec:
        """The configuration of that tier.

        Raises:
            KeyError: there is no such tier.
        """
        for spec in self.specs:
            if spec.name == tier:
                return spec
        raise KeyError(tier)
