"""The log of actions: every change that somebody made to the emulated project, in order.

With the seed and the time it is all the state that the world's telemetry depends on. API folders
append to it when a change takes effect; the world model reads it. Nothing per tick is stored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One effective change.

    Attributes:
        at: Unix seconds (wall clock) at which it took effect.
        kind: e.g. "gke.node_pool.resized", "vertex.deployed_model.mutated".
        resource: full name of the resource.
        tier: its tier label; "" when unassigned.
        data: what changed, JSON values, e.g. {"before": 16, "after": 17}.
    """

    at: float
    kind: str
    resource: str
    tier: str
    data: Mapping[str, str | int | float | bool | None]


class ActionLog:
    """Append-only and safe for threads."""

    def __init__(self) -> None:
        self._changes: list[Change] = []
        self._lock = threading.Lock()
        self._heard: Callable[[int, Change], None] = lambda _number, _change: None

    def tell(self, heard: Callable[[int, Change], None]) -> None:
        """Have each change told with its place, in the thread that makes it."""
        self._heard = heard

    def append(self, change: Change) -> None:
        """Add one change."""
        with self._lock:
            self._changes.append(change)
            number = len(self._changes) - 1
        self._heard(number, change)

    def changes(self, tier: str | None = None) -> tuple[Change, ...]:
        """All changes so far, oldest first; of one tier only, when named."""
        with self._lock:
            found = tuple(self._changes)
        return found if tier is None else tuple(c for c in found if c.tier == tier)

    def since(self, version: int) -> tuple[Change, ...]:
        """The changes after that version, oldest first."""
        with self._lock:
            return tuple(self._changes[version:])

    @property
    def version(self) -> int:
        """Number of changes so far: a key for caches."""
        return len(self._changes)
