"""State of the Cloud TPU API: nodes by name, and what each zone offers.

Its nodes are TPU VMs of their own; hosts of GKE node pools are no TPU nodes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final

from core import tpu
from emulator.context import Cloud
from emulator.operations import Job
from emulator.scenario import TIER_LABEL

# Runtime versions per generation, from Google's runtimes page; TPU7x has none.
RUNTIMES: Final = (
    "tpu-ubuntu2204-base",
    "v2-alpha-tpuv5",
    "v2-alpha-tpuv5-lite",
    "v2-alpha-tpuv6e",
)
# Lifecycle: verb → (state it starts from, state meanwhile, state after, simulated seconds).
LIFECYCLE: Final = {
    "stop": ("READY", "STOPPING", "STOPPED", 60.0),
    "start": ("STOPPED", "STARTING", "READY", 150.0),
}
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

    def put(self, name: str, state: str) -> TpuVm:
        """Give a node another state."""
        self.nodes[name] = replace(self.nodes[name], state=state)
        return self.nodes[name]


def begin(cloud: Cloud, state: TpuState, name: str, verb: str, data: dict[str, object]) -> Job:
    """Begin "stop" or "start"; the caller has checked the node's state.

    When done the log gets "tpu.node.stopped" or "tpu.node.started", with slices before and after.
    """
    _, meanwhile, after, duration_s = LIFECYCLE[verb]
    node = state.put(name, meanwhile)

    def effect() -> None:
        state.put(name, after)
        running = after == "READY"
        kind = "tpu.node.started" if running else "tpu.node.stopped"
        cloud.changed(kind, name, node.tier, before=int(not running), after=int(running))

    parent = name.rsplit("/nodes/", 1)[0]
    operation = f"{parent}/operations/operation-{operation_id(cloud, name, verb)}"
    return cloud.operations.start(operation, "tpu", name, duration_s, effect, data)


def operation_id(cloud: Cloud, name: str, verb: str) -> str:
    """An id as Google's: milliseconds, then hexadecimal groups that follow from the seed."""
    count = len(cloud.operations.of("tpu"))
    digest = hashlib.blake2s(f"{cloud.seed}/{name}/{verb}/{count}".encode(), digest_size=10)
    text = digest.hexdigest()
    return f"{int(cloud.clock.now() * 1000)}-{text[:4]}-{text[4:12]}-{text[12:]}"


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
