"""The emulator's clock: wall time, and how many wall seconds an operation's minutes take.

A change happens at one instant, however long its handler runs: within `at(…)` the clock shows that
instant, so that the same change can be made again later and comes out the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_HISTORY = timedelta(days=60)
# Of the running thread or task; threads that asyncio.to_thread starts inherit it.
_SHOWN: ContextVar[float | None] = ContextVar("shown", default=None)


@dataclass(slots=True)
class Clock:
    """Wall clock with an acceleration of operations.

    Attributes:
        speed: simulated seconds per wall second, for durations of operations only.
        started_at: Unix seconds at which the project was first started; with a state directory
            that may have been another process.
        booted_at: Unix seconds at which this process was.
        not_before: the clock never shows less, even if the machine's was set back.
        wall: the machine's clock, in Unix seconds.
    """

    speed: float = 1.0
    started_at: float = field(default_factory=time.time)
    booted_at: float = field(default_factory=time.time, init=False)
    not_before: float = field(default=0.0, init=False)
    wall: Callable[[], float] = field(default=time.time, kw_only=True)

    def now(self) -> float:
        """Unix seconds: the wall clock, or the instant of the change that is being made."""
        shown = _SHOWN.get()
        return max(self.wall(), self.not_before) if shown is None else shown

    @contextmanager
    def at(self, instant: float) -> Generator[None]:
        """Show `instant` (Unix seconds) to whoever asks within this context."""
        token = _SHOWN.set(instant)
        try:
            yield
        finally:
            _SHOWN.reset(token)

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
