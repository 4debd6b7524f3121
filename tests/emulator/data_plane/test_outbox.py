"""Log entries on their way to sinks: in order, bounded, and what is lost is counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from emulator.apis.logging.model import Entry
from emulator.apis.logging.outbox import Outbox
from emulator.calls import CallCounter

WAIT_S = 60.0


def entry(number: int) -> Entry:
    """An entry that is told by its time."""
    return Entry(float(number), None, {})


class SlowSink:
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.got: list[float] = []
        self.failing = False

    def publish(self, entries: Sequence[Entry]) -> None:
        """As `sinks.route`."""
        self.begun.set()
        assert self.go.wait(WAIT_S)
        if self.failing:
            raise RuntimeError("planted")
        self.got += [e.at for e in entries]


def test_a_slow_sink_fills_no_memory_and_holds_nobody_up() -> None:
    """While it takes nothing so many wait and the rest is counted; then those come in order."""
    sink, lost = SlowSink(), Counter[str]()

    def count(reason: str, amount: int) -> None:
        lost[reason] += amount

    box = Outbox(sink.publish, count, most=300)
    box.put(entry(0))
    assert sink.begun.wait(WAIT_S)  # it holds the first, and 300 more may wait
    for number in range(1, 1_001):
        box.put(entry(number))
    assert lost == {"queue_full": 700}
    sink.go.set()
    box.stop(WAIT_S)
    assert sink.got == [float(n) for n in range(301)]


def test_a_dead_sink_ends_nothing() -> None:
    """What fails is counted, and the next is published."""
    sink, lost = SlowSink(), Counter[str]()
    tried = threading.Event()

    def count(reason: str, amount: int) -> None:
        lost[reason] += amount
        tried.set()

    box = Outbox(sink.publish, count)
    sink.failing = True
    sink.go.set()
    box.put(entry(0))
    assert tried.wait(WAIT_S)
    sink.failing = False
    box.put(entry(1))
    box.stop(WAIT_S)
    assert (lost, sink.got) == ({"failed": 1}, [1.0])


def test_metrics_tell_what_is_lost() -> None:
    """By reason."""
    calls = CallCounter()
    calls.lost("queue_full", 7)
    assert 'heartwood_emulator_log_entries_lost_total{reason="queue_full"} 7.0' in (
        calls.exposition().decode()
    )
