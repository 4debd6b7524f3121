"""From a target to a number of slices: dollars per hour, or a 95th percentile of latency.

Only the arithmetic, told line by line; planning the change is `core/actions/scale_tier.py`'s, and
the guards judge it like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from core.fleet import FleetTier
from core.guards.load_left import fullness
from core.pricing import chips_rate, tier_rate
from core.records import Snapshot
from core.specs import PartKind
from core.tpu import chips
from core.traffic_effect import serving_slices

_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)


@dataclass(frozen=True, slots=True)
class Target:
    """What a target comes to. `delta` 0: it is reached already, or cannot be reached from here."""

    delta: int
    reached: str
    arithmetic: tuple[str, ...]


def slices_for_rate(snapshot: Snapshot, tier: FleetTier, usd_per_hour: float) -> Target:
    """How many slices to add or remove so that the tier costs at most so much.

    Raises:
        ValueError: the tier has no price, or no slices; the message says so.
    """
    spec = tier.spec
    have = _slices(tier)
    now = tier_rate(tier, snapshot.prices)
    one = chips_rate(snapshot.prices, spec.generation or "", spec.zone, chips(spec.topology))
    if now.usd_per_hour is None or not one.usd_per_hour:
        raise ValueError(now.source if now.usd_per_hour is None else one.source)
    delta = max(-have, math.floor((usd_per_hour - now.usd_per_hour) / one.usd_per_hour + 1e-9))
    after = now.usd_per_hour + delta * one.usd_per_hour
    lines = (
        f"now ${now.usd_per_hour:,.2f}/h, target ${usd_per_hour:,.2f}/h at most",
        f"one slice costs {one.source} = ${one.usd_per_hour:,.2f}/h",
        f"({usd_per_hour:,.2f} − {now.usd_per_hour:,.2f}) ÷ {one.usd_per_hour:,.2f},"
        f" rounded down, not below −{have} = {delta:+d}",
    )
    if after > usd_per_hour + 1e-6:
        rest = f"${after:,.2f}/h stays without any slice: the target is not reached"
        return Target(delta, rest, (*lines, rest))
    return Target(delta, f"${after:,.2f}/h after it", lines)


def slices_for_p95(snapshot: Snapshot, tier: FleetTier, p95_ms: float) -> Target:
    """How many slices to add or remove so that the p95 of latency is at most so much.

    Servers that share themselves among their requests: latency = S ÷ (1 − ρ), with ρ how full they
    are (Kleinrock, Queueing Systems II: M/G/1 processor sharing; there of means). An estimate: the
    plan's guards and what is measured afterwards decide.

    Raises:
        ValueError: latency or fullness is not known, or no number of slices reaches the target.
    """
    have, ready = _slices(tier), serving_slices(tier)
    load = (snapshot.loads or {}).get(tier.name)
    now_ms = load.latency.p95_ms if load else None
    if load is None or now_ms is None or not ready:
        raise ValueError("the p95 of now, or the ready slices, are not known")
    full = fullness(tier.spec, load, ready)
    if not full:
        raise ValueError("how full the servers are is not known")
    name, busy = max(full.items(), key=lambda pair: pair[1])
    busy = min(busy, 0.99)
    alone_ms = now_ms * (1 - busy)
    lines = [
        f"p95 now {now_ms:,.0f} ms, target {p95_ms:,.0f} ms at most",
        f"{name} is {busy:.0%} used on {ready} slices: an idle server would take"
        f" {now_ms:,.0f} × (1 − {busy:.2f}) = {alone_ms:,.0f} ms",
    ]
    if p95_ms <= alone_ms:
        raise ValueError(
            f"more slices make it no faster than about {alone_ms:,.0f} ms, what a request takes on"
            f" an idle server ({now_ms:,.0f} ms now, {name} {busy:.0%} used)"
        )
    wanted = 1 - alone_ms / p95_ms
    needed = max(1, math.ceil(ready * busy / wanted - 1e-9))
    delta = max(-have, needed - ready)
    lines += [
        f"{p95_ms:,.0f} ms allow 1 − {alone_ms:,.0f} ÷ {p95_ms:,.0f} = {wanted:.0%} used",
        f"{ready} × {busy:.0%} ÷ {wanted:.0%}, rounded up = {needed} slices: {delta:+d}",
        "by a model of shared servers (latency = S ÷ (1 − used)), so an estimate",
    ]
    return Target(delta, f"about {p95_ms:,.0f} ms", tuple(lines))


def _slices(tier: FleetTier) -> int:
    """Slices that scaling can change."""
    found = [p for p in tier.parts if p.spec.kind in _GKE]
    if not found:
        raise ValueError(f"{tier.spec.title} has no slices in GKE")
    return sum(len(p.slices) for p in found)
