"""Which group of pods serves on which multi-host slice, and which slice goes first.

What a plan makes of that is `scale_slices.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from core.records import NodePool, Pod, Snapshot
from core.specs import PartSpec

IDLE: Final = -1
_GROUP: Final = "leaderworkerset.sigs.k8s.io/group-index"


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
