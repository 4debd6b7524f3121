"""Time series for charts: which signals there are, and the record that carries one.

Reading them is `services/monitoring.py`'s work, caching them `control/history.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Signal(StrEnum):
    """What can be charted per tier; the unit of each is in `UNITS`."""

    REQUESTS = "requests_per_s"
    ERRORS = "error_ratio"
    TTFT_P50 = "ttft_p50_ms"
    TTFT_P95 = "ttft_p95_ms"
    TTFT_P99 = "ttft_p99_ms"
    LATENCY_P50 = "latency_p50_ms"
    LATENCY_P95 = "latency_p95_ms"
    LATENCY_P99 = "latency_p99_ms"
    PROMPT_TOKENS = "prompt_tokens_per_s"
    GENERATION_TOKENS = "generation_tokens_per_s"
    TENSORCORE = "tensorcore_utilisation_ratio"
    DUTY_CYCLE = "duty_cycle_ratio"
    HBM = "hbm_utilisation_ratio"
    RUNNING = "requests_running"
    WAITING = "requests_waiting"
    KV_CACHE = "kv_cache_ratio"
    SOLVED = "solved_ratio"  # share of an evaluation's tasks that the tier's answers solve
    HOSTS = "hosts"  # hosts that report accelerator metrics: the tier's size over time


UNITS: dict[Signal, str] = {
    Signal.REQUESTS: "requests/s",
    Signal.ERRORS: "ratio",
    Signal.TTFT_P50: "ms",
    Signal.TTFT_P95: "ms",
    Signal.TTFT_P99: "ms",
    Signal.LATENCY_P50: "ms",
    Signal.LATENCY_P95: "ms",
    Signal.LATENCY_P99: "ms",
    Signal.PROMPT_TOKENS: "tokens/s",
    Signal.GENERATION_TOKENS: "tokens/s",
    Signal.TENSORCORE: "ratio",
    Signal.DUTY_CYCLE: "ratio",
    Signal.HBM: "ratio",
    Signal.RUNNING: "requests",
    Signal.WAITING: "requests",
    Signal.KV_CACHE: "ratio",
    Signal.SOLVED: "ratio",
    Signal.HOSTS: "hosts",
}


@dataclass(frozen=True, slots=True)
class Window:
    """A closed-open range [start, end) cut into steps of `step_s` seconds, aligned to the step."""

    start: datetime
    end: datetime
    step_s: int


@dataclass(frozen=True, slots=True)
class Series:
    """One signal of one tier.

    Attributes:
        times: UTC, ascending, one per step that has a row; the end of each aligned step.
        values: same length; None: the source has no point there (a gap, not zero).
        unit: as in `UNITS`.
    """

    tier: str
    signal: Signal
    window: Window
    times: tuple[datetime, ...]
    values: tuple[float | None, ...]
    unit: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """Something that happened, drawn on every time chart.

    `source` says who says so: "heartwood" (our own actions) or the cloud's own record.
    """

    at: datetime
    tier: str  # "" : concerns all
    text: str
    source: str
    link: str = ""
