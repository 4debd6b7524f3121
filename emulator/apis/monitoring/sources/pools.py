"""GKE's own metrics of node pools: status, and whether a multi-host slice is whole."""

from __future__ import annotations

from typing import Final

import numpy as np

from emulator.apis.gke.model import NodePool
from emulator.apis.monitoring.block import Block, Gap
from emulator.apis.monitoring.columns import table
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.world.noise import Floats, Ints
from emulator.world.parts import PartKind

RESOURCE: Final = "k8s_node_pool"


def status_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """kubernetes.io/node_pool/status: true under the label of the state the pool is in now."""
    pools = _pools(telemetry)
    return [_block(telemetry, pools, {"status": [p.status for p in pools]})] if pools else []


def available_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """kubernetes.io/node_pool/multi_host/available: false while a host of the slice is missing."""
    pools = [p for p in _pools(telemetry) if p.multi_host]
    if not pools:
        return []
    gaps: list[Gap] = []
    for part in telemetry.world.parts:
        if part.kind is not PartKind.GKE:
            continue
        names = list(dict.fromkeys(h.pool for h in telemetry.hosts(part)))
        for event in telemetry.events(part):
            if event.target is not None and event.target < len(names):
                rows = np.array([p.name == names[event.target] for p in pools])
                gaps.append(Gap(rows, event.start, event.end, 0.0))
    block = _block(telemetry, pools, {})
    return [Block(RESOURCE, block.labels, block.coefficients, block.basis, tuple(gaps))]


def _pools(telemetry: Telemetry) -> list[NodePool]:
    with telemetry.cloud.lock:
        return list(telemetry.cloud.fleet.pools())


def _block(telemetry: Telemetry, pools: list[NodePool], metric: dict[str, list[str]]) -> Block:
    project = telemetry.cloud.project
    labels = table(
        len(pools),
        resource={
            "project_id": project.id,
            "location": project.cluster_location,
            "cluster_name": [p.cluster for p in pools],
            "node_pool_name": [p.name for p in pools],
        },
        metric=metric,
    )
    return Block(RESOURCE, labels, np.ones((len(pools), 1)), _true)


def _true(minutes: Ints) -> Floats:
    return np.ones((1, minutes.size))
