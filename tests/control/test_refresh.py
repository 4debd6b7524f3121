"""The refresher: one read per source at a time, ages and failures kept, recovery by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from control.readers import make_readers, not_set_up
from control.refresh import Fields, Partial, Refresher, SourceReader
from control.settings import load_settings
from control.settings_sections import ProjectSettings
from control.wiring import cloud_target
from core.errors import HeartwoodError, Unavailable
from core.records import Snapshot, Source
from services.clients import Clients
from tests.make import make_prices, make_specs


@dataclass
class FakeSource:
    """A source that counts its reads and can be slow, fail, or break."""

    error: Exception | None = None
    lost: HeartwoodError | None = None
    slow_s: float = 0.0
    reads: int = 0
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, _snapshot: Snapshot) -> Fields | Partial:
        with self._lock:
            self.reads += 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            time.sleep(self.slow_s)
            if self.error is not None:
                raise self.error
            fields = {"prices": make_prices()}
            return Partial(fields, self.lost) if self.lost else fields
        finally:
            with self._lock:
                self._now -= 1


def test_what_is_not_set_up_is_not_failing() -> None:
    """No billing export, no account, no local server: no reader, and the setting is named."""
    project = ProjectSettings(id="my-project")
    settings = load_settings(environ={}).model_copy(update={"project": project})
    why = not_set_up(settings)
    assert set(why) == {Source.COSTS, Source.BUDGETS}
    clients = Clients(cloud_target(settings))
    readers = make_readers(settings, clients, None)
    refresher = Refresher(settings.tiers, readers, not_set_up=why)
    states = refresher.snapshot().sources
    assert {r.source for r in readers} == set(Source) - set(why) - {Source.INFERENCE}
    assert states[Source.COSTS].not_set_up.endswith("set project.billing_export.")
    assert states[Source.COSTS].problem is None
    assert not_set_up(load_settings(environ={})) == {}
    clients.close()


Start = Callable[..., Refresher]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts refreshers and stops them afterwards."""
    started: list[Refresher] = []

    def run(source: FakeSource, interval_s: float = 0.05, **limits: float) -> Refresher:
        reader = SourceReader(
            Source.PRICES, interval_s, source.read, "here", identity=lambda: "somebody"
        )
        given = {"backoff_first_s": 0.02, "backoff_max_s": 0.1, "on_demand_gap_s": 0.05, **limits}
        # Others beside it, so that the pool has threads to spare for a wrong second read.
        idle = [
            SourceReader(s, 3600.0, lambda _: {})
            for s in (Source.BUDGETS, Source.COSTS, Source.TPU)
        ]
        refresher = Refresher(make_specs(), [reader, *idle], **given)
        refresher.start()
        started.append(refresher)
        return refresher

    yield run
    for refresher in started:
        refresher.stop()


