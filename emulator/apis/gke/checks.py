"""What GKE refuses, and in which words. Nothing is changed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.apis.compute.catalogue import region_of
from emulator.apis.compute.model import state_of
from emulator.apis.gke.model import (
    Cluster,
    Fleet,
    NodePool,
    pool_target,
    reservations_of,
    reserved_in_use,
)
from emulator.apis.quotas.model import UNLIMITED, limit, tpu_family
from emulator.wire.errors import ApiError, failed_precondition, invalid

if TYPE_CHECKING:
    from emulator.context import Cloud

SERVICE: Final = "container.googleapis.com"
MAX_NODES_PER_POOL: Final = 1000
TPU_QUOTA: Final = "TPUS-PER-TPU-FAMILY-per-project-region"


def check_resize(cloud: Cloud, cluster: Cluster, pool: NodePool, size: int) -> None:
    """Pass a size that GKE would take now.

    Raises:
        ApiError: INVALID_ARGUMENT for a size out of range; FAILED_PRECONDITION for an atomic pool
            or while another operation runs on the pool; PERMISSION_DENIED (as GKE answers) when
            the region's quota does not suffice.
    """
    if size < 0:
        raise invalid("Node_count must be non-negative.", field="node_count")
    if size > MAX_NODES_PER_POOL:
        raise invalid(
            f"Node pool size {size} exceeds the limit of {MAX_NODES_PER_POOL} nodes.",
            field="node_count",
        )
    if pool.multi_host:
        raise failed_precondition(
            f'Node pool "{pool.name}" is a multi-host TPU slice of topology {pool.topology}: it is '
            "atomic and its size cannot be changed. Create or delete node pools instead."
        )
    running = cloud.operations.running_on("container", pool_target(pool))
    if running:
        name = running.name.rsplit("/", 1)[-1]
        raise failed_precondition(
            f"Operation {name} is currently resizing node pool {pool.name} of cluster "
            f"{cluster.name}. Please wait and try again once it is done.",
            reason="CLUSTER_ALREADY_HAS_OPERATION",
            domain=SERVICE,
            metadata={"operation": name},
        )
    check_reserved(cloud, pool, size)
    check_quota(cloud, cloud.fleet, pool, size)


def check_reserved(cloud: Cloud, pool: NodePool, size: int) -> None:
    """Pass a size that the pool's reservations, if it names any, still hold beside other pools.

    Raises:
        ApiError: FAILED_PRECONDITION: too few of the reserved VMs are free.
    """
    for name in reservations_of(pool):
        body = state_of(cloud).of("reservations", f"zones/{pool.zone}").get(name)
        if body is None:
            continue
        count = int(body["specificReservation"]["count"])
        taken = reserved_in_use(cloud.fleet, pool.zone, name, without=pool)
        if taken + size > count:
            raise failed_precondition(
                f"Specified reservation '{name}' does not have available resources for the "
                f"request: {size} VMs are asked for, {count - taken} of {count} are free."
            )


def check_quota(cloud: Cloud, fleet: Fleet, pool: NodePool, size: int) -> None:
    """Pass a size for which the region's chips suffice."""
    generation = pool.generation
    more = (size - pool.target) * pool.chips_per_node
    if generation is None or more <= 0:
        return
    region = region_of(pool.zone)
    used = sum(
        p.target * p.chips_per_node
        for p in fleet.pools()
        if p.generation == generation and region_of(p.zone) == region
    )
    where = {"region": region, "tpu_family": tpu_family(generation)}
    quota = limit(cloud, "compute.googleapis.com", TPU_QUOTA, where)
    if quota is None or quota == UNLIMITED:
        return
    free = quota - used
    if more <= free:
        return
    project = cloud.project.id
    raise ApiError(
        "PERMISSION_DENIED",
        "Insufficient regional quota to satisfy request: resource "
        f"\"TPUS_PER_TPU_FAMILY\": request requires '{more:.1f}' and is short "
        f"'{more - free:.1f}'. project has a quota of '{quota:.1f}' with '{free:.1f}' available. "
        "View and manage quotas at "
        f"https://console.cloud.google.com/iam-admin/quotas?usage=USED&project={project}.",
        legacy_reason="forbidden",
    )
