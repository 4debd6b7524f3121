"""Tier → part → slice → host, assembled from the raw records of a Snapshot.

A tier is a selector: a resource belongs to the part whose tier label it carries, else to the part
with the longest name prefix that fits. What fits none is listed as unassigned. Three things are
kept apart everywhere: a source that was never read (None, `State.UNKNOWN`), nothing there although
something is wanted (`State.OFF`), and something there that does not work (`State.DEGRADED`).
What hardware each resource holds is `core/ownership.py`; money is `core/pricing.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core import gke_parts, ownership, parts
from core.ownership import PoolKey, Unassigned
from core.parts import Count, FleetHost, FleetPart, FleetSlice, NodeKey, State, total, worst
from core.records import ChipReading, Host, Snapshot
from core.specs import PartKind, TierSpec

__all__ = [
    "Count",
    "Fleet",
    "FleetHost",
    "FleetPart",
    "FleetSlice",
    "FleetTier",
    "State",
    "Unassigned",
    "assemble_fleet",
]


@dataclass(frozen=True, slots=True)
class FleetTier:
    """One tier. `unit` is "chip", or "device" for the local tier, which has no TPU."""

    spec: TierSpec
    state: State
    reasons: tuple[str, ...]
    parts: tuple[FleetPart, ...]
    slice_count: Count
    chip_count: Count
    unit: str = "chip"

    @property
    def name(self) -> str:
        """The tier's name."""
        return self.spec.name

    @property
    def slices(self) -> tuple[FleetSlice, ...]:
        """All slices of all parts."""
        return tuple(s for part in self.parts for s in part.slices)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All tiers in the order of the configuration, and what belongs to none.

    `unassigned` None: no inventory source was read yet.
    """

    tiers: tuple[FleetTier, ...]
    unassigned: tuple[Unassigned, ...] | None

    def tier(self, name: str) -> FleetTier:
        """The tier of that name.

        Raises:
            KeyError: there is no such tier.
        """
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise KeyError(name)

    @property
    def chips_running(self) -> int | None:
        """TPU chips that are there in all tiers; None while one tier is unknown."""
        return total(t.chip_count.running for t in self.tiers if t.unit == "chip")


def assemble_fleet(snapshot: Snapshot) -> Fleet:
    """The fleet that the snapshot shows."""
    owners = ownership.assign(snapshot)
    hosts = _by_pool(snapshot.hosts or ())
    readings: dict[NodeKey, list[ChipReading]] = defaultdict(list)
    for reading in snapshot.chips or ():
        readings[reading.cluster_location, reading.cluster, reading.host].append(reading)
    tiers = tuple(_tier(spec, snapshot, owners, hosts, readings) for spec in snapshot.specs)
    return Fleet(tiers=tiers, unassigned=ownership.unassigned(snapshot, owners))


def _by_pool(hosts: Iterable[Host]) -> dict[PoolKey, list[Host]]:
    pools: dict[PoolKey, list[Host]] = defaultdict(list)
    for host in hosts:
        pools[ownership.pool_key(host)].append(host)
    return pools


def _tier(
    spec: TierSpec,
    snapshot: Snapshot,
    owners: ownership.Owners,
    hosts: Mapping[PoolKey, list[Host]],
    readings: Mapping[NodeKey, list[ChipReading]],
) -> FleetTier:
    built: list[FleetPart] = []
    for index, part in enumerate(spec.parts):
        key = (spec.name, index)
        if part.kind is PartKind.LOCAL:
            built.append(parts.local_part(spec, part, snapshot))
        elif part.kind is PartKind.VERTEX:
            load = (snapshot.loads or {}).get(spec.name)
            built.append(
                parts.vertex_part(
                    spec,
                    part,
                    None if snapshot.endpoints is None else owners.endpoints.get(key, ()),
                    load.vertex_replicas if load else None,
                )
            )
        elif part.kind is PartKind.TPU_VM:
            vms = None if snapshot.tpu_vms is None else owners.tpu_vms.get(key, ())
            built.append(parts.tpu_vm_part(spec, part, vms, readings))
        else:
            pools = None if snapshot.node_pools is None else owners.node_pools.get(key, ())
            known = hosts if snapshot.hosts is not None else None
            built.append(
                gke_parts.gke_part(spec, part, pools, known, readings, snapshot.clusters_unread)
            )
    return _join(spec, tuple(built))


def _join(spec: TierSpec, pieces: tuple[FleetPart, ...]) -> FleetTier:
    def count(counts: tuple[Count, ...]) -> Count:
        return Count(
            wanted=sum(c.wanted for c in counts),
            running=total(c.running for c in counts),
            ready=total(c.ready for c in counts),
            promised=sum(c.promised for c in counts),
        )

    several = len(pieces) > 1
    reasons = tuple(
        f"{ownership.KIND_TITLES[p.spec.kind]}: {r}" if several else r
        for p in pieces
        for r in p.reasons
    )
    return FleetTier(
        spec=spec,
        state=worst(p.state for p in pieces),
        reasons=reasons,
        parts=pieces,
        slice_count=count(tuple(p.slice_count for p in pieces)),
        chip_count=count(tuple(p.chip_count for p in pieces)),
        unit="device" if spec.is_local else "chip",
    )
