"""Groups that follow the fleet: NEGs with their endpoints' health, and managed instance groups.

Nothing is stored here: both are views of the nodes there are, and of the world's incidents.
"""

from __future__ import annotations

from emulator.apis.compute.load_balancer import SERVING_PORT, neg_name, served_tiers
from emulator.apis.compute.model import HOST, Body, fingerprint, numeric_id, timestamp
from emulator.apis.gke.model import NodePool
from emulator.apis.gke.nodes import GkeNode
from emulator.context import Cloud
from emulator.world.incidents import Event
from emulator.world.world import World


def tier_of_group(cloud: Cloud, group: str) -> str:
    """The tier of a NEG's URL or name; "" when it is none of the load balancer's."""
    name = group.rsplit("/", 1)[-1]
    return next((t.name for t in served_tiers(cloud) if neg_name(t.name) == name), "")


def endpoints(cloud: Cloud, tier: str) -> list[GkeNode]:
    """The hosts that answer for their slices, one per slice."""
    return [n for n in cloud.fleet.nodes(tier=tier) if n.leader] if tier else []


def health(cloud: Cloud, group: str, at: float | None = None) -> Body:
    """compute#backendServiceGroupHealth of a NEG, at a Unix time (now).

    An endpoint is as healthy as its slice: all its hosts ready and no incident on it.
    """
    tier = tier_of_group(cloud, group)
    ready: dict[str, bool] = {}
    for node in cloud.fleet.nodes(tier=tier) if tier else ():
        ready[node.slice_name] = ready.get(node.slice_name, True) and node.ready
    nodes = endpoints(cloud, tier)
    hit = _hit(cloud, tier, cloud.clock.now() if at is None else at)
    body: Body = {"kind": "compute#backendServiceGroupHealth"}
    if nodes:
        body["healthStatus"] = [
            {
                "instance": instance_link(cloud, node),
                "ipAddress": node.internal_ip,
                "port": SERVING_PORT,
                "healthState": _state(node, ready[node.slice_name], hit.get(index)),
            }
            for index, node in enumerate(nodes)
        ]
    return body


def _hit(cloud: Cloud, tier: str, at: float) -> dict[int, Event]:
    """Incidents that take slices of the tier out, by the slice's index."""
    world = cloud.store(
        World, lambda: World(cloud.scenario, cloud.log, cloud.seed, cloud.clock.started_at)
    )
    return {
        event.target: event
        for event in world.incidents(at, at + 1)
        if event.tier == tier and event.slices_lost and event.target is not None
    }


def _state(node: GkeNode, slice_ready: bool, hit: Event | None) -> str:
    if node.deleting or (hit and hit.chips == "idle"):
        return "DRAINING"
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
    return {
        "kind": "compute#instanceGroup",
        "id": numeric_id(path),
        "creationTimestamp": timestamp(pool.created_at),
        "name": pool.group,
        "description": f"This instance group is controlled by its manager {pool.group}.",
        "network": f"{base}/global/networks/hw-net",
        "subnetwork": f"{base}/regions/{cloud.project.region}/subnetworks/hw-subnet",
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


def network_endpoints(cloud: Cloud, tier: str) -> list[Body]:
    """Endpoints of a tier's NEG."""
    return [
        {
            "networkEndpoint": {
                "instance": n.name,
                "ipAddress": n.internal_ip,
                "port": SERVING_PORT,
            }
        }
        for n in endpoints(cloud, tier)
    ]
