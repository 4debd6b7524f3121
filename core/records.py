"""The typed records that flow through Heartwood, all frozen.

Adapters in `services/` return them, `control/` gathers them into one immutable `Snapshot`, pure
functions in `core/` derive what pages draw. None means unknown, never zero. Ratios are 0–1, times
are UTC, money is US dollars. What configures a tier lives in `core/specs.py`, time series in
`core/series.py`, plans and verdicts in `core/plans.py`. The records of each field stand in modules
of their own and are all offered from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.alerts import Alert
from core.cloud_limits import ChipQuota, MachineTypes, ReservedChips
from core.inventory import (
    Cluster,
    DeployedModel,
    Endpoint,
    Host,
    KubeEvent,
    Labels,
    NodePool,
    Pod,
    TpuVm,
    Workload,
)
from core.load import ChipReading, Quantiles, ServerReading, ServerStatus, TierLoad
from core.load_balancer import (
    Backend,
    BackendService,
    ForwardingRule,
    LoadBalancer,
    PathMatcher,
    PathRule,
    RouteMatch,
    RouteRule,
    UrlMap,
)
from core.money import Budget, CostRow, Price, PriceBasis
from core.recommendations import Recommendation
from core.specs import TierSpec

__all__ = [
    "Alert",
    "Backend",
    "BackendService",
    "Budget",
    "ChipQuota",
    "ChipReading",
    "Cluster",
    "CostRow",
    "DeployedModel",
    "Endpoint",
    "ForwardingRule",
    "Host",
    "KubeEvent",
    "Labels",
    "LoadBalancer",
    "MachineTypes",
    "NodePool",
    "PathMatcher",
    "PathRule",
    "Pod",
    "Price",
    "PriceBasis",
    "Problem",
    "Quantiles",
    "Recommendation",
    "ReservedChips",
    "RouteMatch",
    "RouteRule",
    "ServerReading",
    "ServerStatus",
    "Snapshot",
    "Source",
    "SourceState",
    "TierLoad",
    "TpuVm",
    "UrlMap",
    "Workload",
]


class Source(StrEnum):
    """Everything that a Snapshot is read from; one refresher job each."""

    GKE = "gke"
    KUBE = "kube"
    TPU = "tpu"
    VERTEX = "vertex"
    LOAD_BALANCER = "load_balancer"
    LOAD = "load"  # Cloud Monitoring: what each tier carries right now
    CHIPS = "chips"  # Cloud Monitoring: per-chip utilisation and HBM, what each server did
    PRICES = "prices"  # Cloud Billing Catalog
    COSTS = "costs"  # BigQuery billing export
    BUDGETS = "budgets"
    INFERENCE = "inference"  # our own server
    ALERTS = "alerts"  # Cloud Monitoring: what its policies have open
    QUOTAS = "quotas"  # Cloud Quotas: chips that regions and zones allow
    MACHINE_TYPES = "machine_types"  # Compute Engine: what each zone offers
    RESERVATIONS = "reservations"  # Compute Engine: chips held for us
    RECOMMENDER = "recommender"  # Recommender: what costs for nothing


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
        failing_since: start of the unbroken run of failures, also partial ones; None: none is.
        problem: of the last attempt, when it failed; with a fresh `read_at`: a part of it failed.
        interval_s: how often it is read.
        latency_ms: of the last successful read.
        identity: as whom we call; "anonymous" on the emulator.
        endpoint: what we call.
        not_set_up: why it is never read, naming the setting; "": it is read.
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
    not_set_up: str = ""

    @property
    def is_partial(self) -> bool:
        """Whether the last attempt read what it could, and `problem` names the rest."""
        return self.problem is not None and self.read_at == self.tried_at is not None

    def age_s(self, now: datetime) -> float | None:
        """Seconds since the last successful read; None: never read."""
        return None if self.read_at is None else max(0.0, (now - self.read_at).total_seconds())


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
    clusters_unread: tuple[
        tuple[str, str], ...
    ] = ()  # (location, name): Kubernetes gives no answer
    tpu_vms: tuple[TpuVm, ...] | None = None
    endpoints: tuple[Endpoint, ...] | None = None
    load_balancer: LoadBalancer | None = None
    loads: Mapping[str, TierLoad] | None = None  # by tier
    chips: tuple[ChipReading, ...] | None = None
    servers: tuple[ServerReading, ...] | None = None  # in Kubernetes, behind the load balancer
    prices: tuple[Price, ...] | None = None
    costs: tuple[CostRow, ...] | None = None  # 31 days
    budgets: tuple[Budget, ...] | None = None
    server: ServerStatus | None = None
    alerts: tuple[Alert, ...] | None = None  # open ones
    quotas: tuple[ChipQuota, ...] | None = None
    machine_types: MachineTypes | None = None  # a zone that is missing was not read
    reservations: tuple[ReservedChips, ...] | None = None
    recommendations: tuple[Recommendation, ...] | None = None  # to save cost, still standing

    def spec(self, tier: str) -> TierSpec:
        """The configuration of that tier.

        Raises:
            KeyError: there is no such tier.
        """
        for spec in self.specs:
            if spec.name == tier:
                return spec
        raise KeyError(tier)
