"""State of Memorystore for Redis; what an instance is made of: addresses, nodes, certificate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Any, Final

from google.cloud.redis_v1.types import cloud_redis as types

from emulator.apis.compute.model import state_of
from emulator.apis.instances import Kept, free_block, host_in, peering_ranges
from emulator.context import Cloud
from emulator.wire.errors import failed_precondition, invalid

# Simulated seconds of each kind of work: guesses, since Google promises "a few minutes".
SECONDS: Final = {"create": 240.0, "update": 180.0, "upgrade": 300.0, "failover": 60.0,
                  "delete": 120.0}  # fmt: skip
PLAIN_PORT: Final = 6379
TLS_PORT: Final = 6378
_DIRECT: Final = (IPv4Network("192.168.0.0/16"), IPv4Network("172.16.0.0/12"))
_YEARS: Final = timedelta(days=3650)


@dataclass
class RedisState(Kept):
    """The instances, and what is theirs beside their messages.

    Attributes:
        secrets: an instance's name → its AUTH string, while AUTH is on.
        blocks: an instance's name → the address blocks that it holds.
    """

    secrets: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, list[IPv4Network]] = field(default_factory=dict)

    def forget(self, name: str) -> None:
        """Drop an instance and all that is its own."""
        del self.instances[name]
        self.secrets.pop(name, None)
        self.blocks.pop(name, None)


def zones_of(cloud: Cloud, region: str) -> list[str]:
    """The region's zones."""
    body = state_of(cloud).of("regions", "global")[region]
    return [str(link).rsplit("/", 1)[1] for link in body["zones"]]


def choose_block(
    cloud: Cloud, state: RedisState, instance: types.Instance, asked: str, length: int, field: str
) -> IPv4Network:
    """A block of addresses for an instance: the range asked for, or a free one.

    Raises:
        ApiError: INVALID_ARGUMENT, FAILED_PRECONDITION: no such range; RESOURCE_EXHAUSTED: it is
            full.
    """
    taken = {block for blocks in state.blocks.values() for block in blocks}
    network = instance.authorized_network.rsplit("/", 1)[1]
    if instance.connect_mode == types.Instance.ConnectMode.PRIVATE_SERVICE_ACCESS:
        ranges = peering_ranges(cloud, network)
        if not ranges:
            raise failed_precondition(
                "Google private service access is not enabled. Enable privateServiceAccess and "
                "try again."
            )
        if asked not in ("", "auto"):
            ranges = [r for r in ranges if r["name"] == asked]
        if not ranges:
            raise invalid(f"Invalid value: {asked}", field=field)
        whole = [IPv4Network(f"{r['address']}/{r['prefixLength']}") for r in ranges]
        return free_block(whole, length, taken)
    if asked in ("", "auto"):
        return free_block(_DIRECT, length, taken)
    try:
        block = IPv4Network(asked)
    except ValueError as error:
        raise invalid(f"Invalid value: {asked}", field=field) from error
    if block.prefixlen > length or any(block.overlaps(t) for t in taken):
        raise invalid(f"Invalid value: {asked}", field=field)
    return block


def place(instance: types.Instance, zones: list[str], block: IPv4Network) -> None:
    """Give an instance its zones, nodes and endpoints."""
    first = instance.location_id = instance.location_id or zones[0]
    others = [z for z in zones if z != first]
    if instance.alternative_location_id:
        others.sort(key=lambda zone: zone != instance.alternative_location_id)
    elif instance.tier == types.Instance.Tier.STANDARD_HA and others:
        instance.alternative_location_id = others[0]
    instance.current_location_id = instance.current_location_id or first
    around = [first, *others]
    instance.nodes = [
        types.NodeInfo(id=f"node-{i}", zone=around[i % len(around)])
        for i in range(instance.replica_count + 1)
    ]
    if instance.current_location_id not in around[: len(instance.nodes)]:
        instance.current_location_id = first  # the replica that had taken over is gone
    tls = instance.transit_encryption_mode
    instance.port = (
        TLS_PORT
        if tls == types.Instance.TransitEncryptionMode.SERVER_AUTHENTICATION
        else PLAIN_PORT
    )
    instance.host = host_in(block, 4)
    if instance.read_replicas_mode == types.Instance.ReadReplicasMode.READ_REPLICAS_ENABLED:
        instance.read_endpoint = host_in(block, 5)
        instance.read_endpoint_port = instance.port


def auth_string(cloud: Cloud, name: str) -> str:
    """A new AUTH string, of a UUID's form as Google's."""
    text = cloud.new_id(f"redis.auth/{name}")
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def certificate(cloud: Cloud, name: str) -> types.TlsCertificate:
    """The authority that an instance with TLS shows; its key follows from seed and name."""
    # Only here: few ask for it, and it imports much.
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import NameOID

    digest = hashlib.blake2s(cloud.new_id(f"redis.certificate/{name}").encode()).digest()
    key = Ed25519PrivateKey.from_private_bytes(digest)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Google, Inc"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Google Cloud Memorystore Redis Server CA"),
        ]
    )
    begins = datetime.fromtimestamp(int(cloud.clock.now()), UTC)
    serial = int.from_bytes(digest[:8]) >> 1
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(begins + _YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
    )
    made: Any = types.TlsCertificate(
        serial_number=str(serial),
        cert=built.public_bytes(serialization.Encoding.PEM).decode(),
        create_time=begins,
        expire_time=begins + _YEARS,
        sha1_fingerprint=hashlib.sha1(
            built.public_bytes(serialization.Encoding.DER), usedforsecurity=False
        ).hexdigest(),
    )
    return made
