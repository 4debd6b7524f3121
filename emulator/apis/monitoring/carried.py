"""Requests that the data plane really carried, by minute, as the load balancer's metrics count.

Beside the world's simulated ones, and told apart from them by `client_country` "Unknown": a caller
on loopback comes from no country. They last as long as the process.
"""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from emulator.apis.monitoring.block import Moments
from emulator.apis.monitoring.distributions import BOUNDS_MS
from emulator.context import Cloud
from emulator.world.noise import Floats, Ints

COUNTRY: Final = "Unknown"
_MINUTES: Final = 10_000  # with requests in them; the oldest go first


@dataclass(frozen=True, slots=True)
class Way:
    """What one series is of: the request's way and its outcome.

    `group` is "" when no endpoint was picked; `path_rule` "UNMATCHED" when a default held.
    """

    forwarding_rule: str
    proxy: str
    url_map: str
    path_rule: str
    service: str
    group: str
    protocol: str
    status: int


@dataclass(slots=True)
class _Times:
    """Latencies of one minute in milliseconds."""

    buckets: Counter[int] = field(default_factory=Counter[int])
    total: float = 0.0
    squares: float = 0.0

    def add(self, ms: float) -> None:
        self.buckets[bisect.bisect_right(BOUNDS_MS, ms)] += 1
        self.total += ms
        self.squares += ms * ms


@dataclass(slots=True)
class _Cell:
    whole: _Times = field(default_factory=_Times)
    backend: _Times = field(default_factory=_Times)


def carried_of(cloud: Cloud) -> Carried:
    """The emulator's one."""
    return cloud.store(Carried, lambda: Carried(cloud.clock.now))


class Carried:
    """Counts of all ways; a minute is told once it has ended. Safe for threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: Unix seconds."""
        self._lock, self._clock = threading.Lock(), clock
        self._minutes: dict[int, dict[Way, _Cell]] = {}

    def add(self, way: Way, total_ms: float, backend_ms: float | None) -> None:
        """One request that has ended; `backend_ms` None: no backend was asked."""
        minute = int(self._clock() // 60)
        with self._lock:
            cells = self._minutes.setdefault(minute, {})
            while len(self._minutes) > _MINUTES:
                del self._minutes[next(iter(self._minutes))]
            cell = cells.setdefault(way, _Cell())
            cell.whole.add(total_ms)
            if backend_ms is not None:
                cell.backend.add(backend_ms)

    def ways(self, *, backend: bool) -> list[Way]:
        """Those with requests; with `backend`, those of which a backend was asked."""
        with self._lock:
            return list(dict.fromkeys(
                way for cells in self._minutes.values() for way, cell in cells.items()
                if cell.backend.buckets or not backend
            ))  # fmt: skip

    def counts(self, ways: Sequence[Way], minutes: Ints, *, backend: bool) -> Floats:
        """Requests of each way in each minute, (ways, minutes)."""
        found = np.zeros((len(ways), len(minutes)))
        with self._lock:
            for column, cells in self._within(minutes):
                for row, way in enumerate(ways):
                    if cell := cells.get(way):
                        found[row, column] = _times(cell, backend=backend).buckets.total()
        return found

    def latencies(self, way: Way, minutes: Ints, *, backend: bool) -> Moments:
        """Distributions of a way's latencies in each minute, over `BOUNDS_MS`."""
        counts = np.zeros((len(minutes), len(BOUNDS_MS) + 1))
        sums, squares = np.zeros(len(minutes)), np.zeros(len(minutes))
        with self._lock:
            for row, cells in self._within(minutes):
                if (cell := cells.get(way)) is None:
                    continue
                times = _times(cell, backend=backend)
                for bucket, events in times.buckets.items():
                    counts[row, bucket] = events
                sums[row], squares[row] = times.total, times.squares
        return Moments(counts, sums, squares)

    def _within(self, minutes: Ints) -> Iterator[tuple[int, dict[Way, _Cell]]]:
        """Places in `minutes`, which rise, with requests, and their cells."""
        if not len(minutes):
            return
        known = np.fromiter(self._minutes, dtype=np.int64)
        places = np.searchsorted(minutes, known).clip(max=len(minutes) - 1)
        for place, minute in zip(places.tolist(), known.tolist(), strict=True):
            if minutes[place] == minute < self._clock() // 60:
                yield place, self._minutes[minute]


def _times(cell: _Cell, *, backend: bool) -> _Times:
    return cell.backend if backend else cell.whole
