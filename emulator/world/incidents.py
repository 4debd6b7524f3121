"""What went wrong or was changed, with the truth about it: cause, start, end, whom it hit.

Incidents follow the calendar (one in each block of five days, kinds in turn), so that thirty days
hold each kind once whenever they are looked at. Scale events of the past are anchored to the day
on which the emulator was started, since the fleet must stand as the scenario says by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from emulator.log import Change
from emulator.world.noise import Floats, stream, uniform, unit
from emulator.world.parts import Part, PartKind

DAY_S: Final = 86_400
BLOCK_S: Final = 5 * DAY_S
# Kinds of changes with which somebody brings an incident about, and ends it.
FAULT_BEGAN: Final = "fault.began"
FAULT_ENDED: Final = "fault.ended"
_OPEN_S: Final = 3650 * DAY_S
QUIET_BEFORE_S: Final = 2 * 3600
QUIET_AFTER_S: Final = 6 * 3600


@dataclass(frozen=True, slots=True)
class Event:
    """One incident or scale event; times in Unix seconds, [start, end).

    Attributes:
        part: key of the part that it hit, e.g. "medium/gke".
        target: index of the host or slice that it hit; None when the whole part.
        slow: factor on the engines' step and prompt times.
        demand: factor on arrivals.
        error_ratio: share of accepted requests that fail with a server error on top of the usual.
        slices_lost: slices that serve nothing meanwhile.
        billed: whether lost slices are still paid for.
        chips: what the target's chips show meanwhile: "normal", "idle" or "absent".
        hosts: what the target's hosts are meanwhile (story.Hosts); "": as the kind says.
        workers: how many of the target's hosts; 0: all. The others wait for them.
        ramp_s: until factors and errors have their whole weight.
        moves_to, moves_share: part to which clients take so many of their requests.
        hot_share: share of the part's arrivals that its `hot_slice` gets, whatever the others do.
        cache_hits: share of prompt tokens in the prefix cache on top of the usual.
        loads_slower: factor on how long a server that starts takes to load its weights.
        quality_drop: share of all tasks that answers no longer solve.
        revision: of the server on the target's hosts; "": the usual.
        model: the one deployed model whose requests it hits; "": all.
    """

    id: str
    kind: str
    part: str
    start: float
    end: float
    cause: str
    target: int | None = None
    slow: float = 1.0
    demand: float = 1.0
    error_ratio: float = 0.0
    slices_lost: int = 0
    billed: bool = True
    chips: str = "normal"
    hosts: str = ""
    workers: int = 0
    ramp_s: float = 300.0
    moves_to: str = ""
    moves_share: float = 0.0
    hot_slice: int | None = None
    hot_share: float = 0.0
    cache_hits: float = 0.0
    loads_slower: float = 1.0
    quality_drop: float = 0.0
    revision: str = ""
    model: str = ""

    @property
    def tier(self) -> str:
        """Name of the tier that it hit."""
        return self.part.split("/")[0]

    def weight(self, clock: Floats) -> Floats:
        """How far it has developed at each Unix time, 0–1: ramps at both ends."""
        ramp = max(min(self.ramp_s, (self.end - self.start) / 4), 1.0)
        rise = np.clip((clock - self.start) / ramp, 0.0, 1.0)
        fall = np.clip((self.end - clock) / ramp, 0.0, 1.0)
        return np.minimum(rise, fall)


@dataclass(frozen=True, slots=True)
class Kind:
    """A recurring kind of incident; `minutes` is its shortest length, up to half longer."""

    name: str
    tier: str
    minutes: int
    cause: str
    slow: float = 1.0
    demand: float = 1.0
    error_ratio: float = 0.0
    slices_lost: int = 0
    billed: bool = True
    chips: str = "normal"


KINDS: Final = (
    Kind("slow_decode", "medium", 60, "an engine image without the fused attention kernel was"
         " rolled out, then rolled back", slow=2.2),
    Kind("chip_fault", "small", 200, "an uncorrectable HBM error took one host's chips out until"
         " the host was repaired", slices_lost=1, chips="absent"),
    Kind("traffic_burst", "small", 35, "a client retried without back-off", demand=1.9),
    Kind("slice_preempted", "medium", 45, "maintenance preempted one slice; its node pool was"
         " created again", slices_lost=1, billed=False, chips="absent"),
    Kind("server_errors", "small", 20, "a truncated weights object made restarted servers fail"
         " their first requests", error_ratio=0.06),
    Kind("host_drained", "small", 150, "one host was drained for a kernel update and stood idle",
         slices_lost=1, chips="idle"),
)  # fmt: skip


def incidents(
    parts: tuple[Part, ...], seed: int, origin: float, start: float, end: float
) -> Iterator[Event]:
    """Incidents that touch [start, end), oldest first.

    None touches the time from two hours before the emulator's start (`origin`) to six hours
    after it, so that a freshly started console shows a calm fleet.
    """
    by_tier = {p.tier: p for p in parts if p.kind is PartKind.GKE and p.slices}
    for block in range(int(start // BLOCK_S) - 1, int(end // BLOCK_S) + 1):
        kind = KINDS[(block + seed) % len(KINDS)]
        part = by_tier.get(kind.tier)
        if part is None:
            continue
        event = _event(kind, part, seed, block)
        quiet = event.start < origin + QUIET_AFTER_S and event.end > origin - QUIET_BEFORE_S
        if not quiet and event.start < end and event.end > start:
            yield event


def _event(kind: Kind, part: Part, seed: int, block: int) -> Event:
    draw = uniform(stream(seed, "incident", kind.name), block)
    longer = unit(seed, "incident length", kind.name, block)
    length_s = 60 * int(kind.minutes * (1.0 + 0.5 * longer))
    begin = block * BLOCK_S + 60 * int(float(draw) * (BLOCK_S - length_s) / 60)
    targeted = kind.slices_lost > 0
    which = int(unit(seed, "incident target", block) * part.slices) if targeted else None
    return Event(
        id=f"{kind.name}-{block}", kind=kind.name, part=part.key, start=float(begin),
        end=float(begin + length_s), cause=kind.cause, target=which, slow=kind.slow,
        demand=kind.demand, error_ratio=kind.error_ratio, slices_lost=kind.slices_lost,
        billed=kind.billed, chips=kind.chips,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Growth:
    """A scale-up of the past: before `at` the part had `slices` fewer than the scenario says."""

    part: str
    at: float
    slices: int
    cause: str


def growths(parts: tuple[Part, ...], origin: float) -> tuple[Growth, ...]:
    """Past scale-ups: `small` got its last GKE hosts at 15:30 UTC, ten days before the start."""
    midnight = origin // DAY_S * DAY_S
    return tuple(
        Growth(p.key, midnight - 10 * DAY_S + 15.5 * 3600, max(1, p.slices // 12),
               "capacity was added ahead of a launch")
        for p in parts
        if p.tier == "small" and p.kind is PartKind.GKE and p.slices > 1
    )  # fmt: skip


_BROUGHT_ABOUT: Final = {
    "slice_preempted": Kind("slice_preempted", "", 0, "a fault rule preempted the slice",
                            slices_lost=1, billed=False, chips="absent"),
    "backend_unhealthy": Kind("backend_unhealthy", "", 0, "a fault rule makes the endpoint fail"
                              " its health checks", slices_lost=1),
    "bad_model": Kind("bad_model", "", 0, "a fault rule makes a deployed model fail requests",
                      error_ratio=0.02),
}  # fmt: skip


def brought_about(changes: Iterable[Change]) -> list[Event]:
    """Incidents that fault rules brought about, in the order of the log; open ones end far off."""
    found: dict[str, Event] = {}
    for change in changes:
        if change.kind not in (FAULT_BEGAN, FAULT_ENDED):
            continue
        data = change.data
        key = f"{data['fault']}/{data['part']}/{data['target']}"
        if change.kind == FAULT_ENDED and key in found:
            event = found.pop(key)
            # Another rule may take the same name later: this one keeps its past.
            end = max(min(event.end, change.at), event.start)
            found[f"{key}@{change.at}"] = replace(event, end=end)
        elif change.kind == FAULT_BEGAN:
            found[key] = _brought(change, key)
    return list(found.values())


def _brought(change: Change, key: str) -> Event:
    data, kind = change.data, _BROUGHT_ABOUT[str(change.data["incident"])]
    start, end, target = data["start"], data["end"], data["target"]
    begin = float(start) if isinstance(start, int | float) else change.at
    if kind.error_ratio:  # shares of requests are the minutes': it has the whole of its first one
        begin = begin // 60 * 60.0
    return Event(
        id=f"{kind.name}-{key}", kind=kind.name, part=str(data["part"]), start=begin,
        end=float(end) if isinstance(end, int | float) else begin + _OPEN_S, cause=kind.cause,
        target=target if isinstance(target, int) else None, slices_lost=kind.slices_lost,
        billed=kind.billed, chips=kind.chips, error_ratio=kind.error_ratio,
        ramp_s=0.0 if kind.error_ratio else 300.0, model=str(data.get("model", "")),
    )  # fmt: skip
