"""Which tier each cloud resource belongs to, and which hardware it holds.

Selection and hardware facts only; states are `core/fleet.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from core import tpu
from core.records import Endpoint, Host, NodePool, Snapshot, TpuVm
from core.specs import TIER_LABEL, PartKind, PartSpec, TierSpec

PartKey = tuple[str, int]  # tier name, index of the part
PoolKey = tuple[str, str, str]  # location and name of the cluster, name of the pool

KIND_TITLES: Final = MappingProxyType(
    {
        PartKind.GKE_SINGLE_HOST: "GKE",
        PartKind.GKE_MULTI_HOST: "GKE",
        PartKind.VERTEX: "Vertex",
        PartKind.TPU_VM: "TPU VM",
        PartKind.LOCAL: "local server",
    }
)
_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)


@dataclass(frozen=True, slots=True)
class Unassigned:
    """A resource that matches no tier.

    `chips` 0: it holds no TPU that we know; `generation` None likewise. `location` is its zone
    where it has one.
    """

    kind: str  # "node pool", "host", "TPU VM", "Vertex endpoint"
    name: str
    location: str
    detail: str
    chips: int
    generation: str | None
    spot: bool = False


@dataclass(frozen=True, slots=True)
class Owners:
    """The resources of each part; a part without resources has no key."""

    node_pools: Mapping[PartKey, tuple[NodePool, ...]]
    tpu_vms: Mapping[PartKey, tuple[TpuVm, ...]]
    endpoints: Mapping[PartKey, tuple[Endpoint, ...]]


def owner(
    specs: Iterable[TierSpec],
    kinds: Iterable[PartKind],
    name: str,
    labels: Mapping[str, str],
    cluster: str = "",
    location: str = "",
) -> PartKey | None:
    """The part that a resource belongs to.

    A tier label decides alone, also when it names a tier that is not configured (then nobody owns
    it); without one the longest fitting name prefix decides. Several parts of one kind in a
    labelled tier are told apart by prefix, the first being the default.

    Args:
        specs, kinds: which parts there are to choose from.
        name, labels: of the resource.
        cluster, location: of the GKE cluster that it is in; "" where it is in none.
    """
    allowed = tuple(kinds)
    found: list[tuple[int, PartKey]] = []
    label = labels.get(TIER_LABEL)
    for spec in specs:
        for index, part in enumerate(spec.parts):
            if part.kind not in allowed or not _same_cluster(part, cluster, location):
                continue
            fits = bool(part.name_prefix) and name.startswith(part.name_prefix)
            if label == spec.name or (label is None and fits):
                found.append((len(part.name_prefix) if fits else -1, (spec.name, index)))
    best = max((length for length, _ in found), default=None)
    return next((key for length, key in found if length == best), None)


def _same_cluster(part: PartSpec, cluster: str, location: str) -> bool:
    """Whether a part may be in that cluster; what one of the two does not say, fits."""
    pairs = ((part.cluster, cluster), (part.cluster_location, location))
    return all(not wanted or not given or wanted == given for wanted, given in pairs)


def pool_owner(specs: Iterable[TierSpec], pool: NodePool) -> PartKey | None:
    """The part that a node pool belongs to."""
    return owner(specs, _GKE, pool.name, pool.labels, pool.cluster, pool.location)


def labels_suffice(specs: Sequence[TierSpec], pools: Sequence[NodePool] | None) -> bool:
    """Whether the tier label alone tells which TPU node is whose.

    False where a tier owns a pool by its name, where a labelled pool is in a cluster that is not
    the tier's, and while the pools are not known.
    """
    if pools is None:
        return False
    names = {s.name for s in specs if any(p.kind in _GKE for p in s.parts)}
    for pool in pools:
        if not hardware_of(pool.machine_type)[1]:
            continue
        label = pool.labels.get(TIER_LABEL)
        key = pool_owner(specs, pool)
        if (key[0] if key else None) != (label if label in names else None):
            return False
    return True


def assign(snapshot: Snapshot) -> Owners:
    """Every resource that a part owns; sources not read yet count as empty here."""
    specs = snapshot.specs
    pools: dict[PartKey, list[NodePool]] = defaultdict(list)
    for pool in snapshot.node_pools or ():
        key = pool_owner(specs, pool)
        if key is not None:
            pools[key].append(pool)
    vms: dict[PartKey, list[TpuVm]] = defaultdict(list)
    for vm in snapshot.tpu_vms or ():
        key = owner(specs, (PartKind.TPU_VM,), vm.name, vm.labels)
        if key is not None:
            vms[key].append(vm)
    endpoints: dict[PartKey, list[Endpoint]] = defaultdict(list)
    for endpoint in snapshot.endpoints or ():
        key = owner(specs, (PartKind.VERTEX,), endpoint.display_name, endpoint.labels)
        if key is not None:
            endpoints[key].append(endpoint)
    return Owners(
        {k: tuple(sorted(v, key=lambda r: r.name)) for k, v in pools.items()},
        {k: tuple(sorted(v, key=lambda r: r.name)) for k, v in vms.items()},
        {k: tuple(sorted(v, key=lambda r: r.display_name)) for k, v in endpoints.items()},
    )


def unassigned(snapshot: Snapshot, owners: Owners) -> tuple[Unassigned, ...] | None:
    """What no part owns; None while no inventory source was read."""
    sources = (snapshot.node_pools, snapshot.hosts, snapshot.tpu_vms, snapshot.endpoints)
    if all(source is None for source in sources):
        return None
    mine = {id(r) for group in owners.node_pools.values() for r in group}
    mine |= {id(r) for group in owners.tpu_vms.values() for r in group}
    mine |= {id(r) for group in owners.endpoints.values() for r in group}
    nodes = None if snapshot.hosts is None else Counter(map(pool_key, snapshot.hosts))
    found = [_free_pool(p, nodes) for p in snapshot.node_pools or () if id(p) not in mine]
    found += _free_hosts(snapshot)
    found += [_free_vm(v) for v in snapshot.tpu_vms or () if id(v) not in mine]
    found += [_free_endpoint(e) for e in snapshot.endpoints or () if id(e) not in mine]
    return tuple(found)


def pool_key(host: Host) -> PoolKey:
    """The node pool that a host is in."""
    return host.cluster_location, host.cluster, host.pool


def _free_pool(pool: NodePool, nodes: Mapping[PoolKey, int] | None) -> Unassigned:
    """A pool by its nodes that are there; by its target size while no nodes were read."""
    generation, per_host = hardware_of(pool.machine_type)
    there, promised = pool.node_count, 0
    if nodes is not None and per_host:
        there = nodes.get((pool.location, pool.cluster, pool.name), 0)
        promised = max(0, pool.node_count - there)
    detail = f"{there} × {pool.machine_type} in {pool.cluster}"
    return Unassigned(
        "node pool",
        pool.name,
        pool.zones[0] if pool.zones else pool.location,
        f"{detail}, {promised} more promised" if promised else detail,
        there * per_host,
        generation,
        is_spot(pool.labels),
    )


def _free_hosts(snapshot: Snapshot) -> list[Unassigned]:
    """TPU hosts of pools that GKE does not list; the others are counted with their pool."""
    listed = {(p.location, p.cluster, p.name) for p in snapshot.node_pools or ()}
    if snapshot.node_pools is None:
        return []
    return [_free_host(h) for h in snapshot.hosts or () if h.chips and pool_key(h) not in listed]


def _free_host(host: Host) -> Unassigned:
    generation, _ = hardware_of(host.machine_type)
    detail = f"{host.machine_type}, pool {host.pool or 'none'} is not listed by GKE"
    return Unassigned("host", host.name, host.zone, detail, host.chips, generation)


def _free_vm(vm: TpuVm) -> Unassigned:
    generation = generation_of_type(vm.accelerator_type)
    chips = tpu.chips(vm.topology) if vm.topology else 0
    detail = f"{vm.accelerator_type} {vm.topology} {vm.state}"
    return Unassigned("TPU VM", vm.name, vm.zone, detail, chips, generation)


def _free_endpoint(endpoint: Endpoint) -> Unassigned:
    chips, generation = 0, None
    for model in endpoint.deployed:
        generation, per_host = hardware_of(model.machine_type)
        per_replica = tpu.chips(model.topology) if model.topology and per_host else per_host
        chips += model.replicas_min * per_replica
    detail = f"{len(endpoint.deployed)} deployed models" if endpoint.deployed else "empty"
    return Unassigned(
        "Vertex endpoint", endpoint.display_name, endpoint.location, detail, chips, generation
    )


def hardware_of(machine_type: str) -> tuple[str | None, int]:
    """(generation, chips per VM) of a GKE or Vertex machine type; (None, 0): no TPU we know."""
    for gen in tpu.GENERATIONS.values():
        for chips, name in gen.machine_types.items():
            if name == machine_type:
                return gen.name, chips
    return None, 0


def generation_of_type(accelerator_type: str) -> str | None:
    """Generation of a Cloud TPU API accelerator type such as "v6e-8" or "V6E"."""
    head = accelerator_type.split("-", 1)[0].lower()
    for gen in tpu.GENERATIONS.values():
        known = (gen.tpu_api_type or "").lower()
        if head and head in (gen.name.lower(), known, known.replace("_pod", "pod")):
            return gen.name
    return None


def chips_per_slice(spec: TierSpec) -> int:
    """Chips (devices of the local tier) in one slice, by the configuration."""
    return tpu.chips(spec.topology) if spec.topology else 1


def slice_chips(spec: TierSpec, topology: str | None) -> int:
    """Chips of a slice with that observed topology; the configured ones where none is told."""
    return tpu.chips(topology) if topology else chips_per_slice(spec)


def is_spot(labels: Mapping[str, str]) -> bool:
    """Whether node labels say that the nodes may be taken away (spot or preemptible)."""
    return "true" in (
        labels.get("cloud.google.com/gke-spot"),
        labels.get("cloud.google.com/gke-preemptible"),
    )
