"""The shared cache of series: single flight, freshness, failures, bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import history
from control.history import PRESETS, History, aligned_window, preset_window
from core.errors import Invalid, Unavailable
from core.series import Series, Signal, Window
from core.specs import TierSpec
from services.tier_rows import Inventory
from tests.make import NOW, make_series, make_specs


@dataclass
class FakeMonitoring:
    """Gives series, counts its calls, and can be slow or fail."""

    slow_s: float = 0.0
    hung: threading.Event | None = None  # nothing is answered until it is set
    error: Exception | None = None
    asked: list[tuple[tuple[Signal, ...], Window]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_series_group(
        self,
        signals: Sequence[Signal],
        specs: Sequence[TierSpec],
        window: Window,
        known: Inventory | None = None,
    ) -> dict[Signal, list[Series]]:
        with self.lock:
            self.asked.append((tuple(signals), window))
        time.sleep(self.slow_s)
        if self.hung is not None:
            self.hung.wait(20)
        if self.error is not None:
            raise self.error
        return {s: [make_series(spec.name, s, window) for spec in specs] for s in signals}


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def make_history(port: FakeMonitoring, clock: Clock | None = None, **given: Any) -> History:
    """A cache before that port."""
    return History(port, make_specs(), lambda: None, clock=clock or Clock(), **given)


def test_many_viewers_of_one_view_are_one_call() -> None:
    """Twenty threads ask for the same slow view at the same time: it is read once."""
    port = FakeMonitoring(slow_s=0.1)
    cache = make_history(port)
    with ThreadPoolExecutor(20) as pool:
        found = [pool.submit(cache.read, Signal.REQUESTS, "6h") for _ in range(20)]
    assert len(port.asked) == 1
    assert all(set(f.result().series) == {s.name for s in make_specs()} for f in found)
    assert cache.counts().reads == 1


def test_who_waits_when_the_console_stops_is_told_so() -> None:
    """Reads that had no turn yet end with a problem, not with an error in the page."""
    port = FakeMonitoring(slow_s=0.3)
    cache = make_history(port)
    windows = [Window(NOW - timedelta(hours=h), NOW, 60) for h in range(1, 13)]
    with ThreadPoolExecutor(12) as pool:
        found = [pool.submit(cache.read, Signal.REQUESTS, w) for w in windows]
        while not port.asked:
            time.sleep(0.005)
        time.sleep(0.1)
        cache.stop()
    problems = [f.result().problem for f in found]
    assert any(p is not None and "shutting down" in p.message for p in problems)


def test_signals_of_one_source_are_read_together() -> None:
    """p50, p95 and p99 come from one call; another signal from another."""
    port = FakeMonitoring()
    cache = make_history(port)
    for signal in (Signal.TTFT_P50, Signal.TTFT_P95, Signal.TTFT_P99, Signal.ERRORS):
        assert cache.read(signal, "1h").series["small"].signal is signal
    assert [asked[0] for asked in port.asked] == [
        (Signal.TTFT_P50, Signal.TTFT_P95, Signal.TTFT_P99),
        (Signal.REQUESTS, Signal.ERRORS),
    ]


def test_a_fresh_view_is_not_read_again_and_an_old_one_is_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within its step a view is a hit; after it the old one is shown while it is renewed."""
    clock_s = [1000.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: clock_s[0])
    port, clock = FakeMonitoring(), Clock()
    cache = make_history(port, clock)
    first = cache.read(Signal.HBM, "1h")
    assert cache.read(Signal.HBM, "1h") == first
    clock.now += timedelta(seconds=70)
    clock_s[0] += 70
    assert cache.read(Signal.HBM, "1h") == first
    cache._pool.shutdown(wait=True)
    assert len(port.asked) == 2
    assert cache.read(Signal.HBM, "1h").window.end == first.window.end + timedelta(seconds=60)


