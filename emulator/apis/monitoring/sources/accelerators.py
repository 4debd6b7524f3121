"""Accelerator metrics of chips: GKE nodes and containers, and TPU VMs."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Final

import numpy as np

from emulator.apis.monitoring.block import Basis, Block
from emulator.apis.monitoring.columns import Table, table
from emulator.apis.monitoring.sources import idle
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.scenario import TIER_LABEL
from emulator.world import chips
from emulator.world.hosts import Host
from emulator.world.noise import Floats, Ints
from emulator.world.parts import Part, PartKind
from emulator.world.uneven import Which

MAKE: Final = "cloud-tpu"
CONTAINER: Final = "server"

# Metric name → (the chips' signal, factor to the metric's unit per chip, reading while drained);
# None as factor: bytes of the chip's HBM; None as reading: no point while drained.
SIGNALS: Final[dict[str, tuple[str, float | None, float | None]]] = {
    "tensorcore_utilization": (chips.TENSORCORE, 100.0, 0.0),
    "duty_cycle": (chips.DUTY, 100.0, None),
    "memory_bandwidth_utilization": (chips.BANDWIDTH, 100.0, 0.0),
    "memory_used": (chips.MEMORY, None, 0.02),
    "memory_total": ("", None, 1.0),
}


def node_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """kubernetes.io/node/accelerator/<name>."""
    parts = _parts(telemetry, PartKind.GKE)
    own = _chips(telemetry, parts, name, "node")
    return own + idle.blocks(telemetry, name, SIGNALS[name][2], pools=True)


def container_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """kubernetes.io/container/accelerator/<name>: only where a pod runs."""
    parts = _parts(telemetry, PartKind.GKE)
    return _chips(telemetry, parts, name, "container")


def vm_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """tpu.googleapis.com/accelerator/<name>."""
    parts = _parts(telemetry, PartKind.TPU_VM)
    own = _chips(telemetry, parts, name, "vm")
    return own + idle.blocks(telemetry, name, SIGNALS[name][2], pools=False)


def _parts(telemetry: Telemetry, kind: PartKind) -> list[Part]:
    return [p for p in telemetry.world.parts if p.kind is kind]


def _chips(telemetry: Telemetry, parts: list[Part], name: str, scope: str) -> list[Block]:
    """A block for each group of hosts whose load is alike."""
    return [
        _block(telemetry, part, which, hosts, name, scope)
        for part in parts
        for which, hosts in telemetry.alike(part)
    ]


def _block(
    telemetry: Telemetry, part: Part, which: Which, hosts: list[Host], name: str, scope: str
) -> Block:
    signal, factor, drained = SIGNALS[name]
    unit = float(part.seed.gen.hbm_bytes) if factor is None else factor
    rows = np.repeat(np.arange(len(hosts)), [h.chips for h in hosts])
    numbers = np.concatenate([np.arange(h.chips) for h in hosts])
    labels = _labels(telemetry, part, hosts, rows, numbers, scope, name)
    resource = {"node": "k8s_node", "container": "k8s_container"}.get(
        scope, "tpu.googleapis.com/GceTpuWorker"
    )
    idle = None if drained is None or scope == "container" else drained * unit
    gaps = telemetry.gaps(part, hosts, rows, idle)
    if not signal:
        basis: Basis = partial(_constant, unit)
        return Block(resource, labels, np.ones((len(rows), 1)), basis, gaps)
    names = [h.name if part.kind is PartKind.GKE else f"{h.name}/{h.worker}" for h in hosts]
    weights = chips.loadings(telemetry.seed, [names[r] for r in rows], numbers.tolist())
    basis = partial(_signal, telemetry, part, which, signal, unit)
    return Block(resource, labels, weights, basis, gaps)


def _constant(value: float, minutes: Ints) -> Floats:
    return np.full((1, minutes.size), value)


def _signal(
    telemetry: Telemetry, part: Part, which: Which, signal: str, unit: float, minutes: Ints
) -> Floats:
    return unit * chips.basis(telemetry.load(part, minutes, which), signal, telemetry.seed)


def _labels(
    telemetry: Telemetry, part: Part, hosts: list[Host], rows: Ints, numbers: Ints, scope: str,
    name: str,
) -> Table:  # fmt: skip
    names = [hosts[r].name for r in rows]
    metric = {
        "make": MAKE,
        "model": part.seed.gen.gke_accelerator,
        "accelerator_id": _accelerator_ids(names, numbers, name),
    }
    if name not in ("duty_cycle", "memory_used", "memory_total"):
        metric["tpu_topology"] = part.seed.topology
    project = telemetry.cloud.project
    if scope == "vm":
        resource = {
            "resource_container": project.id,
            "location": part.seed.zone,
            "node_id": names,
            "worker_id": [str(hosts[r].worker) for r in rows],
        }
    else:
        resource = {
            "project_id": project.id,
            "location": project.cluster_location,
            "cluster_name": project.cluster,
        }
        if scope == "node":
            resource["node_name"] = names
        else:
            pods = [hosts[r].pod for r in rows]
            resource |= {
                "namespace_name": part.tier, "pod_name": pods, "container_name": CONTAINER,
            }  # fmt: skip
    user = {TIER_LABEL: part.tier}
    if scope == "node":
        user["cloud.google.com/gke-nodepool"] = [hosts[r].pool for r in rows]
    return table(len(rows), resource=resource, metric=metric, user=user)


def _accelerator_ids(names: list[str], numbers: Ints, name: str) -> list[str]:
    """The chip's number on its host; duty cycle comes with ids that join with no other metric."""
    if name != "duty_cycle":
        return [str(n) for n in numbers]
    digests = {
        n: int.from_bytes(hashlib.blake2s(n.encode(), digest_size=7).digest()) for n in set(names)
    }
    return [f"{digests[n]}-{i}" for n, i in zip(names, numbers, strict=True)]
