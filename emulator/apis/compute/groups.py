"""Groups that follow the fleet: NEGs with their endpoints' health, and instance groups.

Nothing is stored here: they are views of the nodes there are, of the world's incidents and of what
callers attached; beside what the data plane found where it really probes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from emulator.apis.compute.catalogue import region_of
from emulator.apis.compute.load_balancer import SERVING_PORT
from emulator.apis.compute.model import (
    HOST,
    Body,
    fingerprint,
    numeric_id,
    state_of,
    timestamp,
)
from emulator.apis.gke.model import NodePool
from emulator.apis.gke.nodes import GkeNode
from emulator.context import Cloud
from emulator.world.incidents import Event
from emulator.world.world import world_of


@dataclass
class Probed:
    """What real probes found: (address, port) of endpoints outside the project that answer well.

    Measured, so that no state may follow from it.
    """

    answering: set[tuple[str, int]] = field(default_factory=set)


def probed_of(cloud: Cloud) -> Probed:
    """The emulator's one."""
    return cloud.store(Probed, Probed)


def tier_of_group(cloud: Cloud, group: str) -> str:
    """The tier of a NEG's URL, path or name; "" when it is none that GKE keeps for a tier."""
    follows = state_of(cloud).follows
    if "/" not in group:
        return next((t for p, t in follows.items() if p.endswith(f"/{group}")), "")
    return follows.get(group.rpartition("/compute/v1/")[2], "")


def follow(cloud: Cloud, path: str, tier: str) -> None:
    """Have a NEG's endpoints be the tier's leaders, as GKE's controller does for a Service with
    the NEG annotation; `path` is "projects/P/zones/Z/networkEndpointGroups/N".
    """
    with cloud.lock:
        state_of(cloud).follows[path] = tier


def endpoints(cloud: Cloud, tier: str) -> list[GkeNode]:
    """The hosts that answer for their slices, one per slice."""
    return [n for n in cloud.fleet.nodes(tier=tier) if n.leader] if tier else []


def node_named(cloud: Cloud, scope: str, name: str) -> GkeNode | None:
    """The VM of that name in a zone ("zones/Z")."""
    zone = scope.removeprefix("zones/")
    return next((n for n in cloud.fleet.nodes() if n.name == name and n.zone == zone), None)


def endpoints_of(cloud: Cloud, group: str) -> list[Body]:
    """A NEG's endpoints (instance, ipAddress, port); those of VMs that are gone have left."""
    tier = tier_of_group(cloud, group)
    if tier:
        return [
            {"instance": n.name, "ipAddress": n.internal_ip, "port": SERVING_PORT}
            for n in endpoints(cloud, tier)
        ]
    kept = state_of(cloud).endpoints.get(group.rpartition("/compute/v1/")[2], [])
    if not kept:
        return []
    there = {n.name for n in cloud.fleet.nodes()}
    return [e for e in kept if "instance" not in e or e["instance"] in there]


def members_of(cloud: Cloud, group: str) -> list[str]:
    """Links of the VMs in an instance group, given by its URL."""
    path = group.rpartition("/compute/v1/")[2]
    name = path.rsplit("/", 1)[-1]
    pool = next((p for p in cloud.fleet.pools() if p.group == name), None)
    if pool is not None:
        return [instance_link(cloud, n) for n in cloud.fleet.nodes(pool=pool.name)]
    there = {instance_link(cloud, n) for n in cloud.fleet.nodes()}
    return [m for m in state_of(cloud).members.get(path, []) if m in there]


def health(cloud: Cloud, group: str, at: float | None = None) -> Body:
    """compute#backendServiceGroupHealth of a NEG or instance group, at a Unix time (now).

    An endpoint is as healthy as its slice: all its hosts ready and no incident on it. What is no
    VM of the project is as healthy as a real probe found it (data_plane/members.py).
    """
    if "/instanceGroups/" in group:
        names = [m.rsplit("/", 1)[-1] for m in members_of(cloud, group)]
        found: list[Body] = [{"instance": n, "port": SERVING_PORT} for n in names]
    else:
        found = endpoints_of(cloud, group)
    nodes = {n.name: n for n in cloud.fleet.nodes()} if found else {}
    tiers = {n.tier for e in found if (n := nodes.get(e.get("instance", "")))}
    when = cloud.clock.now() if at is None else at
    states = {name: s for tier in tiers for name, s in _slice_states(cloud, tier, when).items()}
    body: Body = {"kind": "compute#backendServiceGroupHealth"}
    if found:
        body["healthStatus"] = [_status(cloud, e, nodes, states) for e in found]
    return body


def _status(
    cloud: Cloud, endpoint: Body, nodes: dict[str, GkeNode], states: dict[str, str]
) -> Body:
    node = nodes.get(endpoint.get("instance", ""))
    if node is None:
        place = (endpoint["ipAddress"], endpoint["port"])
        state = "HEALTHY" if place in probed_of(cloud).answering else "UNHEALTHY"
        return {"ipAddress": place[0], "port": place[1], "healthState": state}
    return {
        "instance": instance_link(cloud, node),
        "ipAddress": endpoint.get("ipAddress", node.internal_ip),
        "port": endpoint["port"],
        "healthState": "UNHEALTHY" if node.deleting else states[node.slice_name],
    }