def test_a_failure_is_told_kept_briefly_and_keeps_the_last_series(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it fails each viewer sees the old series and the reason, with one call per 10 s."""
    clock_s = [1000.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: clock_s[0])
    port = FakeMonitoring()
    cache = make_history(port)
    good = cache.read(Signal.HBM, "1h")
    port.error = Unavailable("down", hint="wait")
    clock_s[0] += 1000
    bad = cache.read(Signal.HBM, "1h")
    assert bad.problem is not None
    assert bad.problem.message == "down"
    assert bad.series == good.series
    assert bad.read_at == good.read_at
    for _ in range(20):
        cache.read(Signal.HBM, "1h")
    assert len(port.asked) == 2
    port.error = None
    clock_s[0] += 1000
    assert cache.read(Signal.HBM, "1h").problem is None
    assert cache.counts().failures == 1


def test_a_source_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All signals of a page, cached or not, wait together; the old series stay, with the reason."""
    real, later_s = time.monotonic, [0.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: real() + later_s[0])
    port = FakeMonitoring()
    cache = make_history(port, patience_s=0.2)
    good = cache.read(Signal.HBM, "1h")
    later_s[0], port.hung = 200.0, threading.Event()
    started = real()
    found = {signal: cache.read(signal, "1h") for signal in Signal}
    assert real() - started < 0.2 * len(Signal) / 2  # one after another would take all of that
    assert all(r.problem is not None and "0.2 s" in r.problem.message for r in found.values())
    assert (found[Signal.HBM].series, found[Signal.HBM].read_at) == (good.series, good.read_at)
    assert (found[Signal.REQUESTS].series, found[Signal.REQUESTS].read_at) == ({}, None)
    port.hung.set()
    cache._pool.shutdown(wait=True)
    assert all(cache.read(signal, "1h").problem is None for signal in Signal)


def test_once_it_answers_again_it_is_waited_for_again() -> None:
    """Silence is forgotten with the first read that succeeds."""
    port = FakeMonitoring(hung=threading.Event())
    cache = make_history(port, patience_s=0.05)
    assert cache.read(Signal.HBM, "1h").problem is not None
    assert port.hung is not None
    port.hung.set()
    while cache.read(Signal.HBM, "1h").problem is not None:
        time.sleep(0.005)
    assert cache.read(Signal.RUNNING, "1h").problem is None


def test_never_read_and_failing_has_no_series() -> None:
    """No values are made up: an empty reading with the problem."""
    found = make_history(FakeMonitoring(error=ValueError("ours"))).read(Signal.HBM, "1h")
    assert (found.series, found.read_at) == ({}, None)
    assert found.problem is not None
    assert found.problem.kind == "ValueError"


def test_peek_never_waits() -> None:
    """Nothing cached: None at once, and it is there a moment later."""
    port = FakeMonitoring(hung=threading.Event())
    cache = make_history(port)
    assert cache.peek(Signal.HBM, "1h") is None
    assert port.hung is not None
    port.hung.set()
    cache._pool.shutdown(wait=True)
    assert cache.peek(Signal.HBM, "1h") is not None
    assert len(port.asked) == 1


def test_the_cache_is_bounded() -> None:
    """Many views stay under the limit of points."""
    cache = make_history(FakeMonitoring(), max_points=3000)
    for signal in Signal:
        cache.read(signal, "1h")
    assert cache.counts().points <= 3000
    assert cache.counts().views >= 1


def test_stopped_it_reads_no_more() -> None:
    """A read after stop answers with the reason."""
    port = FakeMonitoring()
    cache = make_history(port)
    cache.stop()
    found = cache.read(Signal.HBM, "1h")
    assert found.problem is not None
    assert port.asked == []


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_aligned(name: str) -> None:
    """Whole steps, at most 400 points, ending at the last whole step."""
    window = preset_window(name, NOW + timedelta(seconds=17))
    assert window.end.timestamp() % window.step_s == 0
    assert window.end <= NOW + timedelta(seconds=17)
    assert (window.end - window.start).total_seconds() / window.step_s <= 400


def test_an_unknown_preset_is_refused() -> None:
    """The hint lists the presets."""
    with pytest.raises(Invalid) as caught:
        make_history(FakeMonitoring()).read(Signal.HBM, "2y")
    assert "30d" in caught.value.hint


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 11, 1)),  # noqa: DTZ001 - made aware below
    st.integers(60, 86400 * 60),
)
def test_windows_are_aligned_and_hold_the_range(start: datetime, seconds: int) -> None:
    """The window covers the range, ends on whole steps, and has few points."""
    first = start.replace(tzinfo=UTC)
    window = aligned_window(first, first + timedelta(seconds=seconds))
    assert window.start <= first
    assert window.end >= first + timedelta(seconds=seconds - 1)
    assert window.start.timestamp() % window.step_s == 0
    assert window.end.timestamp() % window.step_s == 0
    assert (window.end - window.start).total_seconds() / window.step_s <= 402


def test_an_empty_window_is_refused() -> None:
    """End before start."""
    with pytest.raises(Invalid):
        aligned_window(NOW, NOW - timedelta(hours=1))
