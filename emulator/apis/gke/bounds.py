"""Between which sizes GKE's autoscaler keeps a node pool."""

from __future__ import annotations

from typing import Any

from emulator.apis.gke.model import Cluster, NodePool


def asked_bounds(asked: Any) -> tuple[int, int]:
    """Least and most nodes of a NodePoolAutoscaling; pools here have one zone, so that bounds per
    zone and in total are the same.
    """
    if asked.total_max_node_count or asked.total_min_node_count:
        return int(asked.total_min_node_count), int(asked.total_max_node_count)
    return int(asked.min_node_count), int(asked.max_node_count)


def bounds_of(pool: NodePool) -> tuple[int, int]:
    """Least and most nodes that the autoscaler keeps a pool to; (0, 0) where it is off."""
    if pool.autoscaling is None or not pool.autoscaling.enabled:
        return 0, 0
    return asked_bounds(pool.autoscaling)


def autoscaled(cluster: Cluster) -> bool:
    """Whether the autoscaler has any pool of the cluster to care for."""
    return any(bounds_of(pool)[1] for pool in cluster.pools.values())
