"""How many slices each part has at any time: the scenario, past growth, the log, incidents."""

from __future__ import annotations

import numpy as np

from emulator.log import Change
from emulator.world.incidents import Event, Growth
from emulator.world.noise import Floats, Ints
from emulator.world.parts import Part, PartKind
from emulator.world.steps import levels

_PREFIX = {PartKind.GKE: "gke.", PartKind.VERTEX: "vertex.", PartKind.TPU_VM: "tpu."}


def slice_delta(change: Change, part: Part) -> float:
    """Slices that the change adds to the part; 0 when it concerns another part or no size.

    Read from the change's data: "before" and "after", or "nodes" with a kind that ends in
    ".created" or ".deleted". GKE counts nodes (hosts), the others count slices.
    """
    if change.tier != part.tier or not change.kind.startswith(_PREFIX[part.kind]):
        return 0.0
    unit = part.seed.hosts_per_slice if part.kind is PartKind.GKE else 1
    before, after = change.data.get("before"), change.data.get("after")
    if _is_number(before) and _is_number(after):
        return (float(after or 0) - float(before or 0)) / unit
    nodes = change.data.get("nodes", unit)
    size = float(nodes) if isinstance(nodes, int | float) else float(unit)
    if change.kind.endswith(".created"):
        return size / unit
    return -size / unit if change.kind.endswith(".deleted") else 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def provisioned(
    part: Part, growths: tuple[Growth, ...], changes: tuple[Change, ...], times: Ints | Floats
) -> Floats:
    """Slices that exist (and are paid for) at each Unix time, incidents left aside; ≥ 0."""
    steps = [(0.0, float(part.slices))]
    for growth in growths:
        if growth.part == part.key:
            steps.append((0.0, -float(growth.slices)))
            steps.append((growth.at, float(growth.slices)))
    for change in changes:
        delta = slice_delta(change, part)
        if delta:
            steps.append((change.at, delta))
    steps.sort(key=lambda step: step[0])
    sums = np.cumsum([delta for _, delta in steps])
    return np.maximum(levels(zip([at for at, _ in steps], sums, strict=True), times), 0.0)


def lost(
    part: Part, events: list[Event], times: Ints | Floats, there: Floats, *, billed_only: bool
) -> Floats:
    """Slices that incidents take out at each time; of those not billed alone when asked.

    `there`: slices that exist at each time; what is not there cannot be lost, nor anything twice.
    """
    clock = np.asarray(times, dtype=np.float64)
    total = np.zeros(clock.shape)
    by_target: dict[int | None, list[Event]] = {}
    for event in events:
        if event.part == part.key and event.slices_lost and not (billed_only and event.billed):
            by_target.setdefault(event.target, []).append(event)
    for target, hits in by_target.items():
        gone = np.zeros(clock.shape)
        for event in hits:
            during = (clock >= event.start) & (clock < event.end)
            gone = np.maximum(gone, event.slices_lost * during)
        total += gone if target is None else gone * (target < there)
    return total
