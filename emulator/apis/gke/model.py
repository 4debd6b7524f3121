"""GKE's state: the cluster, its node pools and their nodes, and how a pool changes its size.

`Fleet` is what Kubernetes, load balancer and world ask for hosts. Google's messages are made in
messages.py, refusals in checks.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from core import tpu
from emulator.apis.gke.nodes import SPOT_LABEL, GkeNode, group_hash, make_nodes
from emulator.operations import Job
from emulator.scenario import TIER_LABEL, TierSeed

if TYPE_CHECKING:
    from emulator.context import Cloud

SYSTEM_POOL: Final = "hw-system"
SYSTEM_MACHINE: Final = "e2-standard-8"
SYSTEM_NODES: Final = 3

# A resize as data: how long it takes (simulated seconds) and at which part of that its nodes
# appear (not ready) or are cordoned. Minutes as seen on single-host TPU pools; no promise.
GROW_S: Final = 240.0
SHRINK_S: Final = 120.0
NODES_APPEAR: Final = 0.35
NODES_CORDONED: Final = 0.15


@dataclass(slots=True)
class NodePool:
    """One node pool of one zone.

    Attributes:
        nodes: hosts there are, ready or not, by ordinal.
        target: size asked for; the number of nodes once nothing runs.
        initial: size at creation (what the API's initialNodeCount keeps showing).
        network: number of its block of addresses.
        status: PROVISIONING, RUNNING, RECONCILING, STOPPING or ERROR.
        trouble: why it is in ERROR.
        founding: nodes that it had before the log began; 0 for a pool that a caller made.
        extra: labels that the caller gave it.
        given: the NodeConfig of a caller's request; None for the scenario's pools.
        version: of its nodes; "" for the cluster's.
        autoscaling, management: as a caller set them; None for GKE's defaults.
        previous: version of its nodes before the last upgrade; "" without.
        host_chips: chips of its machine type; 0 for those that the topology usually has: v5e and
            v6e make 2x4 of one host or of two.
    """

    name: str
    cluster: str
    zone: str
    tier: str
    machine_type: str
    initial: int
    target: int
    created_at: float
    network: int = 0
    nodes: dict[int, GkeNode] = field(default_factory=dict)
    generation: tpu.Generation | None = None
    topology: str = ""
    status: str = "RUNNING"
    policy: str = ""
    revision: int = 0
    trouble: str = ""
    founding: int = 0
    extra: dict[str, str] = field(default_factory=dict)
    given: Any = None
    version: str = ""
    host_chips: int = 0
    autoscaling: Any = None
    management: Any = None
    previous: str = ""

    @property
    def multi_host(self) -> bool:
        """Whether it is one atomic slice, which the autoscaler alone resizes: whole or none."""
        return bool(self.generation and tpu.chips(self.topology) > self.chips_per_node)

    @property
    def chips_per_node(self) -> int:
        """TPU chips on each node; 0 without."""
        if self.generation is None:
            return 0
        return self.host_chips or tpu.chips_per_host(self.generation, self.topology)

    @property
    def labels(self) -> dict[str, str]:
        """Labels that the pool puts on its nodes (GKE's own TPU labels included)."""
        labels = {**self.extra, TIER_LABEL: self.tier} if self.tier else dict(self.extra)
        if self.given is not None and self.given.spot:
            labels[SPOT_LABEL] = "true"
        if self.generation:
            labels["cloud.google.com/gke-tpu-accelerator"] = self.generation.gke_accelerator
            labels["cloud.google.com/gke-tpu-topology"] = self.topology
        return labels

    @property
    def group(self) -> str:
        """Name of its managed instance group."""
        return f"gke-{self.cluster}-{self.name}-{group_hash(self.cluster, self.name)}-grp"


@dataclass(slots=True)
class Cluster:
    """One GKE cluster.

    Attributes:
        network, subnetwork: names in compute.
        status: PROVISIONING, RUNNING, RECONCILING or STOPPING.
        description, resource_labels, channel, gateway, workload_pool, maintenance, zones: as the
            caller gave them.
    """

    name: str
    location: str
    version: str
    created_at: float
    pools: dict[str, NodePool] = field(default_factory=dict)
    network: str = "hw-net"
    subnetwork: str = "hw-subnet"
    status: str = "RUNNING"
    description: str = "Tiered LLM inference on TPUs"
    resource_labels: dict[str, str] = field(default_factory=lambda: {"heartwood": "serving"})
    channel: str = "RAPID"
    gateway: str = "CHANNEL_STANDARD"
    workload_pool: str = ""
    maintenance: Any = None
    maintenance_version: str = ""
    zones: list[str] = field(default_factory=list)


class Fleet:
    """All clusters, pools and nodes of the project.

    Attributes:
        version: counts changes, for caches.
        retired: pools that were deleted; their past stays in series and bill.
        unregistered: hosts without a Node object → Unix seconds at which it was deleted.
        rejoined: slice → Unix seconds at which such a host was ready again, and at which the
            slice's pods had been made anew (repair.py).
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.clusters: dict[str, Cluster] = {}
        self.version = 0
        self.retired: list[NodePool] = []
        self.unregistered: dict[str, float] = {}
        self.rejoined: dict[str, tuple[float, float]] = {}
        self._blocks = 0
        if cloud.scenario.tiers:
            project = cloud.project
            cluster = Cluster(
                project.cluster, project.cluster_location, project.cluster_version,
                cloud.clock.epoch(), workload_pool=f"{project.id}.svc.id.goog",
            )  # fmt: skip
            self.clusters[cluster.name] = cluster
            self._fill(cluster)

    def _fill(self, cluster: Cluster) -> None:
        created = cluster.created_at
        system = NodePool(
            SYSTEM_POOL, cluster.name, "us-central1-c", "", SYSTEM_MACHINE,
            SYSTEM_NODES, SYSTEM_NODES, created,
        )  # fmt: skip
        pools = [system]
        for seed in self._cloud.scenario.tiers:
            pools += [
                _seed_pool(seed, name, size, cluster, created)
                for name, size in seed.pool_names().items()
            ]
        for pool in pools:
            pool.network = self.next_block()
            pool.founding = pool.initial
            for node in make_nodes(pool, range(pool.target), self._cloud.seed, created, created):
                pool.nodes[node.ordinal] = node
            cluster.pools[pool.name] = pool

    def next_block(self) -> int:
        """The number of a block of addresses that no pool had before."""
        self._blocks += 1
        return self._blocks - 1

    def pools(self) -> list[NodePool]:
        """Every pool of every cluster."""
        return [p for c in self.clusters.values() for p in c.pools.values()]

    def pool(self, name: str) -> NodePool | None:
        """The pool of that name in whichever cluster."""
        return next((p for p in self.pools() if p.name == name), None)

    def nodes(
        self, cluster: str | None = None, tier: str | None = None, pool: str | None = None
    ) -> list[GkeNode]:
        """Nodes there are now (ready, coming and going), pools in order, by ordinal."""
        self._cloud.operations.settle()
        with self._cloud.lock:
            return [
                node
                for p in self.pools()
                if cluster in (None, p.cluster)
                and tier in (None, p.tier)
                and pool in (None, p.name)
                for _, node in sorted(p.nodes.items())
            ]

    def resize(self, pool: NodePool, size: int, name: str) -> Job:
        """Begin to resize; the caller has checked that it is allowed.

        The change is logged as "gke.node_pool.resized" with before and after when it is done.
        """
        before, pool.target, pool.status = pool.target, size, "RECONCILING"
        self.touch(pool)
        growing = size > len(pool.nodes)
        step = self.appear(pool, size) if growing else self.cordon(pool, size)
        return self._cloud.operations.start(
            name,
            "container",
            pool_target(pool),
            GROW_S if growing else SHRINK_S,
            self._settle(pool, before),
            data={"pool": pool.name, "cluster": pool.cluster, "before": before, "after": size},
            steps=((NODES_APPEAR if growing else NODES_CORDONED, step),),
            undo=lambda: self.abort(pool, before),
        )

    def abort(self, pool: NodePool, before: int) -> None:
        """Undo a resize that was cancelled: nodes not yet ready go, cordoned ones stay."""
        with self._cloud.lock:
            pool.nodes = {
                o: replace(n, deleting=False) for o, n in pool.nodes.items() if n.ready_at
            }
            pool.target, pool.status = before, "RUNNING"
            self.touch(pool)

    def uncordon(self, pool: NodePool) -> None:
        """The pool's nodes stay, whatever was begun."""
        pool.nodes = {o: replace(n, deleting=False) for o, n in pool.nodes.items()}
        self.touch(pool)

    def appear(self, pool: NodePool, size: int) -> Callable[[], None]:
        """An effect: the nodes up to that size are there, not ready."""

        def effect() -> None:
            with self._cloud.lock:
                missing = [o for o in range(size) if o not in pool.nodes]
                now = self._cloud.clock.now()
                for node in make_nodes(pool, missing, self._cloud.seed, now, None):
                    pool.nodes[node.ordinal] = node
                self.touch(pool)

        return effect

    def cordon(self, pool: NodePool, size: int) -> Callable[[], None]:
        """An effect: the nodes beyond that size take nothing new."""

        def effect() -> None:
            with self._cloud.lock:
                for ordinal in [o for o in pool.nodes if o >= size]:
                    pool.nodes[ordinal] = replace(pool.nodes[ordinal], deleting=True)
                self.touch(pool)

        return effect

    def _settle(self, pool: NodePool, before: int) -> Callable[[], None]:
        def effect() -> None:
            now = self._cloud.clock.now()
            with self._cloud.lock:
                pool.nodes = {
                    o: n if n.ready_at else replace(n, ready_at=now)
                    for o, n in pool.nodes.items()
                    if o < pool.target
                }
                pool.status = "RUNNING"
                self.touch(pool)
            if pool.target == before:
                return
            self._cloud.changed(
                "gke.node_pool.resized", pool_target(pool), pool.tier,
                before=before, after=pool.target, pool=pool.name,
            )  # fmt: skip

        return effect

    def gone_since(self, node: GkeNode) -> float | None:
        """When the host's Node object was deleted; None while it has one."""
        at = self.unregistered.get(node.name)
        return at if at is not None and node.created_at <= at else None

    def broken_since(self, pool: NodePool, node: GkeNode) -> float | None:
        """Since when a host of the node's slice, or it itself, is not in its cluster."""
        if not self.unregistered:
            return None
        slice_ = pool.nodes.values() if pool.multi_host else (node,)
        found = (
            self.unregistered.get(n.name)
            for n in slice_
            if n.ready_at is None or self.gone_since(n) is not None
        )
        return min((at for at in found if at is not None), default=None)

    def touch(self, pool: NodePool) -> None:
        """Note a change of the pool."""
        pool.revision += 1
        self.version += 1


def pool_target(pool: NodePool) -> str:
    """The name under which operations and the log know the pool."""
    return f"clusters/{pool.cluster}/nodePools/{pool.name}"


def reservations_of(pool: NodePool) -> list[str]:
    """Names of the reservations that a pool consumes by its own wish."""
    affinity = getattr(pool.given, "reservation_affinity", None)
    if affinity is None or affinity.key != "compute.googleapis.com/reservation-name":
        return []
    return [value.rsplit("/", 1)[-1] for value in affinity.values]


def reserved_in_use(fleet: Fleet, zone: str, name: str, without: NodePool | None = None) -> int:
    """VMs of a reservation that pools consume."""
    return sum(
        p.target
        for p in fleet.pools()
        if p is not without and p.zone == zone and name in reservations_of(p)
    )


def _seed_pool(seed: TierSeed, name: str, size: int, cluster: Cluster, created: float) -> NodePool:
    return NodePool(
        name=name,
        cluster=cluster.name,
        zone=seed.zone,
        tier=seed.name,
        machine_type=tpu.machine_type(seed.gen, seed.topology),
        initial=size,
        target=size,
        created_at=created,
        generation=seed.gen,
        topology=seed.topology,
        policy=f"hw-{seed.name}-{seed.topology}" if seed.multi_host else "",
        extra={SPOT_LABEL: "true"} if seed.spot else {},
    )
