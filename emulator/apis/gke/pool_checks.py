"""What GKE refuses of new clusters and node pools, and in which words. Nothing is changed here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from core import tpu
from emulator.apis.compute.catalogue import region_of
from emulator.apis.compute.model import state_of
from emulator.apis.gke.bounds import asked_bounds
from emulator.apis.gke.checks import (
    MAX_NODES_PER_POOL,
    SERVICE,
    check_quota,
    check_reserved,
)
from emulator.apis.gke.lifecycle import cluster_target, machine
from emulator.apis.gke.model import Cluster, NodePool, pool_target, reservations_of
from emulator.apis.iam.model import iam_state
from emulator.scenario import TIER_LABEL
from emulator.wire.errors import ApiError, failed_precondition, invalid

if TYPE_CHECKING:
    from emulator.context import Cloud

_NAME: Final = re.compile(r"[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?")
_TPU7X_FROM: Final = (1, 34, 0, 2201000)
# Versions on offer beside the project's own; the last is too old for TPU7x.
OLDER_VERSIONS: Final = ("1.34.0-gke.2201000", "1.33.5-gke.1201000")


def versions(cloud: Cloud) -> list[str]:
    """Versions on offer, newest first."""
    return [cloud.project.cluster_version, *OLDER_VERSIONS]


def version_of(cloud: Cloud, asked: str) -> str:
    """The version meant by a whole one, a beginning ("1.34"), an alias or nothing.

    Raises:
        ApiError: INVALID_ARGUMENT: none fits.
    """
    offered = versions(cloud)
    if asked in ("", "-", "latest"):
        return offered[0]
    for version in offered:
        if version == asked or version.startswith((f"{asked}.", f"{asked}-")):
            return version
    raise invalid(f'Master version "{asked}" is unsupported.', field="initial_cluster_version")


def check_name(kind: str, name: str, most: int = 40) -> None:
    """Pass a cluster's or pool's name."""
    if not _NAME.fullmatch(name) or len(name) > most:
        raise invalid(
            f'Invalid value for field "{kind}.name": "{name}". Must start with a lowercase letter '
            f"followed by up to {most - 1} lowercase letters, numbers, or hyphens, and cannot end "
            "with a hyphen.",
            field=f"{kind}.name",
        )


def check_idle(cloud: Cloud, cluster: Cluster, pool: NodePool | None = None) -> None:
    """Pass a cluster (and pool) on which nothing runs that forbids another operation."""
    targets = [cluster_target(cluster)]
    if pool is not None:
        targets.append(pool_target(pool))
    else:
        targets += [pool_target(p) for p in cluster.pools.values()]
    for target in targets:
        running = cloud.operations.running_on("container", target)
        if running is not None:
            name = running.name.rsplit("/", 1)[-1]
            raise failed_precondition(
                f"Cluster is running incompatible operation {name}.",
                reason="CLUSTER_ALREADY_HAS_OPERATION", domain=SERVICE,
                metadata={"operation": name},
            )  # fmt: skip


def new_pool(cloud: Cloud, cluster: Cluster, asked: Any, default_zone: str) -> NodePool:
    """The pool that a request describes, not yet in its cluster.

    Raises:
        ApiError: whatever GKE refuses of it.
    """
    check_name("node_pool", asked.name)
    zone = _zone(cloud, cluster, list(asked.locations) or [default_zone])
    iam_state(cloud).check_runs_as(asked.config.service_account, "node_pool.config.service_account")
    name = asked.config.machine_type or "e2-medium"
    found = machine(name)
    known = state_of(cloud).of("machineTypes", f"zones/{zone}")
    if name not in known:
        raise invalid(
            f"Machine type with name '{name}' does not exist in zone '{zone}'.{_where(found)}",
            field="node_pool.config.machine_type",
        )
    pool = NodePool(
        asked.name, cluster.name, zone, asked.config.labels.get(TIER_LABEL, ""), name,
        asked.initial_node_count, asked.initial_node_count, 0.0,
        given=asked.config, policy=asked.placement_policy.policy_name,
        extra={k: v for k, v in asked.config.labels.items() if k != TIER_LABEL},
    )  # fmt: skip
    if found is not None:
        pool.generation, chips = found
        pool.host_chips = chips
        pool.topology = _topology(cloud, cluster, pool, chips, asked.placement_policy)
    _check_size(pool)
    if "autoscaling" in asked:
        check_autoscaling(pool, asked.autoscaling)
        pool.autoscaling = asked.autoscaling
    if "management" in asked:
        pool.management = asked.management
    _check_reservation(cloud, pool)
    wanted, pool.target = pool.target, 0
    check_quota(cloud, cloud.fleet, pool, wanted)
    pool.target = wanted
    return pool


def _where(found: tuple[tpu.Generation, int] | None) -> str:
    return f" {found[0].name} is in: {', '.join(found[0].zones)}." if found else ""


def check_zone(cloud: Cloud, cluster: Cluster, zone: str) -> None:
    """Pass a zone in the cluster's location."""
    inside = cluster.location in (zone, region_of(zone))
    if zone not in state_of(cloud).of("zones", "global") or not inside:
        raise invalid(
            f'Location "{zone}" is not a zone of the cluster\'s location "{cluster.location}".',
            field="locations",
        )


