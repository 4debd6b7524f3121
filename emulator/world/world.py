"""The world's face: any part's load over any minutes, its size, its events.

Pure in (scenario, seed, origin, log, time). Chips stand in chips.py, money in bill.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from emulator.log import ActionLog, Change
from emulator.scenario import Scenario
from emulator.world import (
    autoscaling,
    capacity,
    demand,
    incidents,
    models,
    quality,
    routing,
    stories,
)
from emulator.world.incidents import Event
from emulator.world.load import Load, solve
from emulator.world.noise import Floats, Ints
from emulator.world.parts import Part, PartKind, parts_of
from emulator.world.roofline import engine_of
from emulator.world.uneven import Which, together

if TYPE_CHECKING:
    from emulator.context import Cloud


def minutes_between(start: float, end: float) -> Ints:
    """Indexes of the whole minutes in [start, end): Unix time // 60."""
    return np.arange(int(np.ceil(start / 60)), int(end // 60), dtype=np.int64)


def world_of(cloud: Cloud) -> World:
    """The project's own world."""
    return cloud.store(
        World, lambda: World(cloud.scenario, cloud.log, cloud.seed, cloud.clock.started_at)
    )


class World:
    """One consistent world; safe for threads, since it keeps no state of its own but a cache.

    Args:
        origin: Unix time at which the emulator was started: history ends there and the fleet
            stands as the scenario says.
    """

    def __init__(
        self, scenario: Scenario, log: ActionLog, seed: int = 0, origin: float | None = None
    ) -> None:
        self.scenario = scenario
        self.log = log
        self.seed = seed
        self.origin = time.time() if origin is None else origin
        self.parts = parts_of(scenario)
        self.engines = {part.key: engine_of(part.seed) for part in self.parts}
        self._faults: tuple[int, list[Event]] = (0, [])
        self.growths = incidents.growths(self.parts, self.origin)

    def part(self, key: str) -> Part:
        """The part of that key; KeyError when there is none."""
        for part in self.parts:
            if part.key == key:
                return part
        raise KeyError(key)

    def incidents(self, start: float, end: float) -> list[Event]:
        """Incidents that touch [start, end), oldest first."""
        found = list(incidents.incidents(self.parts, self.seed, self.origin, start, end))
        caused = [e for e in self._caused() if e.start < end and e.end > start]
        return sorted([*found, *caused], key=lambda event: event.start) if caused else found

    def _caused(self) -> list[Event]:
        """What fault rules and stories brought about; read again when the log has grown."""
        version = self.log.version
        if self._faults[0] != version:
            changes = self.log.changes()
            found = incidents.brought_about(changes)
            for running in stories.begun(changes):
                found.extend(stories.events(running, self.parts, self.seed))
            self._faults = (version, found)
        return self._faults[1]

    def events(self, start: float, end: float) -> list[Event]:
        """All that happened in [start, end), oldest first: incidents, scale-ups, logged changes."""
        found = self.incidents(start, end)
        for growth in self.growths:
            if start <= growth.at < end:
                found.append(
                    Event("growth-" + growth.part, "scale_up", growth.part, growth.at, growth.at,
                          growth.cause)
                )  # fmt: skip
        for change in self.log.changes():
            if start <= change.at < end:
                found.append(self._logged(change))
        return sorted(found, key=lambda event: event.start)

    def _logged(self, change: Change) -> Event:
        part = next(
            (p.key for p in self.parts if capacity.slice_delta(change, p)), f"{change.tier}/"
        )
        return Event(
            id=f"{change.kind}@{change.at:.3f}", kind=change.kind, part=part, start=change.at,
            end=change.at, cause=f"changed by a caller: {change.resource}",
        )  # fmt: skip

    def slices(self, part: Part, times: Ints | Floats) -> Floats:
        """Slices that exist at each Unix time, whether they serve or not."""
        there = capacity.provisioned(part, self.growths, self.log.changes(part.tier), times)
        most = part.seed.vertex_most if part.kind is PartKind.VERTEX else 0
        if not (most and there.size):
            return there
        minutes = (np.asarray(times) // 60).astype(np.int64)
        return autoscaling.running(
            self.engines[part.key], self._arrivals(part, minutes), there, most, minutes
        )

    def wanted_slices(self, part: Part, times: Ints | Floats) -> Floats:
        """Slices that somebody or an autoscaler asks for at each Unix time."""
        there = capacity.provisioned(part, self.growths, self.log.changes(part.tier), times)
        most = part.seed.vertex_most if part.kind is PartKind.VERTEX else 0
        if not (most and there.size):
            return there
        minutes = (np.asarray(times) // 60).astype(np.int64)
        offered = self._arrivals(part, minutes)(minutes)
        return autoscaling.wanted(self.engines[part.key], offered, there, most)

    def _arrivals(self, part: Part, minutes: Ints) -> Callable[[Ints], Floats]:
        """Requests/s that come to the part in any minutes among these or shortly before."""
        first, last = float(minutes.min()) * 60.0, float(minutes.max()) * 60.0 + 60.0
        found = self.incidents(first - autoscaling.LOOKS_BACK_S, last)
        return lambda asked: self._offered(part, asked, found)

    def billed_slices(self, part: Part, times: Ints | Floats) -> Floats:
        """Slices that are paid for at each Unix time."""
        clock = np.asarray(times, dtype=np.float64)
        if not clock.size:
            return np.zeros(0)
        events = self.incidents(float(clock.min()), float(clock.max()) + 1)
        there = self.slices(part, clock)
        gone = capacity.lost(part, events, clock, there, billed_only=True)
        return np.maximum(there - gone, 0.0)

    def load(self, part: Part, minutes: Ints, which: Which = Which.ALL, model: str = "") -> Load:
        """The part's load in each of those minutes (Unix time // 60).

        `which`: of all its slices together, of the one that `hot_slice` names, or of the others.
        `model`: as if all requests came to that deployed model; "": divided as they are.
        """
        clock = minutes * 60.0 + 30.0
        first, last = (clock[0], clock[-1] + 60) if minutes.size else (0.0, 0.0)
        found = self.incidents(first, last)
        events = [e for e in found if e.part == part.key]
        there = self.slices(part, clock)
        slices = there - capacity.lost(part, events, clock, there, billed_only=False)
        offered = self._offered(part, minutes, found)
        slow, errors, hot, hits = np.ones(minutes.shape), *np.zeros((3, *minutes.shape))
        for event in events:
            if event.slow == 1.0 and not event.error_ratio and not event.hot_share:
                continue
            weight = event.weight(clock)
            slow = slow * (1.0 + (event.slow - 1.0) * weight)
            errors = errors + event.error_ratio * weight * self._met(event, model, minutes)
            hot = np.maximum(hot, event.hot_share * weight)
            hits = np.maximum(hits, event.cache_hits * weight)
        engine, slices = self.engines[part.key], np.maximum(slices, 0.0)
        if which is Which.ALL and not hot.any():
            return solve(engine, minutes, slices, offered, slow, errors, hits)
        # Its even share at least; a part of one slice is all hot.
        one = np.minimum(slices, 1.0)
        even = np.divide(one, slices, out=np.ones_like(slices), where=slices > 0)
        share = hot + (1.0 - hot) * even
        found = {
            Which.HOT: solve(engine, minutes, one, share * offered, slow, errors, hits),
            Which.REST: solve(engine, minutes, slices - one, (1.0 - share) * offered, slow, errors),
        }
        return found.get(which) or together(found[Which.HOT], found[Which.REST])

    def _met(self, event: Event, model: str, minutes: Ints) -> Floats | float:
        """Share of the part's requests that come to what an incident hit."""
        if not event.model:
            return 1.0
        if model:
            return float(event.model == model)
        return models.share_of(self.log.changes(event.tier), event.model, minutes)

    def solved(self, part: Part, minutes: Ints) -> Floats:
        """Share of an evaluation's tasks that the part solved by then (quality.py)."""
        asked = quality.batches(minutes)
        if not asked.size:
            return np.zeros(0)
        span = np.arange(asked[0], asked[-1] + 1)
        clock = span * 60.0 + 30.0
        events = [e for e in self.incidents(clock[0], clock[-1] + 60) if e.part == part.key]
        dropped = quality.worse(events, clock)
        model, load = part.seed.model, self.load(part, span)
        return quality.solved(model, load, dropped, self.seed, part.key)[asked - asked[0]]

    def restarts(self, tier: str) -> list[Event]:
        """Restarts of servers that stories make, oldest first; each slice is its event's target."""
        found = [e for e in self._caused() if e.tier == tier and e.hosts == "loading"]
        return sorted(found, key=lambda event: event.start)

    def hot_slice(self, part: Part) -> int | None:
        """The slice that a story sends more requests than its share, or sent or will send."""
        for event in reversed(self._caused()):
            if event.part == part.key and event.hot_slice is not None:
                return event.hot_slice
        return None

    def _offered(self, part: Part, minutes: Ints, events: list[Event]) -> Floats:
        """Requests/s that come to the part: its own, or what the URL map leads to it."""
        changes = self.log.changes()
        if not _balanced(part) or not routing.ever_shifted(changes, part.tier):
            return self._arriving(part, minutes, events)
        clock = minutes * 60.0 + 30.0
        offered = np.zeros(minutes.shape)
        for source in filter(_balanced, self.parts):
            share = routing.share(changes, source.tier, part.tier, clock)
            if share.any():
                offered = offered + share * self._arriving(source, minutes, events)
        return offered

    def _arriving(self, part: Part, minutes: Ints, events: list[Event]) -> Floats:
        """Requests/s that come to the part of the tier's own clients, incidents included."""
        clock = minutes * 60.0 + 30.0
        own = self._own(part, minutes, events)
        offered = own
        for event in events:
            if event.moves_to and event.part == part.key:
                offered = offered - event.moves_share * event.weight(clock) * own
            elif event.moves_to == part.key:
                source = self._own(self.part(event.part), minutes, events)
                offered = offered + event.moves_share * event.weight(clock) * source
        return np.maximum(offered, 0.0)

    def _own(self, part: Part, minutes: Ints, events: list[Event]) -> Floats:
        """Requests/s of the part's own clients, wherever they go."""
        clock = minutes * 60.0 + 30.0
        offered = demand.offered_rps(part, self.seed, minutes)
        for event in events:
            if event.part == part.key and event.demand != 1.0:
                offered = offered * (1.0 + (event.demand - 1.0) * event.weight(clock))
        return offered

    def receives(self, part: Part) -> bool:
        """Whether requests come to the part, or came since its traffic was shifted."""
        return part.share > 0 or routing.ever_shifted(self.log.changes(), part.tier)

    def tier_load(self, tier: str, minutes: Ints) -> list[Load]:
        """The loads of all of the tier's parts."""
        return [self.load(part, minutes) for part in self.parts if part.tier == tier]

    def at_origin(self, origin: float) -> World:
        """The same world as if the emulator had been started at `origin`."""
        return World(self.scenario, self.log, self.seed, origin)


def _balanced(part: Part) -> bool:
    """Whether the load balancer leads requests to the part."""
    return part.kind is PartKind.GKE and part.seed.behind_load_balancer