def wait_until(true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Until it is true, or the test fails."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def test_before_the_first_read_all_is_unknown() -> None:
    """A refresher that never started has an empty snapshot at once, and no ages."""
    refresher = Refresher(make_specs(), [SourceReader(Source.PRICES, 1.0, FakeSource().read)])
    state = refresher.snapshot().sources[Source.PRICES]
    assert (refresher.snapshot().prices, state.read_at, state.tried_at) == (None, None, None)


def test_it_reads_again_at_the_interval(start: Start) -> None:
    """Several reads, each a new version of a new Snapshot; the old one is not touched."""
    source = FakeSource()
    refresher = start(source)
    before = refresher.snapshot()
    wait_until(lambda: source.reads >= 3)
    state = refresher.snapshot().sources[Source.PRICES]
    assert refresher.snapshot() is not before
    assert before.prices is None
    assert refresher.snapshot().prices == make_prices()
    assert (state.identity, state.endpoint) == ("somebody", "here")
    assert state.latency_ms is not None
    assert refresher.calls()[Source.PRICES, "ok"] >= 2


def test_never_two_reads_of_one_source_at_once(start: Start) -> None:
    """A slow source that everybody asks for is still read one at a time."""
    source = FakeSource(slow_s=0.05)
    refresher = start(source, 0.01, on_demand_gap_s=0.0)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(40):
            pool.submit(refresher.refresh_now, Source.PRICES)
            time.sleep(0.005)
    assert source.most_at_once == 1


def test_viewers_cause_no_reads(start: Start) -> None:
    """Twenty threads that look all the time: as many reads as with none."""
    source = FakeSource()
    refresher = start(source, 60.0)
    wait_until(lambda: source.reads == 1)
    with ThreadPoolExecutor(20) as pool:
        for _ in range(20):
            pool.submit(lambda: [refresher.snapshot() for _ in range(1000)])
    assert source.reads == 1


def test_a_failure_keeps_the_last_good_values(start: Start) -> None:
    """Values and their time stay; since when and why is told; it recovers by itself."""
    source = FakeSource()
    refresher = start(source)
    wait_until(lambda: source.reads >= 1 and refresher.snapshot().prices is not None)
    source.error = Unavailable("no answer", resource="catalogue", hint="start it")
    wait_until(lambda: refresher.snapshot().sources[Source.PRICES].problem is not None)
    first = refresher.snapshot().sources[Source.PRICES]
    reads = source.reads
    wait_until(lambda: source.reads >= reads + 2)
    later = refresher.snapshot().sources[Source.PRICES]
    assert refresher.snapshot().prices == make_prices()
    assert first.failing_since == later.failing_since
    assert later.read_at == first.read_at
    assert later.problem is not None
    assert (later.problem.kind, later.problem.hint) == ("Unavailable", "start it")
    source.error = None
    wait_until(lambda: refresher.snapshot().sources[Source.PRICES].problem is None)
    assert refresher.snapshot().sources[Source.PRICES].failing_since is None


def test_a_read_of_which_a_part_failed_is_taken_and_told(start: Start) -> None:
    """What was read is published with its time, the failure stands beside it and is no back-off."""
    source = FakeSource(lost=Unavailable("1 of 9 queries failed", hint="wait"))
    refresher = start(source, backoff_first_s=5.0, backoff_max_s=5.0)
    wait_until(lambda: source.reads >= 3)
    state = refresher.snapshot().sources[Source.PRICES]
    assert refresher.snapshot().prices == make_prices()
    assert state.problem is not None
    assert (state.problem.message, state.problem.hint) == ("1 of 9 queries failed", "wait")
    assert state.read_at == state.tried_at
    assert state.failing_since is not None
    source.lost = None
    wait_until(lambda: refresher.snapshot().sources[Source.PRICES].problem is None)
    assert refresher.snapshot().sources[Source.PRICES].failing_since is None


def test_a_fault_of_ours_in_one_reader_is_shown_and_survived(start: Start) -> None:
    """A reader that raises what it should not is a problem with a name, not a dead thread."""
    source = FakeSource(error=ZeroDivisionError("oops"))
    refresher = start(source)
    wait_until(lambda: source.reads >= 2)
    problem = refresher.snapshot().sources[Source.PRICES].problem
    assert problem is not None
    assert problem.kind == "ZeroDivisionError"


def test_failures_are_tried_less_and_less_often(start: Start) -> None:
    """Waits grow from the first back-off to the limit."""
    source = FakeSource(error=Unavailable("down"))
    start(source, 0.01, backoff_first_s=0.05, backoff_max_s=10.0)
    time.sleep(0.6)
    assert 2 <= source.reads <= 5


def test_refresh_now_is_limited(start: Start) -> None:
    """Asked a hundred times within the gap: one more read, and soon."""
    source = FakeSource()
    refresher = start(source, 60.0, on_demand_gap_s=0.2)
    wait_until(lambda: source.reads == 1)
    for _ in range(100):
        refresher.refresh_now(Source.PRICES)
    wait_until(lambda: source.reads == 2)
    time.sleep(0.1)
    assert source.reads == 2


def test_asked_during_a_read_it_reads_once_more(start: Start) -> None:
    """The answer in flight may be from before the change that somebody wants to see."""
    source = FakeSource(slow_s=0.1)
    refresher = start(source, 60.0)
    wait_until(lambda: source.reads == 1)
    refresher.refresh_now(Source.PRICES)
    wait_until(lambda: source.reads == 2)


def test_stopped_means_no_more_work(start: Start) -> None:
    """After stop nothing is read, and a read in flight changes nothing."""
    source = FakeSource(slow_s=0.1)
    refresher = start(source, 0.01)
    wait_until(lambda: source.reads == 1)
    refresher.stop()
    version, reads = refresher.version, source.reads
    time.sleep(0.3)
    assert (refresher.version, source.reads) == (version, reads)


def test_waiting_for_a_change(start: Start) -> None:
    """wait returns when the version grows, and False when it does not in time."""
    source = FakeSource()
    refresher = start(source, 60.0)
    assert refresher.wait_for_first(list(Source), 5.0)
    assert not refresher.wait(refresher.version, 0.05)
    refresher.refresh_now()
    assert refresher.wait(refresher.version, 5.0)
