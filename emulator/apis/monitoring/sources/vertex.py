"""Metrics of Vertex endpoints that serve a tier's replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from emulator.apis.monitoring.block import Block, DistributionBlock, Moments
from emulator.apis.monitoring.columns import Table, table
from emulator.apis.monitoring.distributions import BOUNDS_MS
from emulator.apis.monitoring.sources.load_balancer import shape_ms
from emulator.apis.monitoring.sources.servers import moments
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.apis.vertex.model import numeric_id
from emulator.world.load import Load
from emulator.world.noise import Floats, Ints
from emulator.world.parts import Part, PartKind

OVERHEAD_MS: Final = 6.0
_CLASSES: Final = {"2xx": ("completed",), "4xx": ("client_errors",), "5xx": ("failed", "rejected")}


def count_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """prediction/online/{response_count, error_count, prediction_count}."""
    found: list[Block] = []
    for part in _parts(telemetry):
        if name == "response_count":
            for code, fields in _CLASSES.items():
                found.append(
                    _block(telemetry, part, partial(_sum, fields), {"response_code": code})
                )
        else:
            fields = ("failed", "rejected") if name == "error_count" else ("completed",)
            found.append(_block(telemetry, part, partial(_sum, fields), {}))
    return found


def gauge_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """prediction/online/{replicas, target_replicas, machine_count, accelerator/…, memory/…}."""
    found: list[Block] = []
    for part in _parts(telemetry):
        value: Callable[[Load], Floats] = {
            "replicas": _slices, "machine_count": _slices,
            "accelerator/duty_cycle": _duty,
            "accelerator/memory/bytes_used": partial(_hbm, float(part.seed.gen.hbm_bytes)),
        }.get(name, _slices)  # fmt: skip
        if name == "target_replicas":
            basis = partial(_target, telemetry, part)
            found.append(_with_basis(telemetry, part, basis, {}))
        else:
            found.append(_block(telemetry, part, value, {}))
    return found


def latency_blocks(telemetry: Telemetry, name: str) -> list[DistributionBlock]:
    """prediction/online/prediction_latencies in milliseconds, by latency_type."""
    bounds = np.array(BOUNDS_MS)
    return [
        DistributionBlock(
            "aiplatform.googleapis.com/Endpoint",
            _labels(telemetry, part, {"latency_type": kind}),
            np.ones(1), bounds, partial(_latencies, telemetry, part, kind, bounds),
        )
        for part in _parts(telemetry)
        for kind in ("overhead", "model", "total")
    ]  # fmt: skip


def _parts(telemetry: Telemetry) -> list[Part]:
    return [p for p in telemetry.world.parts if p.kind is PartKind.VERTEX]


def _sum(fields: tuple[str, ...], load: Load) -> Floats:
    return 60.0 * np.sum([getattr(load, f) for f in fields], axis=0)


def _slices(load: Load) -> Floats:
    return load.slices


def _duty(load: Load) -> Floats:
    return load.duty_ratio


def _hbm(chip_bytes: float, load: Load) -> Floats:
    return load.hbm_ratio * chip_bytes


def _target(telemetry: Telemetry, part: Part, minutes: Ints) -> Floats:
    return telemetry.world.wanted_slices(part, minutes * 60.0 + 30.0)[None, :]


def _latencies(
    telemetry: Telemetry, part: Part, kind: str, bounds: Floats, minutes: Ints
) -> Moments:
    load = telemetry.load(part, minutes)
    mean, sigma = shape_ms(load, "completed")
    if kind == "overhead":
        mean, sigma = np.full(mean.shape, OVERHEAD_MS), np.full(mean.shape, 0.4)
    elif kind == "total":
        mean = mean + OVERHEAD_MS
    return moments(60.0 * load.completed, mean, sigma, bounds)


def _block(
    telemetry: Telemetry, part: Part, value: Callable[[Load], Floats], metric: Mapping[str, str]
) -> Block:
    def basis(minutes: Ints) -> Floats:
        return value(telemetry.load(part, minutes))[None, :]

    return _with_basis(telemetry, part, basis, metric)


def _with_basis(
    telemetry: Telemetry, part: Part, basis: Callable[[Ints], Floats], metric: Mapping[str, str]
) -> Block:
    labels = _labels(telemetry, part, metric)
    return Block("aiplatform.googleapis.com/Endpoint", labels, np.ones((1, 1)), basis)


def _labels(telemetry: Telemetry, part: Part, metric: Mapping[str, str]) -> Table:
    endpoint = numeric_id("endpoint", part.tier)
    deployed = numeric_id("deployment", part.tier)
    project = telemetry.cloud.project
    return table(
        1,
        resource={
            "resource_container": project.number,
            "location": project.region,
            "endpoint_id": endpoint,
        },
        metric={"deployed_model_id": deployed, **metric},
    )
