"""Counts of API calls per method, and of log entries that were lost; shown at /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, generate_latest


class CallCounter:
    """`heartwood_emulator_calls_total`, and `heartwood_emulator_log_entries_lost_total`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "heartwood_emulator_calls",
            "API calls answered, by service, method, wire (grpc, rest) and code.",
            ("service", "method", "wire", "code"),
            registry=self._registry,
        )
        self._lost = Counter(
            "heartwood_emulator_log_entries_lost",
            "Log entries that a sink let through and that no topic got, by reason.",
            ("reason",),
            registry=self._registry,
        )

    def lost(self, reason: str, amount: int) -> None:
        """Count entries that were not published: queue_full, no_room or failed."""
        self._lost.labels(reason).inc(amount)

    def count(self, service: str, method: str, wire: str, code: str = "OK") -> None:
        """Count one answered call."""
        self._calls.labels(service, method, wire, code).inc()

    def exposition(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self._registry)
