"""What the engines make of the demand, minute by minute: utilisation, waiting, times, errors.

Queueing in closed form, so that any window costs the same: a continuous-batching engine with
prompts and decode sharing its chips (roofline.py). Whatever cannot be taken in is turned away with
503, since a stored backlog would make the world depend on its past. Little's law holds by
construction: running = accepted × (residence − waiting), waiting = accepted × waiting time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from emulator.world.noise import Floats, Ints
from emulator.world.roofline import OUTPUT_SIGMA, PROMPT_SIGMA, Engine

MAX_UTILISATION: Final = 0.985
CLIENT_ERROR_RATIO: Final = 0.003
SERVER_ERROR_RATIO: Final = 2e-4
FRONT_END_S: Final = 0.018  # tokenising, HTTP and scheduling before the first step
PREFIX_RETENTION_S: Final = 120.0  # how long an engine would keep the pages of ended requests
PREFIX_HIT_RATIO: Final = 0.35  # of prompt tokens, were the whole pool full of prefixes
RUNTIME_HBM_RATIO: Final = 0.02  # of the HBM, for programs and scratch space

_PROMPT_CV2: Final = math.exp(PROMPT_SIGMA**2) - 1.0
_OUTPUT_CV2: Final = math.exp(OUTPUT_SIGMA**2) - 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """One part's load; every array has one value per minute. Rates per second, times in seconds.

    `ttft_sigma`, `e2e_sigma` and `itl_sigma` are log-normal shapes (see latency.py);
    `offered` = `completed` + `client_errors` + `failed` + `rejected`.
    """

    minutes: Ints
    slices: Floats
    engines: Floats
    offered: Floats
    accepted: Floats
    completed: Floats
    client_errors: Floats
    failed: Floats
    rejected: Floats
    utilisation: Floats
    running: Floats
    waiting: Floats
    queue_s: Floats
    prefill_s: Floats
    ttft_s: Floats
    ttft_sigma: Floats
    itl_s: Floats
    itl_sigma: Floats
    e2e_s: Floats
    e2e_sigma: Floats
    prompt_tokens: Floats
    generation_tokens: Floats
    kv_ratio: Floats
    cache_hit_ratio: Floats
    hbm_ratio: Floats
    bandwidth_ratio: Floats
    duty_ratio: Floats


@dataclass(frozen=True, slots=True)
class _Steps:
    """Inside one engine: streams that decode, a step's time, the share of time left by prompts."""

    streams: Floats
    step_s: Floats
    free: Floats
    prefill_s: Floats

    @property
    def itl_s(self) -> Floats:
        """Mean time between two tokens of a stream."""
        return self.step_s / self.free


def _steps(engine: Engine, rate: Floats, slow: Floats) -> _Steps:
    """n = rate·L·step(n)/free, solved for n with step(n) = a + b·n (see roofline.py)."""
    prefill = engine.prefill_s * slow
    free = 1.0 - rate * prefill
    base, each = engine.step_base_s * slow, engine.step_per_stream_s * slow
    tokens = rate * engine.output_tokens
    streams = tokens * base / np.maximum(free - tokens * each, 1e-6)
    return _Steps(streams, base + streams * each, free, prefill)


