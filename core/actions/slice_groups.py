"""Which multi-host slices can serve, which group of pods serves on which, and which goes first.

What a plan makes of that is `scale_slices.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from core.records import NodePool, Pod, Snapshot
from core.specs import PartSpec
from core.wording import plural

IDLE: Final = -1
_STILL: Final = ("RUNNING", "RUNNING_WITH_ERROR")
_GROUP: Final = "leaderworkerset.sigs.k8s.io/group-index"


def is_off(pool: NodePool) -> bool:
    """Whether it has no nodes and stands still, and no autoscaler brings any."""
    return not pool.node_count and not pool.most_nodes and pool.status in _STILL


def groups_on(
    snapshot: Snapshot, part: PartSpec, pools: Sequence[NodePool], namespace: str
) -> Mapping[str, int | None]:
    """Pool → the group of that namespace's pods on it; IDLE: none; None, or no key: not known."""
    if snapshot.pods is None or snapshot.hosts is None:
        return {}
    found: dict[str, int | None] = {pool.name: IDLE for pool in pools}
    cluster = (part.cluster_location, part.cluster)
    pool_of = {
        host.name: host.pool
        for host in snapshot.hosts
        if (host.cluster_location, host.cluster) == cluster
    }
    for pod in snapshot.pods:
        pool = pool_of.get(pod.host, "")
        if pool in found and pod.namespace == namespace:
            found[pool] = _group(pod)
    return found


def _group(pod: Pod) -> int | None:
    said = pod.labels.get(_GROUP, "")
    return int(said) if said.isdecimal() else None


def last_first(pool: NodePool, groups: Mapping[str, int | None]) -> tuple[bool, int, str]:
    """A key that sorts idle pools first, then those of the highest groups, or numbers."""
    group = groups.get(pool.name)
    number = re.search(r"(\d+)$", pool.name)
    last = group if group is not None else int(number[1]) if number else 0
    return group != IDLE, -last, pool.name


def told_group(group: int | None) -> str:
    """In words."""
    return "group unknown" if group is None else "idle" if group == IDLE else f"group {group}"


def told_woken(slices: int, chips: int) -> str:
    """In words, that idle pools without nodes get so many chips."""
    return (
        f"{plural(slices, 'idle slice')} without nodes: GKE brings and bills"
        f" {plural(chips, 'chip')} once the groups wait for them"
    )
