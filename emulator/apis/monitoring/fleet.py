"""The hosts that send accelerator metrics: GKE's nodes and the Cloud TPU API's VMs, as the world
wants them. A host that was scaled away keeps its series for the time before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core import tpu
from emulator.apis.gke.model import NodePool
from emulator.apis.gke.nodes import SPOT_LABEL, make_nodes
from emulator.apis.kubernetes.naming import pod_name
from emulator.apis.tpu.model import TpuState, TpuVm, initial_state
from emulator.context import Cloud
from emulator.log import Change
from emulator.scenario import TIER_LABEL
from emulator.world.bill import Stray
from emulator.world.hosts import Host, absences
from emulator.world.parts import Part, PartKind
from emulator.world.world import World


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of a part: its pool or VM and its hosts, the leader first."""

    name: str
    hosts: tuple[Host, ...]


def hosts_of(cloud: Cloud, world: World, part: Part) -> list[Host]:
    """All hosts of the part, in order of slices and workers; Vertex shows none."""
    if part.kind is PartKind.GKE:
        return _gke_hosts(cloud, world, part)
    return _vm_hosts(cloud, part) if part.kind is PartKind.TPU_VM else []


def slices_of(hosts: Sequence[Host]) -> list[Slice]:
    """The hosts by slice."""
    found: dict[int, list[Host]] = {}
    for host in hosts:
        found.setdefault(host.slice_index, []).append(host)
    return [Slice(h[0].pool if len(h) > 1 else h[0].name, tuple(h)) for h in found.values()]


def _gke_hosts(cloud: Cloud, world: World, part: Part) -> list[Host]:
    with cloud.lock:
        there = [p for p in cloud.fleet.pools() if p.tier == part.tier and p.generation]
        gone = [p for p in cloud.fleet.retired if p.tier == part.tier and p.generation]
    # Retired pools last, so that slices keep the numbers by which incidents know them.
    pools = [*there, *gone]
    changes = cloud.log.changes(part.tier)
    growth = sum(g.slices for g in world.growths if g.part == part.key)
    grown_at = max((g.at for g in world.growths if g.part == part.key), default=0.0)
    found: list[Host] = []
    index = 0
    for pool in pools:
        last = bool(there) and pool is there[-1] and not pool.multi_host
        sizes = _sizes(pool, changes, growth if last else 0, grown_at)
        most = max(size for _, size in sizes)
        nodes = make_nodes(pool, range(most), cloud.seed, pool.created_at, pool.created_at)
        for node in nodes:
            found.append(
                Host(
                    name=node.name, pool=pool.name,
                    slice_index=index if pool.multi_host else index + node.ordinal,
                    worker=node.ordinal if pool.multi_host else 0, chips=node.chips,
                    pod=pod_name(node), absences=absences(sizes, node.ordinal),
                    spot=SPOT_LABEL in pool.labels,
                )
            )  # fmt: skip
        index += 1 if pool.multi_host else most
    return found


def _sizes(
    pool: NodePool, changes: tuple[Change, ...], growth: int, grown_at: float
) -> list[tuple[float, int]]:
    """The pool's size since each time, from its first nodes and the log."""
    first = pool.founding
    sizes = [(0.0, max(first - growth, 0)), (grown_at, first)] if growth else [(0.0, first)]
    for change in changes:
        after = change.data.get("after")
        if change.data.get("pool") == pool.name and isinstance(after, int):
            sizes.append((change.at, after))
    return sizes


def strays_of(cloud: Cloud, world: World) -> list[Stray]:
    """Pools and TPU VMs with chips that belong to no part, those deleted included."""
    with cloud.lock:
        pools = [p for p in (*cloud.fleet.pools(), *cloud.fleet.retired) if p.generation]
        locations = {c.name: c.location for c in cloud.fleet.clusters.values()}
    known = {(p.kind, p.tier) for p in world.parts}
    changes = cloud.log.changes()
    found = [
        _stray_pool(cloud, pool, changes, locations)
        for pool in pools
        if (PartKind.GKE, pool.tier) not in known
    ]
    state = cloud.store(TpuState, lambda: initial_state(cloud))
    for vm in (*state.nodes.values(), *state.retired.values()):
        if (PartKind.TPU_VM, vm.tier) not in known:
            name, hosts = f"//tpu.googleapis.com/{vm.full_name}", _hosts_of_vm(vm, 0, changes)
            labels = dict(vm.labels)
            found.append(Stray(vm.name, name, vm.generation.name, vm.zone, labels, hosts))
    return found


def _stray_pool(
    cloud: Cloud, pool: NodePool, changes: tuple[Change, ...], locations: dict[str, str]
) -> Stray:
    sizes = _sizes(pool, changes, 0, 0.0)
    most = max(size for _, size in sizes)
    nodes = make_nodes(pool, range(most), cloud.seed, pool.created_at, pool.created_at)
    hosts = [
        Host(n.name, pool.name, 0, n.ordinal, n.chips, absences=absences(sizes, n.ordinal))
        for n in nodes
    ]
    location = locations.get(pool.cluster, cloud.project.region)
    labels = {
        **pool.extra,
        **({TIER_LABEL: pool.tier} if pool.tier else {}),
        "goog-k8s-cluster-name": pool.cluster,
        "goog-k8s-cluster-location": location,
        "goog-k8s-node-pool-name": pool.name,
    }
    name = f"//container.googleapis.com/projects/{cloud.project.id}/locations/{location}"
    name += f"/clusters/{pool.cluster}/nodePools/{pool.name}"
    generation = pool.generation.name if pool.generation else ""
    return Stray(pool.name, name, generation, pool.zone, labels, hosts)


def _vm_hosts(cloud: Cloud, part: Part) -> list[Host]:
    state = cloud.store(TpuState, lambda: initial_state(cloud))
    changes = cloud.log.changes(part.tier)
    vms = [*state.nodes.values(), *state.retired.values()]
    own = [vm for vm in vms if vm.tier == part.tier]
    return [h for i, vm in enumerate(own) for h in _hosts_of_vm(vm, i, changes)]


def _hosts_of_vm(vm: TpuVm, index: int, changes: tuple[Change, ...]) -> list[Host]:
    """The VM's hosts, away while the log says that it is stopped or not there."""
    workers = tpu.hosts_per_slice(vm.generation, vm.topology)
    chips = tpu.chips_per_host(vm.generation, vm.topology)
    sizes = [(0.0, vm.founding)]
    for change in changes:
        after = change.data.get("after")
        if change.resource == vm.full_name and isinstance(after, int):
            sizes.append((change.at, after))
    gone = absences(sizes, 0)
    return [Host(vm.name, vm.name, index, w, chips, absences=gone) for w in range(workers)]
