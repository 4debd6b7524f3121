"""What the project costs, hour by hour and resource by resource: the rows of a billing export.

Usage follows the fleet (hosts that exist, whether they serve or not) and the load (bytes sent), so
that a teardown stops the cost. The table that holds the rows stands in emulator/apis/bigquery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from emulator.scenario import TIER_LABEL
from emulator.world import prices
from emulator.world.hosts import Host
from emulator.world.noise import Floats, Ints, stream, uniform
from emulator.world.parts import Part, PartKind
from emulator.world.prices import Sku
from emulator.world.world import World

HOUR_S: Final = 3600.0
_BYTES_PER_TOKEN: Final = 30.0  # a token streamed as a server-sent event, compressed
_GIB: Final = 1024.0**3
_WEIGHTS_GIB: Final = 2048.0  # what the models' bucket holds
_HOURS_PER_MONTH: Final = 730.0
_SYSTEM_NODES: Final = 3
_SYSTEM_CORES: Final = 8
_SYSTEM_RAM_GIB: Final = 32
_DELAY_S: Final = (3.0 * HOUR_S, 6.0 * HOUR_S)
_LATE_SHARE: Final = 0.03
_LATE_S: Final = 18 * HOUR_S


@dataclass(frozen=True, slots=True)
class Line:
    """One resource's usage of one SKU over many hours.

    Attributes:
        amounts: usage per hour in the SKU's unit (hours).
        credit: (name, type, share of the cost that it takes off); None without.
    """

    resource: str
    global_name: str
    sku: Sku
    zone: str
    labels: Mapping[str, str]
    amounts: Floats
    credit: tuple[str, str, float] | None = None


@dataclass(frozen=True, slots=True)
class Stray:
    """A pool or TPU VM that belongs to no part of the world, and costs all the same.

    Attributes:
        name, global_name: short and full name of the resource.
        generation: of its TPU chips.
    """

    name: str
    global_name: str
    generation: str
    zone: str
    labels: Mapping[str, str]
    hosts: Sequence[Host]


@dataclass(frozen=True, slots=True)
class Bill:
    """All lines of a range of hours; `hours` are Unix seconds at which each begins."""

    hours: Ints
    lines: Sequence[Line] = field(default_factory=tuple)


def bill(
    world: World,
    hosts: Callable[[Part], list[Host]],
    first_hour: float,
    hours: int,
    strays: Sequence[Stray] = (),
) -> Bill:
    """The bill of so many whole hours."""
    starts = np.arange(hours, dtype=np.int64) * 3600 + int(first_hour // 3600) * 3600
    if not hours:
        return Bill(starts)
    lines = [_stray(stray, starts) for stray in strays]
    for part in world.parts:
        lines.extend(_chips(world, hosts, part, starts))
    if world.scenario.tiers:
        lines.extend(_shared(world, starts))
    return Bill(starts, lines)


def export_delays(seed: int, line: Line, hours: Ints) -> Floats:
    """Seconds from the end of each hour until its row is exported: some hours, rarely a day."""
    key = stream(seed, "export", line.resource, line.sku.id)
    low, high = _DELAY_S
    draw, late = uniform(key, hours), uniform(key + 1, hours)
    return low + (high - low) * draw + np.where(late < _LATE_SHARE, _LATE_S * draw, 0.0)


def _chips(
    world: World, hosts: Callable[[Part], list[Host]], part: Part, starts: Ints
) -> Iterator[Line]:
    if part.kind is PartKind.VERTEX:
        yield _vertex(world, part, starts)
        return
    project = world.scenario.project
    pools: dict[str, list[Host]] = {}
    for host in hosts(part):
        pools.setdefault(host.pool, []).append(host)
    unpaid = _unpaid(world, part, starts)
    for pool, members in pools.items():
        amounts = np.zeros(len(starts))
        for host in members:
            gone = _overlap(host.absences + unpaid.get(host.slice_index, ()), starts)
            amounts += host.chips * (1.0 - gone)
        labels = {TIER_LABEL: part.tier}
        credit = None
        if part.kind is PartKind.GKE:
            labels |= {
                "goog-k8s-cluster-name": project.cluster,
                "goog-k8s-cluster-location": project.cluster_location,
                "goog-k8s-node-pool-name": pool,
            }
            name = f"//container.googleapis.com/projects/{project.id}/locations/"
            name += f"{project.cluster_location}/clusters/{project.cluster}/nodePools/{pool}"
        else:
            name = f"//tpu.googleapis.com/projects/{project.id}/locations/{part.seed.zone}"
            name += f"/nodes/{pool}"
            credit = ("Development programme", "PROMOTION", 0.1)
        yield Line(
            pool, name, prices.chip_sku(part.seed.generation, spot=members[0].spot),
            part.seed.zone, labels, amounts, credit,
        )  # fmt: skip


def _stray(stray: Stray, starts: Ints) -> Line:
    amounts = np.zeros(len(starts))
    for host in stray.hosts:
        amounts += host.chips * (1.0 - _overlap(host.absences, starts))
    sku = prices.chip_sku(stray.generation)
    return Line(stray.name, stray.global_name, sku, stray.zone, stray.labels, amounts)


def _unpaid(world: World, part: Part, starts: Ints) -> dict[int, tuple[tuple[float, float], ...]]:
    """Times at which incidents took away a slice that is not paid for meanwhile, by slice."""
    found: dict[int, tuple[tuple[float, float], ...]] = {}
    for event in world.incidents(float(starts[0]), float(starts[-1]) + HOUR_S):
        if event.part == part.key and event.target is not None and not event.billed:
            spans = found.get(event.target, ())
            found[event.target] = (*spans, (event.start, event.end))
    return found


def _overlap(spans: Sequence[tuple[float, float]], starts: Ints) -> Floats:
    """Share of each hour that the spans cover."""
    total = np.zeros(len(starts))
    for begin, end in spans:
        covered = np.minimum(starts + HOUR_S, end) - np.maximum(starts, begin)
        total += np.clip(covered, 0.0, None) / HOUR_S
    return np.minimum(total, 1.0)


def _vertex(world: World, part: Part, starts: Ints) -> Line:
    minutes = (starts[:, None] + 60 * np.arange(60)[None, :]).ravel()
    slices = world.billed_slices(part, minutes).reshape(len(starts), 60).mean(axis=1)
    project = world.scenario.project
    name = f"//aiplatform.googleapis.com/projects/{project.number}/locations/{project.region}"
    return Line(
        f"hw-{part.tier}", f"{name}/endpoints/hw-{part.tier}", prices.VERTEX_TPU7X,
        project.region, {TIER_LABEL: part.tier}, slices * part.chips_per_slice,
    )  # fmt: skip


def _shared(world: World, starts: Ints) -> Iterator[Line]:
    """What belongs to no tier: system pool, load balancer, bytes sent, the models' bucket."""
    project = world.scenario.project
    ones = np.ones(len(starts))
    cluster = {
        "goog-k8s-cluster-name": project.cluster,
        "goog-k8s-cluster-location": project.cluster_location,
        "goog-k8s-node-pool-name": "hw-system",
    }
    pool = f"//container.googleapis.com/projects/{project.id}/nodePools/hw-system"
    discount = ("Committed Usage Discount: CPU", "COMMITTED_USAGE_DISCOUNT", 0.37)
    cores = ones * _SYSTEM_NODES * _SYSTEM_CORES
    ram = ones * _SYSTEM_NODES * _SYSTEM_RAM_GIB
    zone = "us-central1-c"
    yield Line("hw-system", pool, prices.E2_CORE, zone, cluster, cores, discount)
    yield Line("hw-system", pool, prices.E2_RAM, zone, cluster, ram)
    compute = f"//compute.googleapis.com/projects/{project.id}/global/forwardingRules"
    yield Line("hw-serving", f"{compute}/hw-serving", prices.BALANCER, "", {}, ones)
    yield Line(
        "hw-serving", f"{compute}/hw-serving", prices.EGRESS, "", {}, _sent_gib(world, starts)
    )
    bucket = f"//storage.googleapis.com/{project.id}-models"
    stored = ones * _WEIGHTS_GIB / _HOURS_PER_MONTH
    yield Line(f"{project.id}-models", bucket, prices.STORAGE, "", {}, stored)


def _sent_gib(world: World, starts: Ints) -> Floats:
    """GiB that the load balancer sent per hour, from the load in the middle of each quarter."""
    total = np.zeros(len(starts))
    minutes = ((starts[:, None] + 60 * np.array([7, 22, 37, 52])[None, :]) // 60).ravel()
    for part in world.parts:
        if part.kind is PartKind.GKE and part.seed.behind_load_balancer:
            rate = world.load(part, minutes).generation_tokens.reshape(len(starts), 4)
            total += rate.mean(axis=1) * 3600.0 * _BYTES_PER_TOKEN / _GIB
    return total
