"""Records of what tiers and chips carry now, and of our own server's word about itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Percentiles of one distribution, in milliseconds; None: no events in the window."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class TierLoad:
    """What one tier carries, averaged over the `window_s` seconds before `at`.

    Every None is "no data", which is not zero. `tensorcore_utilisation_ratio` is the mean over
    chips that report; `hbm_utilisation_ratio` is used ÷ total HBM bytes.
    """

    tier: str
    at: datetime
    window_s: float
    requests_per_s: float | None = None
    error_ratio: float | None = None
    ttft: Quantiles = Quantiles()
    latency: Quantiles = Quantiles()
    prompt_tokens_per_s: float | None = None
    generation_tokens_per_s: float | None = None
    tensorcore_utilisation_ratio: float | None = None
    duty_cycle_ratio: float | None = None
    hbm_utilisation_ratio: float | None = None
    requests_running: float | None = None
    requests_waiting: float | None = None
    kv_cache_ratio: float | None = None
    vertex_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class ChipReading:
    """The latest per-chip figures; None: that chip sent no such point in the window.

    `cluster` and `cluster_location` tell nodes of the same name apart; "" for TPU VMs.
    """

    host: str
    chip: str  # accelerator_id
    tensorcore_utilisation_ratio: float | None
    hbm_used_bytes: float | None
    hbm_total_bytes: float | None
    cluster: str = ""
    cluster_location: str = ""


@dataclass(frozen=True, slots=True)
class ServerReading:
    """What one server in Kubernetes, all of its engines, did over the newest minutes.

    `cached_prompt_ratio`: of the tokens of its prompts, those found in its prefix cache. None: it
    sent no such point.
    """

    tier: str
    pod: str
    cluster: str
    requests_per_s: float | None
    cached_prompt_ratio: float | None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Our own inference server's word about itself."""

    url: str
    ready: bool
    detail: str
    model: str = ""
    parameters: int | None = None
    devices: tuple[str, ...] = ()
    precision: str = ""
    slots: int | None = None
    context_tokens: int | None = None
    uptime_s: float | None = None
    compiles_after_ready: int | None = None
