"""What else could be had where the stock or a quota did not suffice, told from the Snapshot alone.

A failed step's message says which of the two it was. Each alternative is a sentence that names the
parameter or the setting with which it is asked for; none is chosen by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from core import tpu
from core.capacity import HBM_SHARE
from core.cloud_limits import Seller
from core.guards.change import seller_of
from core.plans import Plan, Step
from core.pricing import ON_DEMAND, PREEMPTIBLE, find_price, region_of
from core.quota_use import quota_of, used_chips
from core.records import Snapshot
from core.specs import PartKind, TierSpec
from core.wording import plural

_STOCK: Final = re.compile(
    r"stock.?out|RESOURCE_POOL_EXHAUSTED|RESOURCES_EXHAUSTED|not enough resources"
    r"|no more capacity|enough (resources|capacity) available|out of (stock|capacity)",
    re.I,
)
_RATE: Final = re.compile(r"per (minute|second|\d+ ?s)", re.I)  # waiting helps there
_QUOTA: Final = re.compile(r"quota", re.I)
_MOST_ZONES: Final = 3


class Shortage(StrEnum):
    """What did not suffice."""

    STOCK = "stock"
    QUOTA = "quota"


def shortage_of(message: str) -> Shortage | None:
    """What a failure's message says was short; None: it was something else."""
    if _STOCK.search(message):
        return Shortage.STOCK
    if _QUOTA.search(message) and not _RATE.search(message):
        return Shortage.QUOTA
    return None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a step asked for: `chips` of a generation in a zone, of a seller."""

    spec: TierSpec
    gen: tpu.Generation
    seller: Seller
    chips: int
    plan: Plan
    short: Shortage


def alternatives(snapshot: Snapshot, plan: Plan, step: Step, message: str) -> tuple[str, ...]:
    """Sentences about what else could be had; empty where nothing was short or nothing is known."""
    short = shortage_of(message)
    spec = next((s for s in snapshot.specs if s.name == plan.request.tier), None)
    chips = _chips(step, spec)
    if short is None or spec is None or spec.generation is None or chips <= 0:
        return ()
    gen = tpu.generation(spec.generation)
    asked = _Asked(spec, gen, seller_of(step), chips, plan, short)
    return (
        *_reserved(snapshot, asked),
        *_queued(asked),
        *_on_spot(snapshot, asked),
        *_fewer(snapshot, asked),
        *_zones(snapshot, asked),
        *_smaller(asked),
    )


def _chips(step: Step, spec: TierSpec | None) -> int:
    """Chips that the step asks for, by its own word or by its nodes."""
    said = step.after.get("chips")
    if isinstance(said, int):
        return said
    after, before = step.after.get("node_count"), step.before.get("node_count", 0)
    if spec is None or not spec.generation:
        return 0
    if isinstance(after, int) and isinstance(before, int):
        return (after - before) * tpu.chips_per_host(tpu.generation(spec.generation), spec.topology)
    after, before = step.after.get("least"), step.before.get("least")
    if isinstance(after, int) and isinstance(before, int):  # replicas on Vertex
        return (after - before) * tpu.chips(spec.topology)
    return 0


def _can(asked: _Asked, name: str) -> bool:
    """Whether the action that failed knows that parameter, and was not asked with it.

    Scaling knows it where it makes a pool for each slice.
    """
    pools = all(p.kind is not PartKind.GKE_SINGLE_HOST for p in asked.spec.parts)
    known = {"provision_tier": ("spot", "reservation", "queued"),
             "scale_tier": ("spot", "reservation") if pools else ()}  # fmt: skip
    wish = asked.plan.request
    return name in known.get(wish.action, ()) and not wish.parameters.get(name)


def _reserved(snapshot: Snapshot, asked: _Asked) -> Iterator[str]:
    """Reservations with as many chips free; Compute Engine's are of no use elsewhere."""
    if asked.seller is not Seller.COMPUTE:
        return
    for found in snapshot.reservations or ():
        free = found.chips - found.used_chips
        if found.generation != asked.gen.name or free < asked.chips:
            continue
        if found.name == asked.plan.reservation:
            continue
        how = f"reservation={found.name}"
        if found.zone != asked.spec.zone:
            how = f"with zone = {found.zone!r} in heartwood.toml, then {how}"
        if _can(asked, "reservation"):
            yield f"reservation {found.name} in {found.zone} has {free:,} chips free ({how})"