def _slice_states(cloud: Cloud, tier: str, at: float) -> dict[str, str]:
    """Health state of each slice of a tier ("": of nodes of no tier), by its name."""
    ready: dict[str, bool] = {}
    for node in cloud.fleet.nodes(tier=tier):
        ready[node.slice_name] = ready.get(node.slice_name, True) and node.ready
    hit = _hit(cloud, tier, at)
    leaders = [n for n in cloud.fleet.nodes(tier=tier) if n.leader]
    return {n.slice_name: _state(n, ready[n.slice_name], hit.get(i)) for i, n in enumerate(leaders)}


def _hit(cloud: Cloud, tier: str, at: float) -> dict[int, Event]:
    """Incidents that take slices of the tier out, by the slice's index."""
    return {
        event.target: event
        for event in world_of(cloud).incidents(at, at + 1)
        if event.tier == tier and event.slices_lost and event.target is not None
    }


def _state(node: GkeNode, slice_ready: bool, hit: Event | None) -> str:
    if node.deleting or (hit and hit.chips == "idle"):
        return "UNHEALTHY"
    return "HEALTHY" if slice_ready and hit is None else "UNHEALTHY"


def instance_link(cloud: Cloud, node: GkeNode) -> str:
    """URL of a node's VM."""
    return f"{HOST}/projects/{cloud.project.id}/zones/{node.zone}/instances/{node.name}"


def group_managers(cloud: Cloud, zone: str) -> dict[str, Body]:
    """Managed instance groups of the zone's node pools, by name."""
    with cloud.lock:
        return {p.group: _group(cloud, p) for p in cloud.fleet.pools() if p.zone == zone}


def _group(cloud: Cloud, pool: NodePool) -> Body:
    base = f"{HOST}/projects/{cloud.project.id}"
    zone = f"{base}/zones/{pool.zone}"
    path = f"projects/{cloud.project.id}/zones/{pool.zone}/instanceGroupManagers/{pool.group}"
    stable = len(pool.nodes) == pool.target and all(n.ready for n in pool.nodes.values())
    moving = abs(pool.target - len(pool.nodes))
    growing = pool.target > len(pool.nodes)
    return {
        "kind": "compute#instanceGroupManager",
        "id": numeric_id(path),
        "creationTimestamp": timestamp(pool.created_at),
        "name": pool.group,
        "zone": zone,
        "instanceTemplate": f"{base}/global/instanceTemplates/{pool.group.removesuffix('-grp')}",
        "instanceGroup": f"{zone}/instanceGroups/{pool.group}",
        "baseInstanceName": pool.group.removesuffix("-grp"),
        "targetSize": pool.target,
        "fingerprint": fingerprint(pool.group, pool.revision),
        "selfLink": f"{HOST}/{path}",
        "currentActions": {
            "none": len(pool.nodes) if growing else pool.target,
            "creating": moving if growing else 0,
            "deleting": 0 if growing else moving,
        },
        "status": {"isStable": stable},
    }


def instance_groups(cloud: Cloud, zone: str) -> dict[str, Body]:
    """The unmanaged view of the same groups: instances without their manager."""
    with cloud.lock:
        return {p.group: _instances(cloud, p) for p in cloud.fleet.pools() if p.zone == zone}


def _instances(cloud: Cloud, pool: NodePool) -> Body:
    base = f"{HOST}/projects/{cloud.project.id}"
    path = f"projects/{cloud.project.id}/zones/{pool.zone}/instanceGroups/{pool.group}"
    cluster = cloud.fleet.clusters[pool.cluster]
    ports = state_of(cloud).named_ports.get(path)
    return {
        **({"namedPorts": ports} if ports else {}),
        "kind": "compute#instanceGroup",
        "id": numeric_id(path),
        "creationTimestamp": timestamp(pool.created_at),
        "name": pool.group,
        "description": f"This instance group is controlled by its manager {pool.group}.",
        "network": f"{base}/global/networks/{cluster.network}",
        "subnetwork": f"{base}/regions/{region_of(pool.zone)}/subnetworks/{cluster.subnetwork}",
        "zone": f"{base}/zones/{pool.zone}",
        "size": len(pool.nodes),
        "fingerprint": fingerprint(pool.group, "group", pool.revision),
        "selfLink": f"{HOST}/{path}",
    }


def managed_instances(cloud: Cloud, group: str) -> list[Body]:
    """The VMs of a group."""
    return [
        {
            "id": str(n.instance_id),
            "name": n.name,
            "instance": instance_link(cloud, n),
            "instanceStatus": "RUNNING",
            "currentAction": "DELETING" if n.deleting else "NONE",
        }
        for p in cloud.fleet.pools()
        if p.group == group
        for n in cloud.fleet.nodes(pool=p.name)
    ]


def network_endpoints(cloud: Cloud, group: str) -> list[Body]:
    """Endpoints of a NEG as listNetworkEndpoints shows them."""
    return [{"networkEndpoint": e} for e in endpoints_of(cloud, group)]
