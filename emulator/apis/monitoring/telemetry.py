"""What all sources of series share: the world, the hosts, and the loads of one query.

A query meets the same minutes of the same part again for each of its metrics' labels: `Loads`
keeps the last few answers, which is a matter of speed alone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import numpy as np

from emulator.apis.monitoring.block import Gap
from emulator.apis.monitoring.fleet import hosts_of
from emulator.context import Cloud
from emulator.world.hosts import Host
from emulator.world.incidents import Event
from emulator.world.load import Load
from emulator.world.noise import Ints
from emulator.world.parts import Part
from emulator.world.uneven import Which
from emulator.world.world import World

_KEPT_LOADS: Final = 64
_KEPT_MINUTES: Final = 5_000
_LONG_S: Final = 400 * 86_400.0


class Telemetry:
    """The world with its hosts; safe for threads."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.world = World(cloud.scenario, cloud.log, cloud.seed, cloud.clock.started_at)
        self._loads: OrderedDict[tuple[str, int, int, int, str, str], Load] = OrderedDict()
        self._hosts: dict[str, tuple[tuple[int, int], list[Host]]] = {}
        self._lock = threading.Lock()

    @property
    def seed(self) -> int:
        """The emulator's seed."""
        return self.world.seed

    def load(self, part: Part, minutes: Ints, which: Which = Which.ALL, model: str = "") -> Load:
        """The part's load, or that of some of its slices or models; `minutes` are consecutive."""
        if not minutes.size:
            return self.world.load(part, minutes, which, model)
        span = (int(minutes[0]), int(minutes[-1]))
        key = (part.key, *span, self.cloud.log.version, which, model)
        with self._lock:
            if key in self._loads:
                self._loads.move_to_end(key)
                return self._loads[key]
        load = self.world.load(part, minutes, which, model)
        if minutes.size <= _KEPT_MINUTES:
            with self._lock:
                self._loads[key] = load
                while len(self._loads) > _KEPT_LOADS:
                    self._loads.popitem(last=False)
        return load

    def hosts(self, part: Part) -> list[Host]:
        """The part's hosts, those scaled away included."""
        version = (self.cloud.fleet.version, self.cloud.log.version)
        with self._lock:
            known = self._hosts.get(part.key)
            if known and known[0] == version:
                return known[1]
        found = hosts_of(self.cloud, self.world, part)
        with self._lock:
            self._hosts[part.key] = (version, found)
        return found

    def alike(self, part: Part) -> list[tuple[Which, list[Host]]]:
        """The part's hosts in groups whose load is alike: all of it, or the hot slice's apart."""
        hosts, hot = self.hosts(part), self.world.hot_slice(part)
        if hot is None:
            return [(Which.ALL, hosts)] if hosts else []
        groups = {
            Which.HOT: [h for h in hosts if h.slice_index == hot],
            Which.REST: [h for h in hosts if h.slice_index != hot],
        }
        return [(which, found) for which, found in groups.items() if found]

    def events(self, part: Part) -> list[Event]:
        """Incidents of the part that took slices out, of the last year and more."""
        now = self.cloud.clock.now()
        return [
            e for e in self.world.incidents(now - _LONG_S, now)
            if e.part == part.key and e.target is not None
        ]  # fmt: skip

    def gaps(
        self, part: Part, hosts: list[Host], rows: Ints, idle: float | None
    ) -> tuple[Gap, ...]:
        """When rows have no points; `rows[i]` is the host of row i. `idle`: value while drained."""
        spans: dict[tuple[float, float, float | None], set[int]] = {}
        for number, host in enumerate(hosts):
            for start, end in host.absences:
                spans.setdefault((start, end, None), set()).add(number)
        by_slice: dict[int, list[int]] = {}
        for number, host in enumerate(hosts):
            by_slice.setdefault(host.slice_index, []).append(number)
        for event in self.events(part):
            hit = by_slice.get(event.target or 0, [])
            # The hosts that wait for those which an incident took out of their slice idle.
            waiting = {n for n in hit if event.workers and hosts[n].worker >= event.workers}
            value = idle if event.chips == "idle" else None
            spans.setdefault((event.start, event.end, value), set()).update(set(hit) - waiting)
            spans.setdefault((event.start, event.end, idle), set()).update(waiting)
        return tuple(_gap(rows, members, span) for span, members in spans.items())


def _gap(rows: Ints, members: set[int], span: tuple[float, float, float | None]) -> Gap:
    return Gap(np.isin(rows, list(members)), *span)