def _queued(asked: _Asked) -> Iterator[str]:
    """Queues, which the Cloud TPU API alone has."""
    if asked.seller is Seller.TPU and asked.short is Shortage.STOCK and _can(asked, "queued"):
        yield "a queued resource waits until chips are free (queued=true)"


def _on_spot(snapshot: Snapshot, asked: _Asked) -> Iterator[str]:
    """Chips that may be taken away; another stock, and a price of its own."""
    if asked.seller is Seller.VERTEX or not _can(asked, "spot"):
        return
    region = region_of(asked.spec.zone)
    pair = [
        find_price(snapshot.prices, asked.gen.name, region, usage)
        for usage in (PREEMPTIBLE, ON_DEMAND)
    ]
    spot, usual = (None if p is None else f"${p.usd_per_chip_hour:,.4g}" for p in pair)
    price = f"at {spot} a chip-hour" if spot else "at a price that is not known"
    instead = f" instead of {usual}" if usual else ""
    yield f"spot chips, which may be taken away at any time, {price}{instead} (spot=true)"


def _fewer(snapshot: Snapshot, asked: _Asked) -> Iterator[str]:
    """As many slices as the quota leaves."""
    free = _free(snapshot, asked, asked.spec.zone)
    per_slice = tpu.chips(asked.spec.topology)
    if asked.short is Shortage.QUOTA and free is not None and per_slice <= free < asked.chips:
        slices = int(free // per_slice)
        fit = "fits" if slices == 1 else "fit"
        yield f"{plural(slices, 'slice')} {fit} into the {free:,.0f} chips that the quota leaves"


def _free(snapshot: Snapshot, asked: _Asked, zone: str) -> float | None:
    """Chips that the quota of a zone leaves; None: not known; infinite: it has no limit."""
    quota = quota_of(snapshot.quotas or (), asked.seller, asked.gen.name, zone)
    if quota is None:
        return None
    if quota.limit_chips < 0:
        return float("inf")
    used = used_chips(snapshot, quota)
    return None if used is None else max(0.0, quota.limit_chips - used)


def _zones(snapshot: Snapshot, asked: _Asked) -> Iterator[str]:
    """Other zones that have the generation, and whose quota is not known to be too small."""
    here, machine = asked.spec.zone, tpu.machine_type(asked.gen, asked.spec.topology)
    told = 0
    for zone in asked.gen.zones:
        free = _free(snapshot, asked, zone)
        if asked.short is Shortage.QUOTA and region_of(zone) == region_of(here):
            continue
        if zone == here or told == _MOST_ZONES or (free is not None and free < asked.chips):
            continue
        place = zone
        if asked.seller is Seller.VERTEX:
            place = region_of(zone)
            if place == region_of(here):
                continue
        offered = (snapshot.machine_types or {}).get(zone)
        if asked.seller is Seller.COMPUTE and offered is not None and machine not in offered:
            continue
        seen = asked.seller is Seller.COMPUTE and offered is not None
        what = f"offers {machine}" if seen else f"has {asked.gen.name}, as Google's pages say"
        left = "a quota that is not known" if free is None else f"{free:,.0f} chips of quota free"
        if free == float("inf"):
            left = "no limit of chips"
        told += 1
        yield f"{place} {what}, with {left} (zone and location of the tier in heartwood.toml)"


def _smaller(asked: _Asked) -> Iterator[str]:
    """The next smaller legal slice that holds the model."""
    spec, now = asked.spec, tpu.chips(asked.spec.topology)
    if spec.model_parameters is None:
        return
    needed = spec.model_parameters * spec.weight_bytes_per_parameter
    several = tpu.is_multi_host(asked.gen, spec.topology)
    for topology in reversed(tpu.legal_topologies(asked.gen)):
        chips = tpu.chips(topology)
        if chips >= now or tpu.is_multi_host(asked.gen, topology) is not several:
            continue
        room = chips * asked.gen.hbm_bytes * HBM_SHARE - needed
        if room <= 0 or chips < (spec.server_chips or 1):
            return
        yield (
            f"slices of {topology} ({chips} chips instead of {now}) hold the model's"
            f" {needed / tpu.GB:,.0f} GB of weights and leave {room / tpu.GB:,.0f} GB for requests"
            " (topology in heartwood.toml)"
        )
        return
