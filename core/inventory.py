"""Records of what exists in a project: clusters, pools, hosts, workloads, TPU VMs, endpoints.

Each is what one API says of one resource; `core/fleet.py` puts them together into tiers. What
stands between clients and tiers lives in `core/load_balancer.py`.

A cluster's name is unique in its location only: `cluster` and `location` (of a pool) or
`cluster_location` (of what runs inside) name it together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

Labels = Mapping[str, str]


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
    """A GKE node pool. `etag` lets an apply notice that the pool changed since it was planned.

    `least_nodes` and `most_nodes`: between which the autoscaler keeps it; None: it is off.
    """

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
    least_nodes: int | None = None
    most_nodes: int | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A Kubernetes node: one VM with chips.

    Attributes:
        ready: None: the node has not reported.
        turned_at: when `ready` became what it is; None: not told.
    """

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
    cluster_location: str = ""
    turned_at: datetime | None = None


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
    cluster_location: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A Kubernetes pod. `uid` tells it from a later one of its name; `ending`: it terminates.

    Attributes:
        image: of its first container.
        started_at: when that container's present run began; None: it does not run.
        turned_at: when it became ready, or stopped being so, the last time; None: not told.
        said: what its log tells it is about, where somebody looked (`told_by_log`); "": nothing.
    """

    name: str
    namespace: str
    cluster: str
    host: str
    phase: str
    ready: bool
    restarts: int
    reason: str
    labels: Labels
    cluster_location: str = ""
    uid: str = ""
    ending: bool = False
    image: str = ""
    started_at: datetime | None = None
    turned_at: datetime | None = None
    said: str = ""


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
    cluster_location: str = ""


@dataclass(frozen=True, slots=True)
class TpuVm:
    """A Cloud TPU API node (v5e, v5p, v6e only). `state` is the API's word (READY …).

    `spot`: it may be taken away at any time, and costs less.
    """

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
    spot: bool = False


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A model on a Vertex endpoint. `traffic_ratio` is 0–1; `model` its id in the registry."""

    id: str
    display_name: str
    machine_type: str
    topology: str
    replicas_min: int
    replicas_max: int
    traffic_ratio: float
    model: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Vertex endpoint; without deployed models it is empty and serves nothing."""

    id: str
    display_name: str
    location: str
    deployed: tuple[DeployedModel, ...]
    labels: Labels
