"""Counts of API calls per method, shown at /metrics; tests read them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, generate_latest


class CallCounter:
    """Counter `heartwood_emulator_calls_total{service,method,wire,code}`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "heartwood_emulator_calls",
            "API calls answered, by service, method, wire (grpc, rest) and code.",
            ("service", "method", "wire", "code"),
            registry=self._registry,
        )

    def count(self, service: str, method: str, wire: str, code: str = "OK") -> None:
        """Count one answered call."""
        self._calls.labels(service, method, wire, code).inc()

    def exposition(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self._registry)
