"""Names of what runs in the clusters: namespaces, workloads and pods; pure, so that all agree.

Monitoring's series, load balancer and world may ask here for the pod that runs on a node.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emulator.apis.gke.nodes import GkeNode

SERVER_PORT: Final = 8000
# What Kubernetes draws generated suffixes from.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SPACE: Final = uuid.UUID("6f9f1c2e-4c0f-5a54-9a53-0f2b6f0b7c11")


def namespace_of(tier: str) -> str:
    """The namespace that a tier's workload runs in."""
    return tier


def workload_of(tier: str) -> str:
    """Name of a tier's Deployment or LeaderWorkerSet."""
    return f"hw-{tier}-server"


def template_hash(tier: str) -> str:
    """The pod template hash in the names of a Deployment's ReplicaSet and pods."""
    return hashlib.blake2s(workload_of(tier).encode(), digest_size=5).hexdigest()


def group_index(pool: str) -> int:
    """Number of a multi-host pool's slice in its LeaderWorkerSet: the digits its name ends in."""
    digits = re.search(r"(\d+)$", pool)
    if digits:
        return int(digits[1])
    return int.from_bytes(hashlib.blake2s(pool.encode(), digest_size=2).digest())


def pod_name(node: GkeNode) -> str:
    """Name of the server pod that a TPU node runs.

    As a Deployment names them on single-host slices, as a LeaderWorkerSet does on multi-host ones
    (the leader bears its group's number, a worker its own behind that).
    """
    workload = workload_of(node.tier)
    if node.slice_name == node.name:
        return f"{workload}-{template_hash(node.tier)}-{suffix(node.name)}"
    group = f"{workload}-{group_index(node.pool)}"
    return group if node.ordinal == 0 else f"{group}-{node.ordinal}"


def suffix(text: str) -> str:
    """Five characters that look generated and follow from the text."""
    value = int.from_bytes(hashlib.blake2s(text.encode(), digest_size=6).digest())
    return "".join(_ALPHABET[value // len(_ALPHABET) ** i % len(_ALPHABET)] for i in range(5))


def uid_of(*parts: object) -> str:
    """A uid that follows from what it names."""
    return str(uuid.uuid5(_SPACE, "/".join(map(str, parts))))
