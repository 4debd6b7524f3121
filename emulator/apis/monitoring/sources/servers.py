"""The inference servers' metrics under vLLM's names, as Google's managed collector writes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from emulator.apis.monitoring.block import Block, DistributionBlock, Moments
from emulator.apis.monitoring.columns import table
from emulator.apis.monitoring.fleet import slices_of
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.world import latency
from emulator.world.hosts import Host
from emulator.world.load import Load
from emulator.world.noise import Floats, Ints, stream, uniform
from emulator.world.parts import Part, PartKind
from emulator.world.roofline import OUTPUT_SIGMA, PROMPT_SIGMA
from emulator.world.uneven import Which

JOB: Final = "heartwood-serving"

# vLLM's own bucket bounds (its metrics loggers), in seconds and tokens.
TTFT_S: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
TOKEN_S: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
)  # fmt: skip
REQUEST_S: Final = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
TOKENS: Final = tuple(float(m * 10**e) for e in range(5) for m in (1, 2, 5))

FINISHED: Final = {"stop": 0.93, "length": 0.062, "abort": 0.008}

Per = Callable[[Load, Part], Floats]
Group = tuple[Part, Which, list[Host]]


def _gauge(load: Load, part: Part, field: str) -> Floats:
    value: Floats = getattr(load, field)
    if field == "kv_ratio":
        return value
    return value / np.maximum(load.engines, 1.0)


GAUGES: Final[dict[str, str]] = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "kv_cache_usage_perc": "kv_ratio",
}
COUNTERS: Final[tuple[str, ...]] = (
    "prompt_tokens_total",
    "generation_tokens_total",
    "request_success_total",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    "num_preemptions_total",
)
HISTOGRAMS: Final[dict[str, tuple[float, ...]]] = {
    "time_to_first_token_seconds": TTFT_S,
    "inter_token_latency_seconds": TOKEN_S,
    "e2e_request_latency_seconds": REQUEST_S,
    "request_queue_time_seconds": REQUEST_S,
    "request_prefill_time_seconds": REQUEST_S,
    "request_decode_time_seconds": REQUEST_S,
    "request_inference_time_seconds": REQUEST_S,
    "request_prompt_tokens": TOKENS,
    "request_generation_tokens": TOKENS,
}


def gauge_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """prometheus.googleapis.com/vllm:<name>/gauge of every simulated tier."""
    return [_block(telemetry, g, partial(_gauge, field=GAUGES[name])) for g in _groups(telemetry)]


def counter_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """prometheus.googleapis.com/vllm:<name>/counter; the basis is growth per minute."""
    found: list[Block] = []
    for group in _groups(telemetry):
        if name != "request_success_total":
            found.append(_block(telemetry, group, partial(_growth, name=name)))
            continue
        for reason in (*FINISHED, "error"):
            growth = partial(_finished, reason=reason)
            found.append(_block(telemetry, group, growth, finished_reason=reason))
    return found


def histogram_blocks(telemetry: Telemetry, name: str) -> list[DistributionBlock]:
    """prometheus.googleapis.com/vllm:<name>/histogram."""
    found: list[DistributionBlock] = []
    for group in _groups(telemetry):
        block = _block(telemetry, group, _ones)
        bounds = np.array(HISTOGRAMS[name])
        found.append(
            DistributionBlock(
                "prometheus_target", block.labels, block.coefficients[:, 0], bounds,
                partial(_moments, telemetry, group, name, bounds), block.gaps,
            )
        )  # fmt: skip
    return found


def _groups(telemetry: Telemetry) -> list[Group]:
    """Hosts of parts whose servers export Prometheus metrics, all but Vertex's; alike in load."""
    return [
        (part, which, hosts)
        for part in telemetry.world.parts
        if part.kind is not PartKind.VERTEX
        for which, hosts in telemetry.alike(part)
    ]


def _ones(load: Load, part: Part) -> Floats:
    return np.ones(load.minutes.shape)


