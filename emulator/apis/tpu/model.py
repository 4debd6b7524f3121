"""State of the Cloud TPU API: nodes by name, and what each zone offers.

Its nodes are TPU VMs of their own; hosts of GKE node pools are no TPU nodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

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
CREATE_S: Final = 180.0
DELETE_S: Final = 90.0
UPDATE_S: Final = 20.0
# Chips that there are in zones of little stock.
STOCK: Final = {("v6e", "us-east5-b"): 8}
_TYPE_PREFIX: Final = {"V6E": "v6e", "V5P": "v5p", "V5LITE_POD": "v5litepod"}


@dataclass(frozen=True, slots=True)
class TpuVm:
    """One node of the Cloud TPU API.

    Attributes:
        given: the Node of a caller's request; None for the scenario's.
        queued: name of the queued resource that made it.
        founding: 1 when it was there before the log began.
    """

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
    given: Any = None
    queued: str = ""
    founding: int = 0

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


@dataclass(slots=True)
class Queued:
    """One queued resource.

    Attributes:
        given: the QueuedResource of the request.
        nodes: full names of the nodes that it is to make.
        state: CREATING, ACCEPTED, WAITING_FOR_RESOURCES, PROVISIONING, ACTIVE, SUSPENDING,
            SUSPENDED, DELETING or FAILED.
        initiator: "USER" or "SERVICE", who brought about the state.
    """

    name: str
    given: Any
    nodes: list[str]
    created_at: float
    state: str = "CREATING"
    initiator: str = "SERVICE"


@dataclass
class TpuState:
    """All nodes; those deleted, whose past stays in series and bill; queued resources by name."""

    nodes: dict[str, TpuVm] = field(default_factory=dict)
    retired: dict[str, TpuVm] = field(default_factory=dict)
    queued: dict[str, Queued] = field(default_factory=dict)

    def put(self, name: str, state: str) -> TpuVm:
        """Give a node another state."""
        self.nodes[name] = replace(self.nodes[name], state=state)
        return self.nodes[name]


def begin(cloud: Cloud, state: TpuState, name: str, verb: str, data: dict[str, object]) -> Job:
    """Begin "stop" or "start"; the caller has checked the node's state.

    When done the log gets "tpu.node.stopped" or "tpu.node.started", with slices before and after.
    """
    _, meanwhile, after, duration_s = LIFECYCLE[verb]
    node = state.nodes[name]
    state.put(name, meanwhile)

    def effect() -> None:
        state.put(name, after)
        running = after == "READY"
        kind = "tpu.node.started" if running else "tpu.node.stopped"
        cloud.changed(kind, name, node.tier, before=int(not running), after=int(running))

    parent = name.rsplit("/nodes/", 1)[0]
    operation = f"{parent}/operations/operation-{operation_id(cloud, name, verb)}"

    def fail() -> None:
        state.put(name, node.state)

    return cloud.operations.start(operation, "tpu", name, duration_s, effect, data, undo=fail)


def add(cloud: Cloud, state: TpuState, node: TpuVm, data: dict[str, Any]) -> Job:
    """Begin to make a node: CREATING, then READY; without stock the operation fails and it goes."""
    past = state.retired.pop(node.full_name, None)
    node = replace(node, state="CREATING", founding=past.founding if past else 0)
    state.nodes[node.full_name] = node
    short = lacking(state, node)
    name = node.full_name

    def fail() -> str:
        state.nodes.pop(name, None)
        if past is not None:
            state.retired[name] = past
        return (
            f'There is no more capacity in the zone "{node.zone}"; you can try in another zone '
            "where Cloud TPU Nodes are offered."
        )

    def effect() -> None:
        if short:
            job.error = ("RESOURCE_EXHAUSTED", fail())
            return
        state.put(name, "READY")
        cloud.changed("tpu.node.created", name, node.tier, before=0, after=1)

    job = _start(cloud, node, "create", CREATE_S, effect, data, fail)
    return job


def remove(cloud: Cloud, state: TpuState, node: TpuVm, data: dict[str, Any]) -> Job:
    """Begin to delete a node; a queued resource whose last node goes is suspended."""
    name, was = node.full_name, node.state
    state.put(name, "DELETING")

    def effect() -> None:
        state.retired[name] = state.nodes.pop(name)
        cloud.changed("tpu.node.deleted", name, node.tier, before=int(was == "READY"), after=0)
        queued = state.queued.get(node.queued)
        if queued and queued.state == "SUSPENDING" and not set(queued.nodes) & set(state.nodes):
            queued.state = "SUSPENDED"

    queued = state.queued.get(node.queued)
    before = (queued.state, queued.initiator) if queued else ("", "")
    suspending = queued is not None and before[0] in ("ACTIVE", "PROVISIONING")
    if queued and suspending:
        queued.state, queued.initiator = "SUSPENDING", "USER"

    def fail() -> None:
        state.put(name, was)
        if queued and suspending and queued.state == "SUSPENDING":
            queued.state, queued.initiator = before

    return _start(cloud, node, "delete", DELETE_S, effect, data, fail)


def alter(cloud: Cloud, state: TpuState, node: TpuVm, data: dict[str, Any]) -> Job:
    """Begin to write a node as it is given."""

    def effect() -> None:
        state.nodes[node.full_name] = node

    return _start(cloud, node, "update", UPDATE_S, effect, data)


def lacking(state: TpuState, node: TpuVm) -> bool:
    """Whether the zone has too few chips for the node, which is among the nodes already."""
    stock = STOCK.get((node.generation.name, node.zone))
    return stock is not None and chips_in(state, node.generation, node.zone) > stock


def chips_in(state: TpuState, generation: tpu.Generation, zone: str) -> int:
    """Chips of the generation that the zone's nodes have."""
    return sum(
        tpu.chips(n.topology)
        for n in state.nodes.values()
        if n.generation == generation and n.zone == zone
    )


def _start(
    cloud: Cloud,
    node: TpuVm,
    verb: str,
    seconds: float,
    effect: Callable[[], None],
    data: dict[str, Any],
    undo: Callable[[], str | None] | None = None,
) -> Job:
    name = node.full_name
    parent = name.rsplit("/nodes/", 1)[0]
    operation = f"{parent}/operations/operation-{operation_id(cloud, name, verb)}"
    return cloud.operations.start(operation, "tpu", name, seconds, effect, data, undo=undo)


def operation_id(cloud: Cloud, name: str, verb: str) -> str:
    """An id as Google's: milliseconds, then hexadecimal groups that follow from the seed."""
    text = cloud.new_id(f"tpu.operation/{name}/{verb}", 10)
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
                founding=1,
            )
            state.nodes[node.full_name] = node
    return state
