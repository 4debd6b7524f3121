"""Requests per second that groups of endpoints were given, against what they are meant to get.

Balancing mode RATE: `maxRatePerEndpoint` or `maxRate`, times the capacity scaler, is a target and
no limit. A group at its target gets more only when all are at theirs (Google's description of
target capacity).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from emulator.apis.compute.model import Body

_WINDOW_S: Final = 1.0
_PER_ENDPOINT: Final = ("maxRatePerEndpoint", "maxRatePerInstance")


class Rates:
    """Of all groups. Used from the data plane's event loop alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._given: dict[str, deque[float]] = {}

    def gave(self, group: str) -> None:
        """One more request went to an endpoint of the group."""
        times = self._given.setdefault(group, deque())
        self._forget(times)
        times.append(self._clock())

    def is_full(self, group: str, backend: Body, endpoints: int) -> bool:
        """Whether a group with so many endpoints that may answer has what it is meant to get."""
        target = target_rate(backend, endpoints)
        times = self._given.get(group)
        if target is None or times is None:
            return False
        self._forget(times)
        return len(times) / _WINDOW_S >= target

    def _forget(self, times: deque[float]) -> None:
        oldest = self._clock() - _WINDOW_S
        while times and times[0] <= oldest:
            times.popleft()


def target_rate(backend: Body, endpoints: int) -> float | None:
    """Requests per second that a backend is meant to get; None: it has no target of that kind."""
    if backend.get("balancingMode", "RATE") != "RATE":
        return None
    scaler = float(backend.get("capacityScaler", 1.0))
    for key in _PER_ENDPOINT:
        if key in backend:
            return float(backend[key]) * endpoints * scaler
    return float(backend["maxRate"]) * scaler if "maxRate" in backend else None
