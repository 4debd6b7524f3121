"""The parts of a tier that run in GKE: node pools and their nodes as slices and hosts.

A node pool says what is promised, the nodes what is there. The other kinds of part, and what all
are made of, stand in `core/parts.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from core import ownership
from core.ownership import PoolKey
from core.parts import FleetHost, FleetPart, FleetSlice, Readings, State, build_part, unknown_part
from core.records import Host, NodePool
from core.specs import PartKind, PartSpec, TierSpec

_UNREAD: Final = "Kubernetes nodes have not been read yet"


def gke_part(
    spec: TierSpec,
    part: PartSpec,
    pools: tuple[NodePool, ...] | None,
    hosts: Mapping[PoolKey, list[Host]] | None,
    readings: Readings,
    unread: Collection[tuple[str, str]] = (),
) -> FleetPart:
    """A part in GKE: one slice per node, or one per atomic pool that has nodes.

    `unread`: location and name of clusters whose nodes nobody knows, whatever `hosts` holds.
    """
    if pools is None:
        return unknown_part(spec, part, "node pools have not been read yet")
    slices: list[FleetSlice] = []
    for pool in pools:
        nodes = None
        if hosts is not None and (pool.location, pool.cluster) not in unread:
            found = hosts.get((pool.location, pool.cluster, pool.name), ())
            nodes = tuple(_host(h, readings) for h in found)
        if part.kind is PartKind.GKE_MULTI_HOST:
            if pool.node_count or nodes:
                slices.append(_pool_slice(spec, pool, nodes))
        else:
            slices.extend(_node_slices(spec, pool, nodes))
    wrong = tuple(
        f"{p.name}: {p.status_message or p.status}"
        for p in pools
        if p.status in ("ERROR", "RUNNING_WITH_ERROR")
    )
    return build_part(spec, part, tuple(slices), wrong)


def _host(host: Host, readings: Readings) -> FleetHost:
    own = readings.get((host.cluster_location, host.cluster, host.name))
    found = tuple(sorted(own or readings.get(("", "", host.name), ()), key=lambda r: r.chip))
    state = State.RUNNING if host.ready else State.DEGRADED
    reason = host.reason
    if host.ready is None and host.reason:  # Ready is "Unknown": Kubernetes lost the node
        state, reason = State.DEGRADED, f"{host.reason}: the node does not report any more"
    elif host.ready is None:
        state, reason = State.PROVISIONING, "the node has not reported yet"
    elif host.ready and not host.schedulable:
        reason = "cordoned: takes no new pods"
    return FleetHost(host.name, state, reason, host.zone, host.chips, found)


def _pool_slice(spec: TierSpec, pool: NodePool, nodes: tuple[FleetHost, ...] | None) -> FleetSlice:
    """An atomic multi-host pool: one slice, which works only when all its hosts do."""
    chips = ownership.slice_chips(spec, pool.topology)
    state, reason, absent = State.RUNNING, "", 0
    if nodes is None:
        state, reason = State.UNKNOWN, _UNREAD
    else:
        absent = max(0, pool.node_count - len(nodes))
        ready = sum(n.state is State.RUNNING for n in nodes)
        missing = pool.node_count - ready
        if missing > 0:
            state = State.PROVISIONING if _is_moving(pool) else State.DEGRADED
            reason = f"{missing} of {pool.node_count} hosts not ready"
    return FleetSlice(
        pool.name,
        pool.name,
        state,
        reason,
        chips,
        nodes or (),
        ownership.is_spot(pool.labels),
        chips * absent // max(1, pool.node_count),
    )


def _is_moving(pool: NodePool) -> bool:
    return pool.status in ("PROVISIONING", "RECONCILING", "STOPPING")


def _node_slices(
    spec: TierSpec, pool: NodePool, nodes: tuple[FleetHost, ...] | None
) -> Iterable[FleetSlice]:
    """A single-host pool: each node is a slice; nodes that GKE promised but are missing too."""
    spot = ownership.is_spot(pool.labels)
    chips = ownership.slice_chips(spec, pool.topology)
    for node in nodes or ():
        # A node that boots has no chips in its capacity before its device plugin has registered.
        size = node.chips or chips
        yield FleetSlice(node.name, pool.name, node.state, node.reason, size, (node,), spot)
    missing = pool.node_count - len(nodes or ())
    state, reason = State.UNKNOWN, _UNREAD
    if nodes is not None:
        state = State.PROVISIONING if _is_moving(pool) else State.DEGRADED
        reason = "the node has not registered yet"
    for index in range(max(0, missing)):
        yield FleetSlice(
            f"{pool.name} (node {len(nodes or ()) + index + 1})",
            pool.name,
            state,
            reason,
            chips,
            (),
            spot,
            0 if nodes is None else chips,
        )
