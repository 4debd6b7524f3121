"""Which quota counts for chips somewhere, and how much of it what we see uses.

No API tells the use of a TPU quota together with its limit; what is counted here is what this
project's node pools, TPU nodes and endpoints hold or were promised, so others may use more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from core import ownership, tpu
from core.cloud_limits import ChipQuota, Seller
from core.pricing import region_of
from core.records import DeployedModel, Endpoint, NodePool, Snapshot, TpuVm


def quota_of(
    quotas: Iterable[ChipQuota], seller: Seller, generation: str, zone: str
) -> ChipQuota | None:
    """The quota that counts for chips in a zone, the most specific one; None: none is listed.

    Its `place` is never empty.
    """
    places = (zone, region_of(zone), "")
    fitting = [
        q for q in quotas if (q.seller, q.generation) == (seller, generation) and q.place in places
    ]
    if not fitting:
        return None
    found = min(fitting, key=lambda q: (places.index(q.place), q.limit_chips))
    # One for all places allows as much in each.
    own = zone if seller is Seller.TPU else region_of(zone)
    return found if found.place else replace(found, place=own)


def used_chips(snapshot: Snapshot, quota: ChipQuota) -> float | None:
    """Chips that count against it; None: what holds them was not read."""
    if quota.used_chips is not None:
        return quota.used_chips
    if quota.seller is Seller.COMPUTE:
        pools = snapshot.node_pools
        return None if pools is None else sum(_of_pool(p, quota) for p in pools)
    if quota.seller is Seller.TPU:
        vms = snapshot.tpu_vms
        return None if vms is None else sum(_of_vm(v, quota) for v in vms)
    found = snapshot.endpoints
    return None if found is None else sum(_of_endpoint(e, quota) for e in found)


def _of_pool(pool: NodePool, quota: ChipQuota) -> int:
    generation, per_host = ownership.hardware_of(pool.machine_type)
    place = pool.zones[0] if pool.zones else pool.location
    counts = generation == quota.generation and place.startswith(quota.place)
    return pool.node_count * per_host if counts else 0


def _of_vm(vm: TpuVm, quota: ChipQuota) -> int:
    generation = ownership.generation_of_type(vm.accelerator_type)
    counts = generation == quota.generation and vm.zone.startswith(quota.place)
    return tpu.chips(vm.topology) if counts and vm.topology else 0


def _of_endpoint(endpoint: Endpoint, quota: ChipQuota) -> int:
    if not endpoint.location.startswith(quota.place):
        return 0
    return sum(_of_model(m) for m in endpoint.deployed if _generation(m) == quota.generation)


def _generation(model: DeployedModel) -> str | None:
    return ownership.hardware_of(model.machine_type)[0]


def _of_model(model: DeployedModel) -> int:
    """At its least replicas: those are there, further ones may be."""
    per_host = ownership.hardware_of(model.machine_type)[1]
    return model.replicas_min * (tpu.chips(model.topology) if model.topology else per_host)
