"""Builders of a cloud's inventory for tests: pools, hosts, chips, workloads, TPU VMs, endpoints.

Deterministic. `tests/make.py` puts them into whole Snapshots and offers them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from core.records import (
    ChipReading,
    DeployedModel,
    Endpoint,
    Host,
    KubeEvent,
    NodePool,
    Pod,
    TpuVm,
    Workload,
)
from core.specs import TIER_LABEL

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
CLUSTER = "hw-serving"
CLUSTER_LOCATION = "us-central1"


def make_pools(large: bool = False) -> Iterable[NodePool]:
    """GKE node pools of small (3 × 16 nodes), medium (64 × 4) and, if asked, large (36 × 64)."""
    shapes = [("small", "2x2x1", 3, 16), ("medium", "2x2x4", 64, 4)]
    if large:
        shapes.append(("large", "4x8x8", 36, 64))
    for tier, topology, pools, nodes in shapes:
        for i in range(pools):
            yield NodePool(
                f"hw-{tier}-{i:02d}", CLUSTER, CLUSTER_LOCATION, ("us-central1-c",),
                "tpu7x-standard-4t", topology, nodes, "RUNNING", "", "1.34.1-gke.3084001",
                {TIER_LABEL: tier, "cloud.google.com/gke-tpu-topology": topology}, etag=f"e{i}",
            )  # fmt: skip


def make_hosts(pool: NodePool) -> Iterable[Host]:
    """The pool's nodes, all ready."""
    for i in range(pool.node_count):
        yield Host(
            f"gke-{CLUSTER}-{pool.name}-{i:04d}", pool.cluster, pool.name, pool.zones[0],
            pool.machine_type, "tpu7x", pool.topology or "", 4, True, "", True,
            NOW - timedelta(days=12), pool.labels, pool.location,
        )  # fmt: skip


def make_chips(hosts: Iterable[Host], silent_every: int = 97) -> Iterable[ChipReading]:
    """Four readings per host; one host in `silent_every` sends none."""
    for i, host in enumerate(hosts):
        if i % silent_every == silent_every - 1:
            continue
        for chip in range(host.chips):
            wave = 0.55 + 0.3 * math.sin(i / 9) + 0.08 * math.sin(i * 7 + chip)
            yield ChipReading(
                host.name, str(chip), min(0.98, max(0.0, wave)), 192e9 * (0.6 + 0.1 * wave), 206e9,
                host.cluster, host.cluster_location,
            )  # fmt: skip


def make_workloads(large: bool = False) -> tuple[Workload, ...]:
    """One serving workload per GKE tier."""
    rows = [("small", "Deployment", 48), ("medium", "LeaderWorkerSet", 64)]
    if large:
        rows.append(("large", "LeaderWorkerSet", 36))
    return tuple(
        Workload(f"serve-{t}", t, CLUSTER, kind, "vllm/vllm-tpu:v0.11.1", n, n, {TIER_LABEL: t})
        for t, kind, n in rows
    )


def make_pods(hosts: Iterable[Host]) -> Iterable[Pod]:
    """One serving pod per host."""
    for i, host in enumerate(hosts):
        tier = host.labels[TIER_LABEL]
        yield Pod(
            f"serve-{tier}-{i:05d}", tier, host.cluster, host.name, "Running", True, i % 3, "", {}
        )


def make_events(now: datetime = NOW) -> tuple[KubeEvent, ...]:
    """A normal and a warning event."""
    return (
        KubeEvent(now - timedelta(minutes=4), CLUSTER, "small", "Normal", "Pulled",
                  "Pod/serve-small-00003", "Container image already present", 1),
        KubeEvent(now - timedelta(minutes=31), CLUSTER, "medium", "Warning", "Unhealthy",
                  "Pod/serve-medium-00012", "Readiness probe failed: HTTP 503", 4),
    )  # fmt: skip


def make_tpu_vm() -> TpuVm:
    """The dev tier's only slice."""
    return TpuVm("hw-dev-00", "us-central1-b", "READY", "HEALTHY", "v6e-8", "2x4",
                 "v2-alpha-tpuv6e", 1, NOW - timedelta(days=40), {TIER_LABEL: "dev"})  # fmt: skip


def make_endpoint(replicas: int = 16) -> Endpoint:
    """The Vertex part of small."""
    model = DeployedModel("7301", "llama-8b", "tpu7x-standard-4t", "2x2x1", replicas, replicas, 1.0)
    return Endpoint("4410", "hw-small-vertex", "us-central1", (model,), {TIER_LABEL: "small"})
