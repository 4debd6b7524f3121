"""Rules of single resources that no table can say: network, policies, reservations, certificates.

A check may also fill in what the service chooses (an address, a gateway). The load balancer's rules
stand in rules_balancer.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Final

from core import tpu
from emulator.apis.compute import rules_balancer, views
from emulator.apis.compute.addresses import check_address, network_of
from emulator.apis.compute.model import Body, link, state_of
from emulator.apis.compute.refusals import bad_value, in_use, missing, refused, unset
from emulator.context import Cloud

Check = Callable[[Cloud, str, Body, Body | None], None]
_DOMAIN: Final = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_PORTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_PROTOCOLS: Final = ("tcp", "udp", "icmp", "esp", "ah", "sctp", "ipip", "all")
_POLICIES: Final = (
    "workloadPolicy", "groupPlacementPolicy", "instanceSchedulePolicy", "snapshotSchedulePolicy",
    "diskConsistencyGroupPolicy",
)  # fmt: skip


def check(cloud: Cloud, collection: str, scope: str, body: Body, before: Body | None) -> None:
    """Pass a whole body (before: as it was, None for an insert).

    Raises:
        ApiError: compute would refuse it.
    """
    found = _CHECKS.get(collection) or rules_balancer.CHECKS.get(collection)
    if found is not None:
        found(cloud, scope, body, before)


def before_delete(cloud: Cloud, path: str, body: Body) -> None:
    """Pass a deletion that no reference forbids."""
    collection = path.rsplit("/", 2)[1]
    if collection == "addresses":
        for user in views.shown(cloud, collection, body).get("users", ()):
            raise in_use("address", path, user.partition("/compute/v1/")[2])
    if collection == "instanceGroups" and path in views.pool_groups(cloud, collection):
        manager = path.replace("/instanceGroups/", "/instanceGroupManagers/")
        raise in_use("instance_group", path, manager)
    if collection == "subnetworks":
        name = str(body["network"]).rsplit("/", 1)[-1]
        network = state_of(cloud).of("networks", "global").get(name, {})
        if network.get("autoCreateSubnetworks") and body["name"] == name:
            raise refused("Cannot delete auto subnetwork from an auto subnet mode network.")


def _network(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    if "autoCreateSubnetworks" not in body:
        raise refused(
            "Invalid value for field 'resource': ''. Legacy networks cannot be created any more: "
            "set autoCreateSubnetworks."
        )
    if not 1300 <= body["mtu"] <= 8896:
        raise bad_value("mtu", body["mtu"], "Must be between 1300 and 8896.")
    if before and before["autoCreateSubnetworks"] != body["autoCreateSubnetworks"]:
        raise bad_value("autoCreateSubnetworks", body["autoCreateSubnetworks"],
                        "The subnet mode is changed by switchToCustomMode.")  # fmt: skip


def _subnetwork(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    own = network_of(body["ipCidrRange"], "ipCidrRange")
    if not 4 <= own.prefixlen <= 29:
        raise bad_value("ipCidrRange", own, "The prefix must be from /4 to /29.")
    blocks = [own]
    for index, extra in enumerate(body.get("secondaryIpRanges", [])):
        field = f"secondaryIpRanges[{index}].ipCidrRange"
        block = network_of(extra.get("ipCidrRange", ""), field)
        if any(block.overlaps(b) for b in blocks):
            raise bad_value(field, block, "It overlaps another range of the subnetwork.")
        blocks.append(block)
    state = state_of(cloud)
    running = [b for c, b in state.pending.values() if c == "subnetworks"]
    for other in (*(b for s in state.scopes("subnetworks")
                    for b in state.of("subnetworks", s).values()), *running):  # fmt: skip
        same = (other["name"], other.get("region")) == (body["name"], link(cloud.project.id, scope))
        if other["network"] != body["network"] or same:
            continue
        taken = [other, *other.get("secondaryIpRanges", [])]
        for block in blocks:
            if any(block.overlaps(IPv4Network(t["ipCidrRange"])) for t in taken):
                region = str(other["region"]).rsplit("/", 1)[-1]
                raise refused(
                    f"Invalid IPCidrRange: {block} conflicts with existing subnetwork "
                    f"'{other['name']}' in region '{region}'."
                )
    body["gatewayAddress"] = str(own[1])


def _firewall(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    body.setdefault("network", link(cloud.project.id, "global/networks/default"))
    if state_of(cloud).of("networks", "global").get(body["network"].rsplit("/", 1)[-1]) is None:
        raise bad_value("network", body["network"], "The referenced network cannot be found.")
    if ("allowed" in body) == ("denied" in body):
        raise refused("Exactly one of 'resource.allowed' and 'resource.denied' must be set.")
    if not 0 <= body["priority"] <= 65535:
        raise bad_value("priority", body["priority"], "Must be between 0 and 65535.")
    ingress = body["direction"] == "INGRESS"
    if not ingress and any(k in body for k in ("sourceRanges", "sourceTags")):
        raise refused("Sources cannot be specified for an EGRESS firewall rule.")
    if ingress and "destinationRanges" not in body and not any(
        k in body for k in ("sourceRanges", "sourceTags", "sourceServiceAccounts")
    ):  # fmt: skip
        body["sourceRanges"] = ["0.0.0.0/0"]
    for field in ("sourceRanges", "destinationRanges"):
        for index, text in enumerate(body.get(field, [])):
            if ":" not in text:
                network_of(text, f"{field}[{index}]")
    kind = "allowed" if "allowed" in body else "denied"
    for index, rule in enumerate(body[kind]):
        _firewall_ports(rule, f"{kind}[{index}]")


def _firewall_ports(rule: Body, where: str) -> None:
    protocol = str(rule.get("IPProtocol", "")).lower()
    number = protocol.isascii() and protocol.isdigit() and int(protocol[:4]) < 256
    if protocol not in _PROTOCOLS and not number:
        raise bad_value(f"{where}.IPProtocol", protocol, "It is no known protocol.")
    rule["IPProtocol"] = protocol
    for text in rule.get("ports", []):
        found = _PORTS.fullmatch(text)
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not 0 <= low <= high <= 65535:
            raise bad_value(f"{where}.ports", text, "Must be a port or a range from 0 to 65535.")


def _resource_policy(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    kinds = [k for k in _POLICIES if k in body]
    if len(kinds) != 1:
        raise refused("Exactly one policy type must be specified in 'resource'.")
    body["status"] = "READY"
    policy = body.get("workloadPolicy")
    if policy is None:
        return
    if "type" not in policy:
        raise unset("workloadPolicy.type")
    topology = policy.get("acceleratorTopology")
    if topology is None:
        return
    if policy["type"] != "HIGH_THROUGHPUT":
        raise bad_value("workloadPolicy.acceleratorTopology", topology,
                        "It needs the type HIGH_THROUGHPUT.")  # fmt: skip
    if "maxTopologyDistance" in policy:
        raise refused("acceleratorTopology and maxTopologyDistance exclude each other.")
    check_topology(topology, "workloadPolicy.acceleratorTopology")


def check_topology(topology: str, field: str) -> None:
    """Pass a topology that some TPU generation has."""
    near = ""
    for generation in tpu.GENERATIONS.values():
        try:
            tpu.check_topology(generation, topology)
        except ValueError as error:
            if "nearest" in str(error) and generation.dimensions == topology.count("x") + 1:
                near = near or str(error)
        else:
            return
    raise bad_value(field, topology, f"{near or 'It is not of the form 2x4 or 4x8x8'}.")


def _reservation(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    specific = body.get("specificReservation")
    if specific is None:
        raise unset("specificReservation")
    count = int(specific.get("count", 0))
    if not 1 <= count <= 1000:
        raise bad_value("specificReservation.count", count, "Must be between 1 and 1000.")
    field = "specificReservation.instanceProperties.machineType"
    machine = specific.get("instanceProperties", {}).get("machineType")
    if machine is None:
        raise unset(field)
    if machine not in state_of(cloud).of("machineTypes", scope):
        raise missing(f"projects/{cloud.project.id}/{scope}/machineTypes/{machine}")
    specific |= {"count": str(count), "assuredCount": str(count), "inUseCount": "0"}
    body["status"] = "READY"


def _certificate(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    managed = body.get("managed")
    own = body.pop("selfManaged", None) or {}
    certificate = body.get("certificate") or own.get("certificate")
    private = body.pop("privateKey", None) or own.get("privateKey")
    body.setdefault("type", "MANAGED" if managed else "SELF_MANAGED")
    if body["type"] == "MANAGED":
        domains = (managed or {}).get("domains", [])
        if not 1 <= len(domains) <= 100:
            raise bad_value("managed.domains", domains, "Must have from 1 to 100 domains.")
        for index, domain in enumerate(domains):
            if not _DOMAIN.fullmatch(domain) or domain.startswith("*"):
                raise bad_value(f"managed.domains[{index}]", domain, "It is no valid domain.")
        body["managed"] = {"domains": domains}
        return
    for field, text, mark in (
        ("certificate", certificate, "CERTIFICATE"), ("privateKey", private, "PRIVATE KEY"),
    ):  # fmt: skip
        if not text:
            raise unset(field)
        if "-----BEGIN " not in text or f"{mark}-----" not in text:
            raise bad_value(field, "…", "The SSL certificate or key could not be parsed as PEM.")
    body["certificate"] = certificate
    body["selfManaged"] = {"certificate": certificate}


def _instance_group(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    for index, port in enumerate(body.get("namedPorts", [])):
        if not 1 <= port.get("port", 0) <= 65535 or "name" not in port:
            raise bad_value(f"namedPorts[{index}]", port, "Needs a name and a port.")


_CHECKS: Final[dict[str, Check]] = {
    "networks": _network,
    "subnetworks": _subnetwork,
    "firewalls": _firewall,
    "addresses": check_address,
    "resourcePolicies": _resource_policy,
    "reservations": _reservation,
    "sslCertificates": _certificate,
    "instanceGroups": _instance_group,
}