def solve(
    engine: Engine,
    minutes: Ints,
    slices: Floats,
    offered: Floats,
    slow: Floats,
    extra_errors: Floats,
    extra_hits: Floats | float = 0.0,
) -> Load:
    """The load of a part whose `slices` face `offered` requests/s.

    `slow` ≥ 1 stretches all times of the engines; `extra_errors` is the share of accepted requests
    that fail beside the usual, `extra_hits` that of prompt tokens found in the prefix cache.
    """
    engines = slices * engine.per_slice
    client_errors = CLIENT_ERROR_RATIO * offered
    demand = offered - client_errors
    capacity = engines * engine.capacity_rps / slow
    accepted = np.minimum(demand, MAX_UTILISATION * capacity)
    utilisation = np.where(capacity > 0, accepted / np.maximum(capacity, 1e-9), 0.0)
    rate = accepted / np.maximum(engines, 1e-9)
    inside = _steps(engine, rate, slow)
    decode = engine.output_tokens * inside.itl_s
    wait_prompt = rate * inside.prefill_s**2 * (1 + _PROMPT_CV2) / np.maximum(2 * inside.free, 1e-6)
    queue = wait_prompt + _slot_wait(engine, utilisation, decode)
    prefill = FRONT_END_S + inside.prefill_s + inside.step_s / 2
    ttft, e2e = queue + prefill, queue + prefill + decode
    ttft_var = inside.prefill_s**2 * _PROMPT_CV2 + queue**2 + (0.25 * FRONT_END_S) ** 2
    errors = np.minimum(SERVER_ERROR_RATIO * (1 + 3 * utilisation**8) + extra_errors, 1.0)
    failed = accepted * errors
    kv_bytes = _kv_bytes(engine, inside.streams, rate)
    kv_ratio = kv_bytes / engine.kv_pool_bytes
    return Load(
        minutes=minutes, slices=slices, engines=engines, offered=offered, accepted=accepted,
        completed=accepted - failed, client_errors=client_errors, failed=failed,
        rejected=demand - accepted, utilisation=utilisation,
        running=accepted * (e2e - queue), waiting=accepted * queue,
        queue_s=queue, prefill_s=prefill,
        ttft_s=ttft, ttft_sigma=_shape(ttft_var, ttft),
        itl_s=inside.itl_s, itl_sigma=0.30 + 0.25 * utilisation**4,
        e2e_s=e2e, e2e_sigma=_shape(ttft_var + decode**2 * _OUTPUT_CV2, e2e),
        prompt_tokens=accepted * engine.prompt_tokens,
        generation_tokens=(accepted - failed) * engine.output_tokens,
        kv_ratio=kv_ratio,
        cache_hit_ratio=np.minimum(PREFIX_HIT_RATIO * kv_ratio + extra_hits, 0.95),
        hbm_ratio=(engine.weight_bytes + kv_bytes) / engine.hbm_bytes + RUNTIME_HBM_RATIO,
        bandwidth_ratio=_bandwidth(engine, inside.streams, inside.step_s, inside.free),
        duty_ratio=_duty(engine, inside.streams, inside.step_s, 1.0 - inside.free),
    )  # fmt: skip


def _kv_bytes(engine: Engine, streams: Floats, rate: Floats) -> Floats:
    """KV pages in use: running streams, and those of ended requests kept as prefixes."""
    pages = streams * (engine.prompt_tokens + engine.output_tokens / 2)
    pages = pages + rate * (engine.prompt_tokens + engine.output_tokens) * PREFIX_RETENTION_S
    # The pool evicts what was used least, the more so the fuller it is: a soft limit.
    wanted = pages * engine.kv_bytes_per_token / engine.kv_pool_bytes
    return -np.expm1(-wanted) * engine.kv_pool_bytes


def _slot_wait(engine: Engine, utilisation: Floats, service_s: Floats) -> Floats:
    """Mean wait for a free stream: Sakasegawa's approximation of M/G/c with c = max_batch."""
    servers = engine.max_batch
    power = math.sqrt(2.0 * (servers + 1)) - 1.0
    spread = (1.0 + _OUTPUT_CV2) / 2.0
    return spread * service_s / servers * utilisation**power / (1.0 - utilisation)


def _shape(variance: Floats, mean: Floats) -> Floats:
    """σ of the log-normal with that mean and variance."""
    return np.sqrt(np.log1p(variance / mean**2))


def _bandwidth(engine: Engine, streams: Floats, step: Floats, free: Floats) -> Floats:
    """Share of the HBM's peak bandwidth in use: bytes of a decode step × steps per second."""
    kv = streams * (engine.prompt_tokens + engine.output_tokens / 2) * engine.kv_bytes_per_token
    busy = -np.expm1(-streams)
    return (engine.weight_bytes + kv) / step * free * busy / engine.hbm_bytes_per_s


def _duty(engine: Engine, streams: Floats, step: Floats, prompt_share: Floats) -> Floats:
    """Share of time in which the chip does anything: prompts, and decode without host overhead."""
    on_chip = 1.0 - 0.5 * engine.step_overhead_s / step
    return np.minimum(prompt_share + (1.0 - prompt_share) * on_chip * -np.expm1(-streams), 1.0)