def _block(telemetry: Telemetry, group: Group, per_engine: Per, **labels: str) -> Block:
    """One series per engine (an engine answers on its slice's first host)."""
    part, which, hosts = group
    slices = slices_of(hosts)
    engines = telemetry.world.engines[part.key].per_slice
    leaders = [s.hosts[0] for s in slices]
    rows = np.repeat(np.arange(len(slices)), engines)
    pods = [leaders[r].pod for r in rows]
    project = telemetry.cloud.project
    vm = part.kind is PartKind.TPU_VM
    columns = table(
        len(rows),
        resource={
            "project_id": project.id,
            "location": part.seed.zone if vm else project.cluster_location,
            "cluster": "__gce__" if vm else project.cluster,
            "namespace": part.tier,
            "job": JOB,
            "instance": [f"{leaders[r].name}:8000" for r in rows] if vm
            else [f"{p}:http" for p in pods],
        },
        metric={
            "model_name": part.seed.model.name,
            "engine": [str(i) for _ in slices for i in range(engines)],
            **({} if vm else {"pod": pods, "container": "server"}),
            **labels,
        },
    )  # fmt: skip
    basis = partial(_basis, telemetry, part, which, per_engine)
    gaps = telemetry.gaps(part, leaders, rows, None)
    # No two servers carry quite the same: ±2% around the part's mean.
    names = np.array([stream(leaders[r].name) % (1 << 40) for r in rows], dtype=np.int64)
    engine = np.tile(np.arange(engines), len(slices))
    share = 1.0 + 0.04 * (uniform(stream(telemetry.seed, "server"), names * 64 + engine) - 0.5)
    weights = (share / share.mean())[:, None]
    return Block("prometheus_target", columns, weights, basis, gaps)


def _basis(
    telemetry: Telemetry, part: Part, which: Which, per_engine: Per, minutes: Ints
) -> Floats:
    return per_engine(telemetry.load(part, minutes, which), part)[None, :]


def _per_minute(load: Load, rate: Floats) -> Floats:
    return 60.0 * rate / np.maximum(load.engines, 1.0)


def _growth(load: Load, part: Part, name: str) -> Floats:
    if name == "prompt_tokens_total":
        return _per_minute(load, load.prompt_tokens)
    if name == "generation_tokens_total":
        return _per_minute(load, load.generation_tokens)
    if name == "prefix_cache_queries_total":
        return _per_minute(load, load.prompt_tokens)
    if name == "prefix_cache_hits_total":
        return _per_minute(load, load.prompt_tokens * load.cache_hit_ratio)
    return _per_minute(load, load.accepted * 0.02 * np.clip(load.utilisation - 0.9, 0.0, None))


def _finished(load: Load, part: Part, reason: str) -> Floats:
    if reason == "error":
        return _per_minute(load, load.failed)
    return _per_minute(load, load.completed * FINISHED[reason])


def _moments(
    telemetry: Telemetry, group: Group, name: str, bounds: Floats, minutes: Ints
) -> Moments:
    part, which, _ = group
    load = telemetry.load(part, minutes, which)
    mean, sigma = _shape(load, telemetry.world.engines[part.key].prompt_tokens,
                         telemetry.world.engines[part.key].output_tokens, name)  # fmt: skip
    events = _per_minute(load, load.completed)
    if name == "inter_token_latency_seconds":
        events = _per_minute(load, load.generation_tokens)
    return moments(events, mean, sigma, bounds)


def moments(events: Floats, mean: Floats, sigma: Floats, bounds: Floats) -> Moments:
    """Counts per bucket and moments of so many events with that log-normal mixture."""
    return Moments(
        latency.bucket_counts(events, mean, sigma, bounds),
        events * mean,
        events * latency.second_moment(mean, sigma),
    )


def _shape(load: Load, prompt: float, output: float, name: str) -> tuple[Floats, Floats]:
    """(mean, σ) of a histogram's log-normal per minute."""
    ones = np.ones(load.minutes.shape)
    decode = np.maximum(load.e2e_s - load.ttft_s, 1e-6)
    shapes: dict[str, tuple[Floats, Floats]] = {
        "time_to_first_token_seconds": (load.ttft_s, load.ttft_sigma),
        "inter_token_latency_seconds": (load.itl_s, load.itl_sigma),
        "e2e_request_latency_seconds": (load.e2e_s, load.e2e_sigma),
        "request_queue_time_seconds": (np.maximum(load.queue_s, 1e-6), ones),
        "request_prefill_time_seconds": (load.prefill_s, load.ttft_sigma),
        "request_decode_time_seconds": (decode, OUTPUT_SIGMA * ones),
        "request_inference_time_seconds": (decode + load.prefill_s, load.e2e_sigma),
        "request_prompt_tokens": (prompt * ones, PROMPT_SIGMA * ones),
        "request_generation_tokens": (output * ones, OUTPUT_SIGMA * ones),
    }
    return shapes[name]