def _zone(cloud: Cloud, cluster: Cluster, zones: list[str]) -> str:
    for zone in zones:
        check_zone(cloud, cluster, zone)
    if len(zones) > 1:
        raise ApiError(
            "UNIMPLEMENTED", "The emulator makes node pools of one zone; give one node location."
        )
    return zones[0]


def _topology(cloud: Cloud, cluster: Cluster, pool: NodePool, chips: int, placement: Any) -> str:
    """The slice's topology: the workload policy's, the one given, or the machine's own."""
    generation = pool.generation
    assert generation is not None
    if generation.name == "TPU7x" and _number(cluster.version) < _TPU7X_FROM:
        raise invalid(
            f"Machine type {pool.machine_type} needs GKE version 1.34.0-gke.2201000 or later; "
            f"the cluster has {cluster.version}."
        )
    own = next(t for t in tpu.legal_topologies(generation) if tpu.chips(t) == chips)
    topology = placement.tpu_topology or own
    if placement.policy_name:
        policy = _policy_topology(cloud, pool, placement.policy_name)
        if placement.tpu_topology and placement.tpu_topology != policy:
            raise invalid(
                f"TPU topology {placement.tpu_topology} differs from {policy}, that of the "
                f"workload policy {placement.policy_name}."
            )
        topology = policy
    try:
        tpu.check_topology(generation, topology)
    except ValueError as error:
        raise invalid(f"Invalid TPU topology: {error}.") from error
    if not _forms(generation, topology, chips):
        raise invalid(_misfit(generation, pool.machine_type, topology, chips))
    if tpu.chips(topology) > chips and generation.name == "TPU7x" and not pool.policy:
        raise invalid(
            f"A multi-host {generation.name} node pool of topology {topology} needs a workload "
            "policy with that accelerator topology in placementPolicy.policyName."
        )
    return topology


def _forms(generation: tpu.Generation, topology: str, chips: int) -> bool:
    """Whether VMs of so many chips make the slice: one that has them all, or several of four."""
    total = tpu.chips(topology)
    return total == chips or (chips == 4 and total % 4 == 0 and total > 4)


def _misfit(generation: tpu.Generation, name: str, topology: str, chips: int) -> str:
    fitting = [
        t for t in tpu.nearest_legal(generation, topology, 40) if _forms(generation, t, chips)
    ][:3]
    return (
        f"Machine type {name} cannot form TPU topology {topology}, which needs "
        f"{tpu.machine_type(generation, topology)}; nearest legal with {name}: "
        f"{', '.join(fitting)}."
    )


