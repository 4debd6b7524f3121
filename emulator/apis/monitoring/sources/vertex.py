"""Metrics of Vertex endpoints that serve a tier's replicas: a series for each deployed model.

The models of an endpoint share one queue, as the world has it: they differ in how many requests
they get and fail, not in how long these take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np

from emulator.apis.monitoring.block import Block, DistributionBlock, Gap, Moments
from emulator.apis.monitoring.columns import Table, table
from emulator.apis.monitoring.distributions import BOUNDS_MS
from emulator.apis.monitoring.sources.load_balancer import shape_ms
from emulator.apis.monitoring.sources.servers import moments
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.apis.vertex.model import numeric_id
from emulator.world.load import Load
from emulator.world.models import OnEndpoint, on_endpoint, replica_shares
from emulator.world.noise import Floats, Ints
from emulator.world.parts import Part, PartKind

OVERHEAD_MS: Final = 6.0
_CLASSES: Final = {"2xx": ("completed",), "4xx": ("client_errors",), "5xx": ("failed", "rejected")}


@dataclass(frozen=True, slots=True)
class _Served:
    """One model that is or was deployed on a part's endpoint; `place` among all of these."""

    part: Part
    models: list[OnEndpoint]
    place: int

    @property
    def model(self) -> OnEndpoint:
        return self.models[self.place]

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The whole minutes in which it was not there, for gauges; of counts those are zero."""
        row, came, went = np.ones(1, dtype=bool), self.model.came, self.model.went
        before = (Gap(row, 0.0, came // 60 * 60.0),) if came else ()
        return before if went is None else (*before, Gap(row, (went // 60 + 1) * 60.0, np.inf))


def count_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """prediction/online/{response_count, error_count, prediction_count}."""
    found: list[Block] = []
    for served in _served(telemetry):
        if name == "response_count":
            for code, fields in _CLASSES.items():
                counted = partial(_counted, telemetry, served, fields)
                found.append(_block(telemetry, served, counted, {"response_code": code}))
        else:
            fields = ("failed", "rejected") if name == "error_count" else ("completed",)
            found.append(_block(telemetry, served, partial(_counted, telemetry, served, fields)))
    return found


def gauge_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """prediction/online/{replicas, target_replicas, machine_count, accelerator/…, memory/…}."""
    found: list[Block] = []
    for served in _served(telemetry):
        hbm = partial(_hbm, float(served.part.seed.gen.hbm_bytes))
        mean: Callable[[Load], Floats] | None = {
            "accelerator/duty_cycle": _duty, "accelerator/memory/bytes_used": hbm,
        }.get(name)  # fmt: skip
        if mean is not None:
            basis = partial(_mean, telemetry, served, mean)
        else:
            basis = partial(_replicas, telemetry, served, name == "target_replicas")
        found.append(replace(_block(telemetry, served, basis), gaps=served.gaps))
    return found


def latency_blocks(telemetry: Telemetry, name: str) -> list[DistributionBlock]:
    """prediction/online/prediction_latencies in milliseconds, by latency_type."""
    bounds = np.array(BOUNDS_MS)
    return [
        DistributionBlock(
            "aiplatform.googleapis.com/Endpoint",
            _labels(telemetry, served, {"latency_type": kind}),
            np.ones(1), bounds, partial(_latencies, telemetry, served, kind, bounds),
        )
        for served in _served(telemetry)
        for kind in ("overhead", "model", "total")
    ]  # fmt: skip


def _served(telemetry: Telemetry) -> list[_Served]:
    found: list[_Served] = []
    for part in telemetry.world.parts:
        if part.kind is PartKind.VERTEX:
            changes = telemetry.cloud.log.changes(part.tier)
            models = on_endpoint(changes, numeric_id("deployment", part.tier), part.slices)
            found.extend(_Served(part, models, place) for place in range(len(models)))
    return found


def _counted(
    telemetry: Telemetry, served: _Served, fields: tuple[str, ...], minutes: Ints
) -> Floats:
    load = telemetry.load(served.part, minutes, model=served.model.id)
    total = 60.0 * np.sum([getattr(load, f) for f in fields], axis=0)
    return (served.model.share(minutes) * total)[None, :]


def _mean(
    telemetry: Telemetry, served: _Served, value: Callable[[Load], Floats], minutes: Ints
) -> Floats:
    return value(telemetry.load(served.part, minutes))[None, :]


def _duty(load: Load) -> Floats:
    return load.duty_ratio


def _hbm(chip_bytes: float, load: Load) -> Floats:
    return load.hbm_ratio * chip_bytes


def _replicas(telemetry: Telemetry, served: _Served, wanted: bool, minutes: Ints) -> Floats:
    """The model's part of the replicas that serve, or that are wanted."""
    clock = minutes * 60.0 + 30.0
    share = replica_shares(served.models, clock)[served.place]
    if wanted:
        return (share * telemetry.world.wanted_slices(served.part, clock))[None, :]
    return (share * telemetry.load(served.part, minutes).slices)[None, :]


def _latencies(
    telemetry: Telemetry, served: _Served, kind: str, bounds: Floats, minutes: Ints
) -> Moments:
    load = telemetry.load(served.part, minutes, model=served.model.id)
    mean, sigma = shape_ms(load, "completed")
    if kind == "overhead":
        mean, sigma = np.full(mean.shape, OVERHEAD_MS), np.full(mean.shape, 0.4)
    elif kind == "total":
        mean = mean + OVERHEAD_MS
    return moments(60.0 * load.completed * served.model.share(minutes), mean, sigma, bounds)


def _block(
    telemetry: Telemetry,
    served: _Served,
    basis: Callable[[Ints], Floats],
    metric: Mapping[str, str] = MappingProxyType({}),
) -> Block:
    labels = _labels(telemetry, served, metric)
    resource = "aiplatform.googleapis.com/Endpoint"
    return Block(resource, labels, np.ones((1, 1)), basis)


def _labels(telemetry: Telemetry, served: _Served, metric: Mapping[str, str]) -> Table:
    project = telemetry.cloud.project
    return table(
        1,
        resource={
            "resource_container": project.number,
            "location": project.region,
            "endpoint_id": numeric_id("endpoint", served.part.tier),
        },
        metric={"deployed_model_id": served.model.id, **metric},
    )
