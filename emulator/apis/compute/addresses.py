"""Rules of global addresses: ranges for private services, and external addresses to be had."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Final

from emulator.apis.compute.model import Body, state_of
from emulator.apis.compute.refusals import bad_value, refused
from emulator.context import Cloud

_EXTERNAL: Final = IPv4Network("203.0.113.0/24")
_PEERING: Final = IPv4Network("10.192.0.0/10")


def network_of(text: object, field: str) -> IPv4Network:
    """A CIDR range, its host bits zero."""
    try:
        return IPv4Network(str(text))
    except ValueError as error:
        raise bad_value(field, text, f"Must be a CIDR address range: {error}.") from error


def check_address(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    """Pass a global address; one that names none gets a free one."""
    state = state_of(cloud)
    peering = body.get("purpose") == "VPC_PEERING"
    if peering and (body["addressType"] != "INTERNAL" or "network" not in body):
        raise refused("Purpose VPC_PEERING needs addressType INTERNAL and a network.")
    if body["addressType"] == "INTERNAL" and not body.get("purpose"):
        raise refused("A global internal address needs the purpose VPC_PEERING.")
    bodies = [*state.of("addresses", "global").values()]
    bodies += [b for c, b in state.pending.values() if c == "addresses"]
    if peering:
        body.pop("networkTier", None)
        body.pop("ipVersion", None)
        _peering_range(body, bodies)
    elif "address" not in body:
        taken = {b["address"] for b in bodies}
        taken |= {b["IPAddress"] for b in state.of("forwardingRules", "global").values()}
        body["address"] = free_address(taken)


def _peering_range(body: Body, bodies: list[Body]) -> None:
    length = body.get("prefixLength", 0)
    if not 8 <= length <= 29:
        raise bad_value("prefixLength", length, "Must be between 8 and 29.")
    taken = [IPv4Network(f"{b['address']}/{b['prefixLength']}") for b in bodies
             if b.get("prefixLength") and b.get("network") == body["network"]]  # fmt: skip
    if "address" in body:
        own = network_of(f"{body['address']}/{length}", "address")
        if any(own.overlaps(t) for t in taken):
            raise refused(f"The range {own} overlaps an allocated range of the network.")
        return
    pool = _PEERING if length >= _PEERING.prefixlen else IPv4Network(f"10.0.0.0/{length}")
    for block in pool.subnets(new_prefix=length):
        if not any(block.overlaps(t) for t in taken):
            body["address"] = str(block[0])
            return
    raise refused("No free range of that length is left in the network.")


def free_address(taken: set[str]) -> str:
    """An external address that nothing holds.

    Raises:
        ApiError: all are taken.
    """
    for host in _EXTERNAL.hosts():
        if str(host) not in taken and host > IPv4Address("203.0.113.25"):
            return str(host)
    raise refused("Quota 'STATIC_ADDRESSES' exceeded. Limit: 229.0 globally.", "quotaExceeded")
