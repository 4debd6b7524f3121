"""The emulator's clock: wall time, and how many wall seconds an operation's minutes take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_HISTORY = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall clock with an acceleration of operations.

    Attributes:
        speed: simulated seconds per wall second, for durations of operations only.
        started_at: Unix seconds at which the emulator started.
    """

    speed: float = 1.0
    started_at: float = field(default_factory=time.time)

    def now(self) -> float:
        """Unix seconds, wall clock."""
        return time.time()

    def wall_s(self, simulated_s: float) -> float:
        """Wall seconds that an operation of so many simulated seconds takes."""
        return simulated_s / self.speed

    def epoch(self) -> float:
        """Unix seconds at which the project's resources were made, before its history begins.

        The first of a month at least 60 days back, so that emulators started the same month agree.
        """
        past = datetime.fromtimestamp(self.started_at, UTC) - _HISTORY
        return past.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def rfc3339(at: float, precision: str = "seconds") -> str:
    """Unix seconds as Google writes times in JSON strings; precision as of datetime.isoformat."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
