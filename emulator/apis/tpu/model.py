"""State of the Cloud TPU API: nodes by name, and what each zone offers.

Its nodes are TPU VMs of their own; hosts of GKE node pools are no TPU nodes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from core import tpu
from emulator.context import Cloud
from emulator.scenario import TIER_LABEL

# Runtime versions per generation, from Google's runtimes page; TPU7x has none.
RUNTIMES: Final = (
    "tpu-ubuntu2204-base",
    "v2-alpha-tpuv5",
    "v2-alpha-tpuv5-lite",
    "v2-alpha-tpuv6e",
)
_TYPE_PREFIX: Final = {"V6E": "v6e", "V5P": "v5p", "V5LITE_POD": "v5litepod"}


@dataclass(frozen=True, slots=True)
class TpuVm:
    """One node of the Cloud TPU API."""

    project: str
    zone: str
    name: str
    generation: tpu.Generation
    topology: str
    tier: str
    created_at: float
    state: str = "READY"
    health: str = "HEALTHY"
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def full_name(self) -> str:
        """projects/…/locations/…/nodes/…"""
        return f"projects/{self.project}/locations/{self.zone}/nodes/{self.name}"

    @property
    def accelerator_type(self) -> str:
        """E.g. "v6e-8"; v5p counts TensorCores, the others chips."""
        return accelerator_type(self.generation, self.topology)

    @property
    def number(self) -> int:
        """The node's numeric id."""
        return int.from_bytes(hashlib.blake2s(self.full_name.encode(), digest_size=7).digest())


def accelerator_type(generation: tpu.Generation, topology: str) -> str:
    """The Cloud TPU API's name of a slice shape."""
    chips = tpu.chips(topology)
    count = chips * 2 if generation.name == "v5p" else chips
    return f"{_TYPE_PREFIX[generation.tpu_api_type or '']}-{count}"


def generations_in(zone: str) -> list[tpu.Generation]:
    """Generations that the Cloud TPU API offers in the zone."""
    return [g for g in tpu.GENERATIONS.values() if g.tpu_api_type and zone in g.zones]


def zones() -> list[str]:
    """Every zone in which the Cloud TPU API offers something."""
    return sorted({z for g in tpu.GENERATIONS.values() if g.tpu_api_type for z in g.zones})


@dataclass
class TpuState:
    """All nodes."""

    nodes: dict[str, TpuVm] = field(default_factory=dict)


def initial_state(cloud: Cloud) -> TpuState:
    """The scenario's nodes."""
    state = TpuState()
    for seed in cloud.scenario.tiers:
        for index in range(seed.tpu_vms):
            node = TpuVm(
                project=cloud.project.id,
                zone=seed.zone,
                name=f"hw-{seed.name}-{index:02d}",
                generation=seed.gen,
                topology=seed.topology,
                tier=seed.name,
                created_at=cloud.clock.epoch(),
                labels=((TIER_LABEL, seed.name),),
            )
            state.nodes[node.full_name] = node
    return state
