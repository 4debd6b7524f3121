"""Accelerator metrics of chips that no tier of the scenario has: pools and TPU VMs of callers.

No traffic is routed to them, so their chips idle: nothing is computed, little memory is held, and,
as on real idle chips, the duty cycle has no points.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from core import tpu
from emulator.apis.monitoring.block import Block, Gap
from emulator.apis.monitoring.columns import table
from emulator.apis.monitoring.fleet import strays_of
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.scenario import TIER_LABEL
from emulator.world.bill import Stray
from emulator.world.noise import Floats, Ints

MAKE: Final = "cloud-tpu"
_POOL: Final = "goog-k8s-node-pool-name"


def blocks(telemetry: Telemetry, name: str, reading: float | None, *, pools: bool) -> list[Block]:
    """The metric's series of GKE pools, or of TPU VMs.

    Args:
        reading: value of an idle chip, as a share of its HBM for the memory metrics; None: none.
    """
    if reading is None:
        return []
    strays = strays_of(telemetry.cloud, telemetry.world)
    chosen = [s for s in strays if (_POOL in s.labels) == pools and s.hosts]
    return [_block(telemetry, s, name, reading) for s in chosen]


def _block(telemetry: Telemetry, stray: Stray, name: str, reading: float) -> Block:
    generation = tpu.GENERATIONS[stray.generation]
    of_memory = name in ("memory_used", "memory_total")
    value = reading * generation.hbm_bytes if of_memory else reading
    hosts = stray.hosts
    rows = np.repeat(np.arange(len(hosts)), [h.chips for h in hosts])
    numbers = [str(n) for h in hosts for n in range(h.chips)]
    metric = {"make": MAKE, "model": generation.gke_accelerator, "accelerator_id": numbers}
    user = {TIER_LABEL: stray.labels.get(TIER_LABEL, "")}
    project = telemetry.cloud.project
    if _POOL in stray.labels:
        kind = "k8s_node"
        resource = {
            "project_id": project.id, "location": stray.labels["goog-k8s-cluster-location"],
            "cluster_name": stray.labels["goog-k8s-cluster-name"],
            "node_name": [hosts[r].name for r in rows],
        }  # fmt: skip
        user["cloud.google.com/gke-nodepool"] = stray.labels[_POOL]
    else:
        kind = "tpu.googleapis.com/GceTpuWorker"
        resource = {
            "resource_container": project.id, "location": stray.zone, "node_id": stray.name,
            "worker_id": [str(hosts[r].worker) for r in rows],
        }  # fmt: skip
    labels = table(len(rows), resource=resource, metric=metric, user=user)
    return Block(kind, labels, np.ones((len(rows), 1)), partial(_level, value), _gaps(stray, rows))


def _level(value: float, minutes: Ints) -> Floats:
    return np.full((1, minutes.size), value)


def _gaps(stray: Stray, rows: Ints) -> tuple[Gap, ...]:
    """No points while a host was not there."""
    spans: dict[tuple[float, float], list[int]] = {}
    for number, host in enumerate(stray.hosts):
        for span in host.absences:
            spans.setdefault(span, []).append(number)
    return tuple(Gap(np.isin(rows, members), *span) for span, members in spans.items())
