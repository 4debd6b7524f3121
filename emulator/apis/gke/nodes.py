"""Nodes of a pool: their names, addresses and ids, the same on every start with one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emulator.apis.gke.model import NodePool

# What GKE draws the last characters of a node's name from.
_ALPHABET = "0123456789bcdfghjklmnpqrstvwxz"
_STEP = 524_287
SPOT_LABEL: Final = "cloud.google.com/gke-spot"


@dataclass(frozen=True, slots=True)
class GkeNode:
    """One host (VM) of a node pool.

    Attributes:
        tier: tier label; "" for a pool of no tier.
        ordinal: number in its pool; on a multi-host slice the TPU worker's id.
        slice_name: the slice it belongs to: its pool for multi-host, itself for single-host.
        chips: TPU chips on it; 0 without.
        ready_at: Unix seconds since which it is Ready; None while it comes up.
        deleting: cordoned, on its way out.
    """

    name: str
    pool: str
    cluster: str
    tier: str
    zone: str
    ordinal: int
    slice_name: str
    machine_type: str
    generation: str
    topology: str
    chips: int
    internal_ip: str
    instance_id: int
    created_at: float
    ready_at: float | None
    deleting: bool = False

    @property
    def ready(self) -> bool:
        """Whether its kubelet reports Ready."""
        return self.ready_at is not None

    @property
    def leader(self) -> bool:
        """Whether it answers for its slice (worker 0, or a single-host slice)."""
        return self.slice_name == self.name or self.ordinal == 0


def group_hash(cluster: str, pool: str) -> str:
    """The eight hexadecimal digits in the names of a pool's instance group and nodes."""
    return hashlib.blake2s(f"{cluster}/{pool}".encode(), digest_size=4).hexdigest()


def make_nodes(
    pool: NodePool, ordinals: Iterable[int], seed: int, created_at: float, ready_at: float | None
) -> Iterator[GkeNode]:
    """The pool's nodes of those ordinals."""
    multi = pool.multi_host
    prefix = f"gke-{pool.cluster}-{pool.name}-{group_hash(pool.cluster, pool.name)}"
    for ordinal in ordinals:
        digest = hashlib.blake2s(f"{seed}/{pool.name}/{ordinal}".encode(), digest_size=16).digest()
        name = f"{prefix}-{_suffix(pool.name, seed, ordinal)}"
        yield GkeNode(
            name=name,
            pool=pool.name,
            cluster=pool.cluster,
            tier=pool.tier,
            zone=pool.zone,
            ordinal=ordinal,
            slice_name=pool.name if multi else name,
            machine_type=pool.machine_type,
            generation=pool.generation.name if pool.generation else "",
            topology=pool.topology,
            chips=pool.chips_per_node,
            internal_ip=_address(pool.network, ordinal),
            instance_id=int.from_bytes(digest[4:11]) | 1,
            created_at=created_at,
            ready_at=ready_at,
        )


def _suffix(pool: str, seed: int, ordinal: int) -> str:
    """Four characters that look drawn by lot and differ for every ordinal of a pool.

    The step has no factor in common with the number of suffixes, so it visits each once.
    """
    base = len(_ALPHABET)
    start = int.from_bytes(hashlib.blake2s(f"{seed}/{pool}".encode(), digest_size=6).digest())
    value = (start + ordinal * _STEP) % base**4
    return "".join(_ALPHABET[value // base**i % base] for i in range(4))


def _address(network: int, ordinal: int) -> str:
    """An address in 10.0.0.0/8; each pool has a block of 1,024."""
    value = network * 1024 + ordinal + 2
    return f"10.{(value >> 16) & 255}.{(value >> 8) & 255}.{value & 255}"