def _policy_topology(cloud: Cloud, pool: NodePool, name: str) -> str:
    region = region_of(pool.zone)
    state = state_of(cloud)
    path = f"projects/{cloud.project.id}/regions/{region}/resourcePolicies/{name}"
    body = state.at(path) if re.fullmatch(r"[-a-z0-9]+", name) else None
    if body is None or (path in state.busy and state.busy[path].data["type"] == "delete"):
        raise invalid(f"Resource policy '{path}' was not found.", field="placement_policy")
    topology = body.get("workloadPolicy", {}).get("acceleratorTopology")
    if topology is None:
        raise invalid(f"Resource policy '{path}' is no workload policy with a topology.")
    return str(topology)


def _check_size(pool: NodePool) -> None:
    if not 0 <= pool.target <= MAX_NODES_PER_POOL:
        raise invalid(
            f"Node pool size {pool.target} is out of range: 0 to {MAX_NODES_PER_POOL}.",
            field="node_pool.initial_node_count",
        )
    if pool.generation and pool.multi_host:
        hosts = tpu.chips(pool.topology) // pool.chips_per_node
        if pool.target != hosts:
            raise invalid(
                f"Node pool of multi-host TPU topology {pool.topology} must have exactly {hosts} "
                f"nodes; initial_node_count is {pool.target}.",
                field="node_pool.initial_node_count",
            )


def _check_reservation(cloud: Cloud, pool: NodePool) -> None:
    """Pass a pool whose reservations exist, are of its machines, and have enough left for it."""
    for name in reservations_of(pool):
        body = state_of(cloud).of("reservations", f"zones/{pool.zone}").get(name)
        if body is None:
            raise invalid(f"Reservation '{name}' was not found in zone '{pool.zone}'.")
        specific = body["specificReservation"]
        made_of = specific["instanceProperties"]["machineType"]
        if made_of != pool.machine_type:
            raise invalid(f"Reservation '{name}' is of {made_of}, not {pool.machine_type}.")
        check_reserved(cloud, pool, pool.target)


def check_autoscaling(pool: NodePool, asked: Any) -> None:
    """Pass bounds that GKE would take; a multi-host slice is there whole or not at all.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    if not asked.enabled:
        return
    field = "autoscaling"
    total = asked.total_max_node_count or asked.total_min_node_count
    low, high = asked_bounds(asked)
    if total and (asked.min_node_count or asked.max_node_count):
        raise invalid("Total and per-zone bounds exclude each other.", field=field)
    if not 0 <= low <= high or not 1 <= high <= MAX_NODES_PER_POOL:
        raise invalid(
            f"Autoscaling bounds {low} to {high} are out of range: the minimum must be from 0 to "
            f"the maximum, which must be from 1 to {MAX_NODES_PER_POOL}.",
            field=field,
        )
    if pool.multi_host:
        hosts = pool.initial
        if high != hosts or low not in (0, hosts):
            raise invalid(
                f"A multi-host TPU slice of topology {pool.topology} scales between 0 and {hosts} "
                f"nodes only; got {low} to {high}.",
                field=field,
            )


def _number(version: str) -> tuple[int, ...]:
    """ "1.34.1-gke.3084001" → (1, 34, 1, 3084001)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def check_network(cloud: Cloud, cluster: Cluster) -> None:
    """Pass a network and subnetwork that exist."""
    state = state_of(cloud)
    if state.of("networks", "global").get(cluster.network) is None:
        path = f"projects/{cloud.project.id}/global/networks/{cluster.network}"
        raise invalid(f'Network "{path}" does not exist.', field="cluster.network")
    scope = f"regions/{cluster.location}"
    if cluster.location in state.of("zones", "global"):
        scope = f"regions/{region_of(cluster.location)}"
    if state.of("subnetworks", scope).get(cluster.subnetwork) is None:
        raise invalid(
            f'Subnetwork "{cluster.subnetwork}" does not exist in '
            f'"{scope.removeprefix("regions/")}".',
            field="cluster.subnetwork",
        )
