"""A condition's incidents: a fold over its verdicts, one stretch of time after another.

What is settled stays as it is, so that a read works out new time alone. The state after a point in
time depends on the verdicts up to it and not on the stretches: whoever reads when sees the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from emulator.apis.monitoring.policy_checks import Condition
from emulator.apis.monitoring.series import SeriesReader
from emulator.apis.monitoring.verdicts import BAD, MISSING, Key, Verdicts, judge
from emulator.world.noise import Floats, Ints

# Google opens no more incidents of one policy at a time.
MOST_OPEN: Final = 1000
# Time that is judged in one go.
_STRETCH_S: Final = 86_400.0


@dataclass(slots=True)
class Looks:
    """How many stretches of series one read may still judge."""

    left: int


@dataclass(frozen=True, slots=True)
class Span:
    """One incident of one series; Unix seconds, `end` None: still open."""

    key: Key
    start: float
    end: float | None


@dataclass(slots=True)
class _Run:
    """Bad points in a row. `opened` is when they became an incident; `spent`: closed for good."""

    start: float
    last: float
    opened: float | None = None
    spent: bool = False


@dataclass
class Watch:
    """One condition since `at`; `advance` goes on, `spans` tells what it found.

    Attributes:
        at: up to here the verdicts are in.
        seen: for absence: when each series last had a point.
    """

    test: Condition
    auto_close_s: float
    at: float
    series: int = 0
    runs: dict[Key, _Run] = field(default_factory=dict)
    seen: dict[Key, float] = field(default_factory=dict)
    done: list[Span] = field(default_factory=list)

    def until(self, reader: SeriesReader, settled: float, now: float, looks: Looks) -> Watch | None:
        """Take in what is settled; a watch that has seen everything up to now as well.

        Args:
            settled: Unix seconds up to which no verdict changes any more.

        Returns:
            None when the read may not look so often.
        """
        if not self._reach(reader, settled, looks):
            return None
        ahead = replace(
            self, runs={key: replace(run) for key, run in self.runs.items()},
            seen=dict(self.seen), done=list(self.done),
        )  # fmt: skip
        return ahead if ahead._reach(reader, now, looks) else None

    def _reach(self, reader: SeriesReader, end: float, looks: Looks) -> bool:
        period = self.test.period_s
        end = math.floor(end / period) * period
        longest = period * max(1, math.floor(_STRETCH_S / period))
        while self.at < end:
            if not looks.left:
                return False
            looks.left -= 1
            self.advance(reader, min(math.ceil(self.at / period) * period + longest, end))
        return True

    def advance(self, reader: SeriesReader, end: float) -> None:
        """Take in the verdicts in (at, end]."""
        start = math.ceil(self.at / self.test.period_s) * self.test.period_s
        self.at = end
        if start >= end:
            return
        found = judge(self.test, reader, start, end)
        self.series = max(self.series, found.labels.size)
        if self.test.absent:
            self._absent(found, np.arange(start, end, self.test.period_s) + self.test.period_s)
            return
        busy = (found.states == BAD).any(axis=1)
        if not busy.any() and not self.runs:
            return
        for key, some, states in zip(found.keys(), busy.tolist(), found.states, strict=True):
            if some or key in self.runs:
                self._row(key, found.times, states)

    def spans(self) -> list[Span]:
        """All incidents so far."""
        still = [Span(k, r.opened, None) for k, r in self.runs.items() if r.opened is not None]
        return [*self.done, *still]

    def _absent(self, found: Verdicts, times: Floats) -> None:
        keys = found.keys()
        silent = (found.states == BAD).any(axis=1) if keys else np.zeros(0, dtype=bool)
        gone = self.seen.keys() - set(keys)
        for key, some, states in zip(keys, silent.tolist(), found.states, strict=True):
            if some:
                self._patchy(key, found.times, states.copy())
                continue
            if key in self.runs:
                self._good(key, float(found.times[0]))
            self.seen[key] = float(found.times[-1])
        for key in sorted(gone):
            self._row(key, times, np.full(len(times), BAD, dtype=np.int64))

    def _patchy(self, key: Key, times: Floats, states: Ints) -> None:
        """A series with points missing: before its first point ever it is not yet absent."""
        present = np.flatnonzero(states != BAD)
        if key not in self.seen:
            states[: present[0] if present.size else len(states)] = MISSING
        self._row(key, times, states)
        if present.size:
            self.seen[key] = float(times[present[-1]])

    def _row(self, key: Key, times: Floats, states: Ints) -> None:
        real = np.flatnonzero(states != MISSING)
        if not real.size:
            return
        marks = np.flatnonzero(np.diff(states[real])) + 1
        for part in np.split(real, marks):
            if states[part[0]] == BAD:
                self._bad(key, times[part])
            else:
                self._good(key, float(times[part[0]]))

    def _good(self, key: Key, at: float) -> None:
        run = self.runs.pop(key, None)
        if run is None or run.opened is None:
            return
        # Without data for long enough it had closed before.
        self.done.append(Span(key, run.opened, min(at, run.last + self.auto_close_s)))

    def _bad(self, key: Key, times: Floats) -> None:
        run = self.runs.get(key)
        silent = run is not None and not self.test.absent
        if run is not None and silent and times[0] - run.last > self.auto_close_s:
            self._good(key, float(times[0]))
            run = None
        if run is None:
            begin = float(times[0]) - (self.test.period_s if self.test.absent else 0.0)
            run = self.runs[key] = _Run(begin, begin)
        if run.opened is None and not run.spent:
            first = int(np.searchsorted(times, run.start + self.test.duration_s))
            if first < len(times) and self._open() < MOST_OPEN:
                run.opened = float(times[first])
        run.last = float(times[-1])
        if self.test.absent and run.last - run.start >= self.auto_close_s:
            if run.opened is not None:
                self.done.append(Span(key, run.opened, run.start + self.auto_close_s))
            run.opened, run.spent = None, True

    def _open(self) -> int:
        return sum(1 for run in self.runs.values() if run.opened is not None)


def together(spans: list[Span], least: int, key: Key = ()) -> list[Span]:
    """The times at which at least so many spans run at once, as spans of `key`."""
    marks: list[tuple[float, int]] = []
    for span in spans:
        marks.append((span.start, 1))
        if span.end is not None:
            marks.append((span.end, -1))
    found: list[Span] = []
    running, begin = 0, None
    for at, change in sorted(marks):
        running += change
        if running >= least and begin is None:
            begin = at
        elif running < least and begin is not None:
            found.append(Span(key, begin, at))
            begin = None
    return [*found, Span(key, begin, None)] if begin is not None else found
