"""How clusters and node pools come, change and go: durations, steps and effects.

Refusals stand in pool_checks.py; a resize of a pool in model.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from core import tpu
from emulator.apis.gke.model import (
    NODES_APPEAR,
    NODES_CORDONED,
    Cluster,
    Fleet,
    NodePool,
    pool_target,
)
from emulator.operations import Job

if TYPE_CHECKING:
    from emulator.context import Cloud

# Simulated seconds, as seen on real clusters; a larger slice takes longer. No promise.
CREATE_POOL_S: Final = 240.0
DELETE_POOL_S: Final = 180.0
CREATE_CLUSTER_S: Final = 360.0
DELETE_CLUSTER_S: Final = 240.0
UPDATE_S: Final = 90.0
# Chips that there are in zones of little stock, whoever asks; elsewhere quota is the limit.
STOCK: Final = {("TPU7x", "us-central1-ai1a"): 256, ("v6e", "us-east5-b"): 16}


def create_pool(cloud: Cloud, cluster: Cluster, pool: NodePool, name: str) -> Job:
    """Begin to make a pool: PROVISIONING, its nodes appear not ready, then all turn ready.

    A zone without enough chips makes the operation fail and leaves the pool in ERROR, as GKE does.
    """
    fleet = cloud.fleet
    _enter(cloud, fleet, cluster, pool)
    short = lacking(fleet, pool, pool.target)

    def fail() -> str:
        pool.status, pool.trouble = "ERROR", stock_out(pool)
        pool.target = 0
        fleet.touch(pool)
        return pool.trouble

    def effect() -> None:
        if short:
            job.error = ("RESOURCE_EXHAUSTED", fail())
            return
        ready(cloud, pool)

    steps = () if short else ((NODES_APPEAR, fleet.appear(pool, pool.target)),)
    job = cloud.operations.start(
        name, "container", pool_target(pool), CREATE_POOL_S, effect,
        data={**_about(cluster, "CREATE_NODE_POOL"), "pool": pool.name, "before": 0,
              "after": pool.target},
        steps=steps, undo=fail,
    )  # fmt: skip
    return job


def _enter(cloud: Cloud, fleet: Fleet, cluster: Cluster, pool: NodePool) -> None:
    """Put a new pool into its cluster; a namesake's past becomes its own."""
    past = next(
        (p for p in fleet.retired if (p.cluster, p.name) == (pool.cluster, pool.name)), None
    )
    if past is not None:
        fleet.retired.remove(past)
        pool.founding = past.founding
    pool.network = fleet.next_block()
    pool.status, pool.created_at = "PROVISIONING", cloud.clock.now()
    cluster.pools[pool.name] = pool
    fleet.touch(pool)


def ready(cloud: Cloud, pool: NodePool) -> None:
    """All of a new pool's nodes are Ready; the world learns of them."""
    now = cloud.clock.now()
    pool.nodes = {o: replace(n, ready_at=now) for o, n in pool.nodes.items()}
    pool.status = "RUNNING"
    cloud.fleet.touch(pool)
    cloud.changed(
        "gke.node_pool.created", pool_target(pool), pool.tier,
        before=0, after=pool.target, pool=pool.name,
    )  # fmt: skip


def lacking(fleet: Fleet, pool: NodePool, size: int) -> bool:
    """Whether the zone has too few chips left for the pool at that size."""
    if pool.generation is None:
        return False
    stock = STOCK.get((pool.generation.name, pool.zone))
    if stock is None:
        return False
    taken = sum(
        p.target * p.chips_per_node
        for p in fleet.pools()
        if p is not pool and p.generation == pool.generation and p.zone == pool.zone
    )
    return taken + size * pool.chips_per_node > stock


def stock_out(pool: NodePool) -> str:
    """GKE's words for it."""
    return (
        f"Google Compute Engine: Zone '{pool.zone}' does not have enough resources available to "
        f"fulfill the request. '(resource type:compute)': {pool.machine_type}, "
        f"{pool.target or pool.initial} nodes [GCE_STOCKOUT]."
    )


