"""What compute shows of a resource beside what was written: users, sizes, a certificate's state.

Derived from the other bodies, the fleet and the clock; also what follows when a change has settled.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final

from emulator.apis.compute.fields import link_of, places
from emulator.apis.compute.model import (
    Body,
    ComputeState,
    label_fingerprint,
    parts_of,
    state_of,
    stored,
)
from emulator.apis.compute.specs import SPECS
from emulator.apis.gke.model import reserved_in_use
from emulator.context import Cloud

# Google promises no more than "up to an hour"; with DNS in place it takes a quarter of one.
CERTIFICATE_S: Final = 900.0
# Labels of these are set by a method of their own, which asks for their fingerprint.
_LABELLED: Final = ("addresses", "forwardingRules", "securityPolicies")
_AUTO_RANGE: Final = ip_network("10.128.0.0/9")


def shown(cloud: Cloud, collection: str, body: Body) -> Body:
    """The body with its derived fields."""
    if collection in _LABELLED:
        body = {**body, "labelFingerprint": label_fingerprint(body)}
    state = state_of(cloud)
    link = body["selfLink"]
    if collection == "networks":
        subnets = [b["selfLink"] for b in _all(state, "subnetworks") if b.get("network") == link]
        return {**body, "subnetworks": subnets} if subnets else _without(body, "subnetworks")
    if collection == "addresses":
        users = [
            b["selfLink"]
            for b in _all(state, "forwardingRules")
            if b.get("IPAddress") == body.get("address")
        ]
        plain = {**_without(body, "users"), "status": "IN_USE" if users else "RESERVED"}
        return {**plain, "users": users} if users else plain
    if collection == "backendServices":
        maps = [b["selfLink"] for b in _all(state, "urlMaps") if link in _links(b, "urlMaps")]
        plain = _without(body, "usedBy")
        return {**plain, "usedBy": [{"reference": m} for m in maps]} if maps else plain
    if collection == "reservations":
        return _reservation(cloud, body)
    if collection == "sslCertificates" and body.get("type") == "MANAGED":
        return _certificate(cloud, state, body)
    return body


def _reservation(cloud: Cloud, body: Body) -> Body:
    """With the VMs that node pools consume of it."""
    zone = str(body["selfLink"]).split("/zones/")[1].split("/")[0]
    used = reserved_in_use(cloud.fleet, zone, str(body["name"]))
    return {**body, "specificReservation": {**body["specificReservation"],
                                            "inUseCount": str(used)}}  # fmt: skip


def _certificate(cloud: Cloud, state: ComputeState, body: Body) -> Body:
    managed = body["managed"]
    since = state.attached_at.get(body["selfLink"].partition("/compute/v1/")[2])
    ready = managed.get("status") == "ACTIVE"
    if since is not None:
        ready = cloud.clock.now() >= since + cloud.clock.wall_s(CERTIFICATE_S)
    word = "ACTIVE" if ready else "PROVISIONING"
    told = {"domains": managed["domains"], "status": word}
    told["domainStatus"] = dict.fromkeys(managed["domains"], word)
    extra: Body = {"subjectAlternativeNames": managed["domains"]} if ready else {}
    return {**body, "managed": told, **extra}


def settled(cloud: Cloud, path: str, *, gone: bool) -> None:
    """Bring about what follows from a change of the resource that has taken effect."""
    state = state_of(cloud)
    if gone:
        for kept in (state.endpoints, state.members, state.follows, state.attached_at):
            kept.pop(path, None)
    _, collection, name = parts_of(path)
    if collection == "networks":
        _auto_subnets(cloud, state, name, gone)
    if collection in ("forwardingRules", "targetHttpsProxies") and not gone:
        for served in _served_certificates(state):
            state.attached_at.setdefault(served, cloud.clock.now())


def _served_certificates(state: ComputeState) -> Iterator[str]:
    """Paths of managed certificates, not yet active when made, that a forwarding rule serves."""
    targets = {b.get("target") for b in _all(state, "forwardingRules")}
    for proxy in _all(state, "targetHttpsProxies"):
        if proxy["selfLink"] in targets:
            for link in proxy.get("sslCertificates", []):
                path = link.partition("/compute/v1/")[2]
                body = state.at(path)
                managed = (body or {}).get("managed", {})
                if managed and managed.get("status") != "ACTIVE":
                    yield path


def _auto_subnets(cloud: Cloud, state: ComputeState, name: str, gone: bool) -> None:
    """An auto mode network has a subnetwork of its own name in every region."""
    network = state.of("networks", "global").get(name)
    link = link_of(f"projects/{cloud.project.id}/global/networks/{name}")
    ranges = _AUTO_RANGE.subnets(new_prefix=20)
    for region, block in zip(state.of("regions", "global"), ranges, strict=False):
        scope = f"regions/{region}"
        own = state.of("subnetworks", scope).get(name)
        if gone and own and own.get("network") == link:
            state.drop("subnetworks", scope, name)
        elif not gone and network and network.get("autoCreateSubnetworks") and own is None:
            body: Body = {
                "name": name, "network": link, "ipCidrRange": str(block),
                "gatewayAddress": str(block[1]), "privateIpGoogleAccess": False,
                "purpose": "PRIVATE", "stackType": "IPV4_ONLY",
            }  # fmt: skip
            state.serial += 1
            now = cloud.clock.now()
            made = stored(cloud, "subnetworks", scope, body, state.serial, now)
            state.put("subnetworks", scope, made)


def goes_along(state: ComputeState, path: str, body: Body) -> bool:
    """Whether the body is an auto mode network's own subnetwork, which goes with it."""
    _, collection, name = parts_of(path)
    if collection != "networks" or body.get("kind") != "compute#subnetwork":
        return False
    network = state.at(path)
    return bool(network and network.get("autoCreateSubnetworks")) and body["name"] == name


def pool_groups(cloud: Cloud, collection: str) -> set[str]:
    """Paths of the instance groups that GKE keeps for its pools."""
    if collection != "instanceGroups":
        return set()
    base = f"projects/{cloud.project.id}/zones"
    return {f"{base}/{p.zone}/instanceGroups/{p.group}" for p in cloud.fleet.pools()}


def outside_users(cloud: Cloud, path: str) -> Iterator[str]:
    """What outside compute uses a resource: node pools their policy, clusters their network."""
    scope, collection, name = parts_of(path)
    project = cloud.project
    if collection == "resourcePolicies":
        for pool in cloud.fleet.pools():
            if pool.policy == name and scope == f"regions/{pool.zone.rsplit('-', 1)[0]}":
                yield f"projects/{project.id}/zones/{pool.zone}/instanceGroupManagers/{pool.group}"
    for cluster in cloud.fleet.clusters.values():
        used = {"networks": cluster.network, "subnetworks": cluster.subnetwork}
        if used.get(collection) == name:
            yield f"projects/{project.id}/locations/{cluster.location}/clusters/{cluster.name}"


def _links(body: Body, collection: str) -> set[str]:
    """Everything that the body refers to."""
    fields = [ref.field for ref in SPECS[collection].refs]
    return {node[key] for field in fields for node, key, _ in places(body, field)}


def _all(state: ComputeState, collection: str) -> list[Body]:
    return [b for (c, _), found in state.bodies.items() if c == collection for b in found.values()]


def _without(body: Body, field: str) -> Body:
    return {k: v for k, v in body.items() if k != field}
