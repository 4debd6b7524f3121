"""What `/metrics` tells about the console itself, in Prometheus' exposition.

Read from the Console when scraped; nothing is counted twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import psutil
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from control.wiring import Console

_STARTED_AT: Final = time.time()


class ConsoleCollector(Collector):
    """One scrape of a Console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def collect(self) -> Iterator[Metric]:
        """Ages of sources, calls by outcome, the history cache, the router, intents, memory."""
        yield from self._sources()
        yield from self._history()
        yield from self._router()
        running = GaugeMetricFamily("heartwood_intents_unfinished", "Intents that have not ended")
        running.add_metric([], len(self._console.audit.unfinished()))
        yield running
        memory = GaugeMetricFamily("heartwood_process_memory_bytes", "Resident memory")
        memory.add_metric([], psutil.Process().memory_info().rss)
        yield memory
        uptime = GaugeMetricFamily("heartwood_uptime_seconds", "Since the process started")
        uptime.add_metric([], time.time() - _STARTED_AT)
        yield uptime

    def _sources(self) -> Iterator[Metric]:
        now = datetime.now(UTC)
        age = GaugeMetricFamily(
            "heartwood_source_age_seconds", "Since the last successful read", labels=["source"]
        )
        up = GaugeMetricFamily(
            "heartwood_source_up", "1 when the last read succeeded", labels=["source"]
        )
        for source, state in self._console.snapshot().sources.items():
            age_s = state.age_s(now)
            if age_s is not None:
                age.add_metric([source.value], age_s)
            if state.tried_at is not None:
                up.add_metric([source.value], float(state.problem is None))
        yield age
        yield up
        calls = CounterMetricFamily(
            "heartwood_source_reads", "Reads by source and outcome", labels=["source", "outcome"]
        )
        for (source, outcome), count in sorted(self._console.refresher.calls().items()):
            calls.add_metric([source.value, outcome], count)
        yield calls

    def _router(self) -> Iterator[Metric]:
        router = self._console.router
        decisions = CounterMetricFamily(
            "heartwood_router_decisions",
            'Requests by the tier that the router chose ("": none could take it) and by rule',
            labels=["tier", "rule"],
        )
        for (tier, rule), count in sorted(router.counts().items()):
            decisions.add_metric([tier, rule], count)
        yield decisions
        waiting = GaugeMetricFamily(
            "heartwood_router_in_flight", "Routed requests without an end yet", labels=["tier"]
        )
        for tier, count in sorted(router.in_flight().items()):
            waiting.add_metric([tier], count)
        yield waiting

    def _history(self) -> Iterator[Metric]:
        counts = self._console.past.counts()
        for name, text, value in (
            ("heartwood_history_hits", "Series answered from the cache", counts.hits),
            ("heartwood_history_reads", "Views read from Cloud Monitoring", counts.reads),
            ("heartwood_history_failures", "Views that could not be read", counts.failures),
        ):
            counter = CounterMetricFamily(name, text)
            counter.add_metric([], value)
            yield counter
        for name, text, value in (
            ("heartwood_history_views", "Views in the cache", counts.views),
            ("heartwood_history_points", "Points in the cache", counts.points),
        ):
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric([], value)
            yield gauge


def exposition(console: Console) -> bytes:
    """The text of `/metrics`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(ConsoleCollector(console))
    return generate_latest(registry)