def delete_pool(cloud: Cloud, cluster: Cluster, pool: NodePool, name: str) -> Job:
    """Begin to delete a pool: STOPPING, its nodes are cordoned, then gone with their cost."""
    fleet, size, before = cloud.fleet, len(pool.nodes), (pool.status, pool.target)
    pool.status, pool.target = "STOPPING", 0
    fleet.touch(pool)

    def effect() -> None:
        leave(cloud, cluster, pool)

    def fail() -> None:
        pool.status, pool.target = before
        fleet.uncordon(pool)

    return cloud.operations.start(
        name, "container", pool_target(pool), DELETE_POOL_S, effect,
        data={**_about(cluster, "DELETE_NODE_POOL"), "pool": pool.name, "before": size,
              "after": 0},
        steps=((NODES_CORDONED, fleet.cordon(pool, 0)),), undo=fail,
    )  # fmt: skip


def leave(cloud: Cloud, cluster: Cluster, pool: NodePool) -> None:
    """The pool is gone; what it did until now stays in series and bill."""
    before = sum(1 for n in pool.nodes.values() if n.ready_at)
    cluster.pools.pop(pool.name, None)
    pool.nodes, pool.target = {}, 0
    cloud.fleet.retired.append(pool)
    cloud.fleet.touch(pool)
    cloud.changed(
        "gke.node_pool.deleted", pool_target(pool), pool.tier,
        before=before, after=0, pool=pool.name,
    )  # fmt: skip


def abandon(cloud: Cloud, cluster: Cluster, pool: NodePool) -> None:
    """Undo a creation that was cancelled: nothing of it was ever ready."""
    cluster.pools.pop(pool.name, None)
    cloud.fleet.touch(pool)


def create_cluster(cloud: Cloud, cluster: Cluster, pools: list[NodePool], name: str) -> Job:
    """Begin to make a cluster with its first pools."""
    fleet = cloud.fleet
    cluster.status, cluster.created_at = "PROVISIONING", cloud.clock.now()
    fleet.clusters[cluster.name] = cluster
    for pool in pools:
        _enter(cloud, fleet, cluster, pool)

    def appear() -> None:
        for pool in pools:
            fleet.appear(pool, pool.target)()

    def effect() -> None:
        cluster.status = "RUNNING"
        for pool in pools:
            ready(cloud, pool)
        cloud.changed("gke.cluster.created", cluster_target(cluster), "")

    def fail() -> str:
        cluster.status = "ERROR"
        for pool in pools:
            pool.status, pool.trouble, pool.target = "ERROR", stock_out(pool), 0
            fleet.touch(pool)
        return pools[0].trouble

    return cloud.operations.start(
        name, "container", cluster_target(cluster), CREATE_CLUSTER_S, effect,
        data=_about(cluster, "CREATE_CLUSTER"), steps=((0.7, appear),), undo=fail,
    )  # fmt: skip


def delete_cluster(cloud: Cloud, cluster: Cluster, name: str) -> Job:
    """Begin to delete a cluster with all its pools."""
    before = cluster.status, {p.name: p.status for p in cluster.pools.values()}
    cluster.status = "STOPPING"
    for pool in cluster.pools.values():
        pool.status = "STOPPING"
        cloud.fleet.touch(pool)

    def cordon() -> None:
        for pool in cluster.pools.values():
            cloud.fleet.cordon(pool, 0)()

    def effect() -> None:
        for pool in list(cluster.pools.values()):
            leave(cloud, cluster, pool)
        cloud.fleet.clusters.pop(cluster.name, None)
        cloud.changed("gke.cluster.deleted", cluster_target(cluster), "")

    def fail() -> None:
        cluster.status = before[0]
        for pool in cluster.pools.values():
            pool.status = before[1].get(pool.name, pool.status)
            cloud.fleet.uncordon(pool)

    return cloud.operations.start(
        name, "container", cluster_target(cluster), DELETE_CLUSTER_S, effect,
        data=_about(cluster, "DELETE_CLUSTER"), steps=((NODES_CORDONED, cordon),), undo=fail,
    )  # fmt: skip


def cluster_target(cluster: Cluster) -> str:
    """The name under which operations and the log know the cluster."""
    return f"clusters/{cluster.name}"


def machine(name: str) -> tuple[tpu.Generation, int] | None:
    """Generation and chips of a TPU machine type; None for any other."""
    for generation in tpu.GENERATIONS.values():
        for chips, known in generation.machine_types.items():
            if known == name:
                return generation, chips
    return None


def _about(cluster: Cluster, kind: str) -> dict[str, object]:
    return {"type": kind, "cluster": cluster.name, "location": cluster.location}
