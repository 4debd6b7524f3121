"""Hosts whose Node object somebody deleted, and GKE's auto-repair, which brings them back.

The VM lives on: a kubelet does not register again while it runs (kubernetes/kubernetes #71398 and
#115761). Auto-repair, on unless a pool's management says otherwise, makes a VM anew under its name
when it has not reported for about ten minutes; without it the VM stays outside the cluster and is
paid for (GKE's page on node auto-repair). How long making it anew takes is a guess.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from emulator.apis.gke.model import NODES_APPEAR, Cluster, NodePool, pool_target

if TYPE_CHECKING:
    from emulator.context import Cloud

# Simulated seconds: without a report until the repair begins, the repair, another look at a pool
# on which something else runs, and from a node's end to that of its pods (Kubernetes' PodGC: 40 s
# of quarantine, looked at every 20 s; from memory).
REPAIR_AFTER_S: Final = 600.0
REPAIR_S: Final = 180.0
LOOK_AGAIN_S: Final = 60.0
GONE_S: Final = 60.0


def unregister(cloud: Cloud, cluster: Cluster, name: str) -> None:
    """A host's Node object was deleted."""
    for pool in cluster.pools.values():
        for ordinal, node in pool.nodes.items():
            if node.name == name:
                cloud.fleet.unregistered[name] = cloud.clock.now()
                cloud.fleet.touch(pool)
                consider(cloud, cluster, pool, ordinal)


def consider(cloud: Cloud, cluster: Cluster, pool: NodePool, ordinal: int) -> None:
    """Have a host that is out of its cluster repaired, if its pool is."""
    since = cloud.fleet.gone_since(pool.nodes[ordinal])
    if since is not None and repaired(pool):
        at = cloud.clock.now() + cloud.clock.wall_s(REPAIR_AFTER_S)
        cloud.operations.at(at, partial(_begin, cloud, cluster, pool, ordinal, since))


def repaired(pool: NodePool) -> bool:
    """Whether auto-repair is on; so it is by default."""
    return pool.management is None or bool(pool.management.auto_repair)


def _begin(cloud: Cloud, cluster: Cluster, pool: NodePool, ordinal: int, since: float) -> None:
    fleet, node, now = cloud.fleet, pool.nodes.get(ordinal), cloud.clock.now()
    there = node is not None and cluster.pools.get(pool.name) is pool
    if node is None or not there or fleet.gone_since(node) != since:
        return
    busy = cloud.operations.running_on("container", pool_target(pool))
    if busy is not None:
        at = now + cloud.clock.wall_s(LOOK_AGAIN_S)
        cloud.operations.at(at, partial(_begin, cloud, cluster, pool, ordinal, since))
        return
    if not repaired(pool):
        return
    digest = hashlib.blake2s(f"{cloud.seed}/repair/{node.name}/{now}".encode(), digest_size=16)
    cloud.operations.start(
        operation_id(cluster.location, digest.hexdigest(), now), "container", pool_target(pool),
        REPAIR_S, partial(_ready, cloud, pool, ordinal, since),
        data={"type": "AUTO_REPAIR_NODES", "cluster": cluster.name, "location": cluster.location},
        steps=((NODES_APPEAR, partial(_appear, cloud, pool, ordinal)),),
        undo=partial(_undo, cloud, cluster, pool, ordinal, since),
    )  # fmt: skip


def _appear(cloud: Cloud, pool: NodePool, ordinal: int) -> None:
    """The new VM under the old name has registered."""
    node, now = pool.nodes[ordinal], cloud.clock.now()
    digest = hashlib.blake2s(f"{node.instance_id}/{now}".encode(), digest_size=7).digest()
    new = int.from_bytes(digest) | 1
    pool.nodes[ordinal] = replace(node, created_at=now, ready_at=None, instance_id=new)
    cloud.fleet.touch(pool)


def _ready(cloud: Cloud, pool: NodePool, ordinal: int, since: float) -> None:
    node, now = pool.nodes[ordinal], cloud.clock.now()
    pool.nodes[ordinal] = replace(node, ready_at=now)
    cloud.fleet.unregistered.pop(node.name, None)
    cloud.fleet.rejoined[node.slice_name] = now, since + cloud.clock.wall_s(GONE_S)
    cloud.fleet.touch(pool)


def _undo(cloud: Cloud, cluster: Cluster, pool: NodePool, ordinal: int, since: float) -> None:
    """It failed: a VM that has appeared is ready all the same, any other is looked at again."""
    if pool.nodes[ordinal].ready_at is None:
        _ready(cloud, pool, ordinal, since)
    else:
        consider(cloud, cluster, pool, ordinal)


def operation_id(location: str, digest: str, now: float) -> str:
    """An operation's name in the store; ids as Google's."""
    groups = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:])
    return f"container/{location}/operation-{int(now * 1000)}-{'-'.join(groups)}"
