"""The shared cache of time series: calls grow with the number of distinct views, not of viewers.

A view is a group of signals over a preset or minute-aligned range, for all tiers at once. One read
per view is in flight; while an old one is renewed, viewers get the old one. Failures are kept
briefly, with the last good series. Viewers wait seconds at most: once somebody waited in vain,
nobody waits until a read succeeds again. The newest state is `control/refresh.py`'s.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, Protocol

import structlog
from cachetools import LRUCache

from control.refresh import problem_of
from core.errors import HeartwoodError, Invalid, Unavailable
from core.records import Problem
from core.series import Series, Signal, Window
from core.specs import TierSpec
from services.tier_rows import Inventory

_log: Final = structlog.get_logger("history")

# Name → length and step, both in seconds: 60 to 360 points each.
PRESETS: Final = MappingProxyType(
    {
        "1h": (3600, 60),
        "6h": (6 * 3600, 60),
        "24h": (24 * 3600, 300),
        "7d": (7 * 86400, 1800),
        "30d": (30 * 86400, 7200),
    }
)
# Signals that come from the same time series are read by one call.
GROUPS: Final = (
    (Signal.REQUESTS, Signal.ERRORS),
    (Signal.TTFT_P50, Signal.TTFT_P95, Signal.TTFT_P99),
    (Signal.LATENCY_P50, Signal.LATENCY_P95, Signal.LATENCY_P99),
)
_STEPS_S: Final = (60, 300, 600, 1800, 3600, 7200, 21600, 86400)
_MAX_POINTS_PER_SERIES: Final = 400
_MAX_POINTS: Final = 600_000  # of all cached series together: some tens of megabytes
_TTL_MAX_S: Final = 300.0
_PAST_TTL_S: Final = 3600.0
_ERROR_TTL_S: Final = 10.0
_STALE_TTLS: Final = 3  # so many ttl old a view may be shown while it is renewed
_PATIENCE_S: Final = 3.0  # what a page may wait for a series that is not cached
_READS_AT_ONCE: Final = 6


class SeriesPort(Protocol):
    """What reads series: `services.monitoring.Monitoring`."""

    def read_series_group(
        self,
        signals: Sequence[Signal],
        specs: Sequence[TierSpec],
        window: Window,
        known: Inventory | None = None,
    ) -> dict[Signal, list[Series]]:
        """Each signal's series of every tier; raises OpsError."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """One signal of all tiers over a range.

    `series` is by tier. `problem`: it could not be read now; then `series` may be old (`read_at`)
    or empty (`read_at` None).
    """

    signal: Signal
    series: Mapping[str, Series]
    window: Window
    read_at: datetime | None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class HistoryCounts:
    """Since the start: answers from the cache, reads of Google, failed ones; views held now."""

    hits: int
    reads: int
    failures: int
    views: int
    points: int


def preset_window(name: str, now: datetime) -> Window:
    """The window of a preset that ends at the last whole step.

    Raises:
        Invalid: there is no such preset.
    """
    if name not in PRESETS:
        raise Invalid(f"There is no range {name!r}.", hint=f"Ranges: {', '.join(PRESETS)}")
    length_s, step_s = PRESETS[name]
    end = _floor(now, step_s)
    return Window(end - timedelta(seconds=length_s), end, step_s)


def aligned_window(start: datetime, end: datetime) -> Window:
    """A minute-aligned window with the smallest step that gives at most 400 points.

    Raises:
        Invalid: it is empty.
    """
    seconds = (end - start).total_seconds()
    if seconds < 60:
        raise Invalid("The range is shorter than a minute.", hint="Choose a later end")
    step_s = next((s for s in _STEPS_S if seconds / s <= _MAX_POINTS_PER_SERIES), _STEPS_S[-1])
    first = _floor(start, step_s)
    last = _floor(end + timedelta(seconds=step_s - 1), step_s)
    return Window(first, last, step_s)


def _floor(at: datetime, step_s: int) -> datetime:
    seconds = int(at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % step_s, UTC)


def group_of(signal: Signal) -> tuple[Signal, ...]:
    """The signals that are read together with that one."""
    return next((g for g in GROUPS if signal in g), (signal,))


_Key = tuple[tuple[Signal, ...], str | Window]


@dataclass(frozen=True, slots=True)
class _View:
    """What one key holds. `tried_at`: monotonic seconds of the last attempt."""

    window: Window
    series: Mapping[Signal, Mapping[str, Series]]
    read_at: datetime | None
    problem: Problem | None
    tried_at: float


def _points(view: _View) -> int:
    return 1 + sum(len(s.values) for by_tier in view.series.values() for s in by_tier.values())


class History:
    """Reads series through the cache. Safe for threads."""

    def __init__(
        self,
        port: SeriesPort,
        specs: Sequence[TierSpec],
        known: Callable[[], Inventory | None],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_points: int = _MAX_POINTS,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._port, self._specs, self._known = port, tuple(specs), known
        self._clock, self._patience_s = clock, patience_s
        self._silent = False  # somebody waited in vain, and nothing was read since
        self._lock = threading.Lock()
        self._views: LRUCache[_Key, _View] = LRUCache(max_points, getsizeof=_points)
        self._in_flight: dict[_Key, Future[_View]] = {}
        self._pool = ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="history")
        self._counts: Counter[str] = Counter()
        self._stopped = False

    def read(self, signal: Signal, span: str | Window) -> Reading:
        """That signal of all tiers over a preset ("1h" … "30d") or a window.

        Waits only for what was not read lately, and not for a source that keeps silent; never
        raises for a failed read: the reading's `problem` says why, beside the last good series.

        Raises:
            Invalid: there is no such preset.
        """
        key = (group_of(signal), span)
        wanted = span if isinstance(span, Window) else preset_window(span, self._clock())
        with self._lock:
            view = self._views.get(key)
            age_s = None if view is None else time.monotonic() - view.tried_at
            ttl_s = _ttl_s(view, span, self._clock())
            if view is not None and age_s is not None and age_s < ttl_s:
                self._counts["hits"] += 1
                return _reading(view, signal)
            future = self._renew(key, wanted)
            if view is not None and age_s is not None and age_s < ttl_s * _STALE_TTLS:
                self._counts["hits"] += 1
                return _reading(view, signal)
            patience_s = 0.0 if self._silent else self._patience_s
        try:
            return _reading(future.result(patience_s), signal)
        except CancelledError:  # it waited for its turn when the console was stopped
            return _reading(_ended(wanted), signal)
        except TimeoutError:
            with self._lock:
                self._silent = True
            return _reading(_overdue(view, wanted, self._patience_s), signal)

    def peek(self, signal: Signal, span: str | Window) -> Reading | None:
        """Likewise without waiting: None when nothing is cached; it is read in the background."""
        key = (group_of(signal), span)
        with self._lock:
            view = self._views.get(key)
            stale = view is None or time.monotonic() - view.tried_at >= _ttl_s(
                view, span, self._clock()
            )
            if stale:
                wanted = span if isinstance(span, Window) else preset_window(span, self._clock())
                self._renew(key, wanted)
        return None if view is None else _reading(view, signal)

    def counts(self) -> HistoryCounts:
        """How the cache did so far."""
        with self._lock:
            return HistoryCounts(
                self._counts["hits"],
                self._counts["reads"],
                self._counts["failures"],
                len(self._views),
                int(self._views.currsize),
            )

    def stop(self) -> None:
        """Read no more."""
        with self._lock:
            self._stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _renew(self, key: _Key, window: Window) -> Future[_View]:
        """The read in flight for that key, started if there is none; the lock is held."""
        found = self._in_flight.get(key)
        if found is not None:
            return found
        if self._stopped:
            ended: Future[_View] = Future()
            ended.set_result(_ended(window))
            return ended
        future = self._pool.submit(self._fetch, key, window)
        self._in_flight[key] = future
        return future

    def _fetch(self, key: _Key, window: Window) -> _View:
        signals = key[0]
        problem: Problem | None = None
        series: dict[Signal, dict[str, Series]] = {}
        try:
            answer = self._port.read_series_group(signals, self._specs, window, self._known())
            series = {s: {one.tier: one for one in found} for s, found in answer.items()}
        except HeartwoodError as error:
            problem = problem_of(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must reach the page as one, not hang it
            _log.exception("history failed", signals=[s.value for s in signals])
            problem = Problem(type(error).__name__, f"Heartwood failed to read it: {error}")
        with self._lock:
            self._in_flight.pop(key, None)
            self._counts["reads"] += 1
            self._silent = self._silent and problem is not None
            now = time.monotonic()
            view = _View(window, series, self._clock(), None, now)
            if problem is not None:
                self._counts["failures"] += 1
                old = self._views.get(key) or _View(window, {}, None, None, now)
                view = replace(old, problem=problem, tried_at=now)
            self._views[key] = view
            return view


def _ended(window: Window) -> _View:
    problem = problem_of(Unavailable("The console is shutting down."))
    return _View(window, {}, None, problem, time.monotonic())


def _overdue(old: _View | None, window: Window, waited_s: float) -> _View:
    """The old view, if there is one, with what is wrong with it."""
    slow = Unavailable(
        f"No answer within {waited_s:g} s; it is still being asked.",
        resource="Cloud Monitoring",
        hint="Connections tells which sources answer.",
    )
    if old is None:
        return _View(window, {}, None, problem_of(slow), time.monotonic())
    return replace(old, problem=old.problem or problem_of(slow))


def _ttl_s(view: _View | None, span: str | Window, now: datetime) -> float:
    """How long a view counts as fresh: a step at most, longer when it ended long ago."""
    if view is None:
        return 0.0
    if view.problem is not None:
        return _ERROR_TTL_S
    settled = isinstance(span, Window) and (now - span.end).total_seconds() > _TTL_MAX_S
    return _PAST_TTL_S if settled else min(float(view.window.step_s), _TTL_MAX_S)


def _reading(view: _View, signal: Signal) -> Reading:
    return Reading(signal, view.series.get(signal, {}), view.window, view.read_at, view.problem)
