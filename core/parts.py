"""The parts of a tier: slices and hosts with their states, built from raw records.

One builder per kind of part; those in GKE are built in `core/gke_parts.py`. Which resource belongs
to which part is `core/ownership.py`; joining parts into tiers is `core/fleet.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core import ownership
from core.records import ChipReading, Endpoint, Snapshot, Source, TpuVm
from core.specs import PartSpec, TierSpec

NodeKey = tuple[str, str, str]  # location and name of the cluster ("" for TPU VMs), node
Readings = Mapping[NodeKey, Sequence[ChipReading]]


class State(StrEnum):
    """How a tier, part, slice or host stands."""

    RUNNING = "running"
    PROVISIONING = "provisioning"
    DEGRADED = "degraded"
    STOPPED = "stopped"
    EMPTY = "empty"  # a Vertex endpoint without a deployed model
    OFF = "off"  # nothing exists, and that is no error
    UNKNOWN = "unknown"  # its source was never read


@dataclass(frozen=True, slots=True)
class Count:
    """How many are wanted by the configuration, are there, and are ready; None: unknown.

    `promised`: how many more the cloud says there should be, but are not there (yet).
    """

    wanted: int
    running: int | None
    ready: int | None
    promised: int = 0


@dataclass(frozen=True, slots=True)
class FleetHost:
    """One VM with chips. `readings` holds the chips that reported, at most `chips` of them."""

    name: str
    state: State
    reason: str
    zone: str
    chips: int
    readings: tuple[ChipReading, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetSlice:
    """One slice. `hosts` is empty where the cloud hides them (Vertex) or none is registered.

    `resource` is the node pool, TPU node or endpoint that it comes from. Of its `chips`,
    `chips_absent` are promised by the cloud, but no machine with them is there.
    """

    name: str
    resource: str
    state: State
    reason: str
    chips: int
    hosts: tuple[FleetHost, ...]
    spot: bool = False
    chips_absent: int = 0

    @property
    def chips_there(self) -> int:
        """Chips that run, or could at once."""
        return self.chips - self.chips_absent


@dataclass(frozen=True, slots=True)
class FleetPart:
    """One homogeneous part of a tier."""

    spec: PartSpec
    state: State
    reasons: tuple[str, ...]
    slices: tuple[FleetSlice, ...]
    slice_count: Count
    chip_count: Count


def total(values: Iterable[int | None]) -> int | None:
    """The sum; None when one of them is unknown."""
    known = tuple(values)
    return None if None in known else sum(v for v in known if v is not None)


_WORST_FIRST = (
    State.DEGRADED,
    State.PROVISIONING,
    State.UNKNOWN,
    State.EMPTY,
    State.STOPPED,
    State.RUNNING,
)


def worst(states: Iterable[State]) -> State:
    """One word for several parts; off only when all of them are off."""
    found = set(states)
    return next((s for s in _WORST_FIRST if s in found), State.OFF)


def build_part(
    spec: TierSpec, part: PartSpec, slices: tuple[FleetSlice, ...], extra: tuple[str, ...] = ()
) -> FleetPart:
    """A part whose source was read, with its state and reasons derived from its slices."""
    ready = tuple(s for s in slices if s.state is State.RUNNING)
    there = sum(s.chips_there > 0 for s in slices)
    per_slice = ownership.chips_per_slice(spec)
    hidden = any(s.state is State.UNKNOWN for s in slices)
    return FleetPart(
        spec=part,
        state=worst(s.state for s in slices),
        reasons=(*_size_reasons(part, slices, there), *_trouble_reasons(slices), *extra),
        slices=slices,
        slice_count=Count(part.slices, there, None if hidden else len(ready), len(slices) - there),
        chip_count=Count(
            part.slices * per_slice,
            sum(s.chips_there for s in slices),
            None if hidden else sum(_ready_chips(s) for s in slices),
            sum(s.chips_absent for s in slices),
        ),
    )


def _ready_chips(piece: FleetSlice) -> int:
    """Chips on ready hosts; of a slice with hidden hosts all or none."""
    if not piece.hosts:
        return piece.chips if piece.state is State.RUNNING else 0
    return sum(h.chips for h in piece.hosts if h.state is State.RUNNING)


def _size_reasons(part: PartSpec, slices: tuple[FleetSlice, ...], there: int) -> tuple[str, ...]:
    promised = len(slices) - there
    if promised:
        return (f"{there} of {part.slices} slices exist, {promised} more promised",)
    return () if there == part.slices else (f"{there} of {part.slices} slices exist",)


def _trouble_reasons(slices: tuple[FleetSlice, ...]) -> tuple[str, ...]:
    unseen = [s for s in slices if s.state is State.UNKNOWN]
    if unseen:
        return (unseen[0].reason,)
    troubled = [s for s in slices if s.state is not State.RUNNING]
    if not troubled:
        return ()
    first = [f"{s.name}: {s.reason}" for s in troubled if s.reason][:3]
    return (f"{len(troubled)} of {len(slices)} slices not ready", *first)


def unknown_part(spec: TierSpec, part: PartSpec, reason: str) -> FleetPart:
    """A part whose source was never read: only what is wanted is known."""
    chips = part.slices * ownership.chips_per_slice(spec)
    return FleetPart(
        part,
        State.UNKNOWN,
        (reason,),
        (),
        Count(part.slices, None, None),
        Count(chips, None, None),
    )


_VM_STATES = {
    "READY": State.RUNNING,
    "CREATING": State.PROVISIONING,
    "STARTING": State.PROVISIONING,
    "RESTARTING": State.PROVISIONING,
    "REIMAGING": State.PROVISIONING,
    "REPAIRING": State.DEGRADED,
    "STOPPED": State.STOPPED,
    "STOPPING": State.STOPPED,
}


# No machine is there (yet, or any more); Cloud TPU bills nodes once they have been READY.
_VM_ABSENT = ("CREATING", "PREEMPTED", "TERMINATED")


def tpu_vm_part(
    spec: TierSpec,
    part: PartSpec,
    vms: tuple[TpuVm, ...] | None,
    readings: Readings,
) -> FleetPart:
    """A part of Cloud TPU API nodes: one slice each."""
    if vms is None:
        return unknown_part(spec, part, "TPU VMs have not been read yet")
    return build_part(spec, part, tuple(_vm_slice(spec, vm, readings) for vm in vms))


def _vm_slice(spec: TierSpec, vm: TpuVm, readings: Readings) -> FleetSlice:
    state = _VM_STATES.get(vm.state, State.DEGRADED)
    reason = "" if state is State.RUNNING else f"the TPU API says {vm.state}"
    if state is State.RUNNING and vm.health.startswith("UNHEALTHY"):
        state, reason = State.DEGRADED, f"health: {vm.health}"
    chips = ownership.slice_chips(spec, vm.topology)
    hosts: list[FleetHost] = []
    for index in range(vm.hosts):
        name = f"{vm.name}/{index}"  # as Cloud Monitoring's worker is named in `ChipReading.host`
        found = tuple(sorted(readings.get(("", "", name), ()), key=lambda r: r.chip))
        hosts.append(FleetHost(name, state, reason, vm.zone, chips // vm.hosts, found))
    absent = chips if vm.state in _VM_ABSENT else 0
    return FleetSlice(
        vm.name, vm.name, state, reason, chips, tuple(hosts), vm.spot, chips_absent=absent
    )


def vertex_part(
    spec: TierSpec,
    part: PartSpec,
    endpoints: tuple[Endpoint, ...] | None,
    replicas_now: int | None,
) -> FleetPart:
    """Replicas on Vertex's own nodes: the metric's number, else the declared minimum."""
    if endpoints is None:
        return unknown_part(spec, part, "Vertex endpoints have not been read yet")
    chips = ownership.chips_per_slice(spec)
    least = sum(m.replicas_min for e in endpoints for m in e.deployed)
    names = tuple(e.display_name for e in endpoints if e.deployed)
    running = replicas_now if names and replicas_now is not None else least
    slices = tuple(
        FleetSlice(
            f"{names[0]} replica {i + 1}",
            names[0],
            State.RUNNING if i < running else State.PROVISIONING,
            "" if i < running else "fewer replicas report than the declared minimum",
            chips,
            (),
            chips_absent=0 if i < running else chips,
        )
        for i in range(max(running, least))
    )
    notes: list[str] = []
    if names and replicas_now is None:
        notes.append("number of replicas is the declared minimum: no replica metric yet")
    built = build_part(spec, part, slices, tuple(notes))
    empty = tuple(e.display_name for e in endpoints if not e.deployed)
    if not names and empty:
        reason = f"{', '.join(empty)} has no deployed model: it serves nothing"
        return FleetPart(part, State.EMPTY, (reason,), (), built.slice_count, built.chip_count)
    return built


def local_part(spec: TierSpec, part: PartSpec, snapshot: Snapshot) -> FleetPart:
    """This machine: one slice, whose state is the inference server's own word."""
    server = snapshot.server
    if server is None:
        return unknown_part(spec, part, "the inference server has not answered yet")
    state = State.RUNNING if server.ready else State.PROVISIONING
    reason = "" if server.ready else server.detail
    source = snapshot.sources.get(Source.INFERENCE)
    if source is not None and source.problem is not None:  # its own silence is its state
        state, reason = State.DEGRADED, f"it does not answer now: {source.problem.message}"
    devices = max(1, len(server.devices))
    host = FleetHost(server.url, state, reason, "this machine", devices)
    piece = FleetSlice(spec.name, server.url, state, reason, devices, (host,))
    return build_part(spec, part, (piece,))
