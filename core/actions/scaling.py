"""What scaling single-host and multi-host slices share: how many, what it costs, who feels it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from core import ownership
from core.errors import PlanError
from core.fleet import FleetTier, assemble_fleet
from core.plans import CostChange, Facts, Request
from core.pricing import chips_rate, tier_rate
from core.records import NodePool, Snapshot
from core.scale_target import Target, slices_for_p95, slices_for_rate
from core.specs import PartKind, TierSpec

Values = dict[str, str | int | float | bool | None]
Reckon = Callable[[Snapshot, FleetTier, float], Target]
_TARGETS: Final[dict[str, Reckon]] = {"usd_per_hour": slices_for_rate, "p95_ms": slices_for_p95}


def delta_of(snapshot: Snapshot, spec: TierSpec, request: Request) -> tuple[int, tuple[str, ...]]:
    """Slices to add or (negative) remove, and the arithmetic that led to the number.

    Parameters: `delta` (a whole number, not 0), or a target: `usd_per_hour` at most, or `p95_ms` at
    most.

    Raises:
        PlanError: none of them is given, or the target cannot be reached from here.
    """
    for name, reckon in _TARGETS.items():
        aim = request.parameters.get(name)
        if aim is not None:
            found = _aimed(reckon, snapshot, spec, name, aim)
            return found.delta, found.arithmetic
    delta = request.parameters.get("delta")
    if isinstance(delta, bool) or not isinstance(delta, int) or delta == 0:
        raise PlanError(
            f"The parameter delta is {delta!r}.",
            resource=request.tier,
            hint="delta is a whole number of slices, e.g. 1 to add one or -1 to remove one; or name"
            " a target, usd_per_hour or p95_ms",
        )
    return delta, ()


def pools_of(snapshot: Snapshot, spec: TierSpec, kind: PartKind) -> tuple[NodePool, ...]:
    """The node pools of a tier's parts of that kind.

    Raises:
        PlanError: they have not been read yet, or there is none.
    """
    if snapshot.node_pools is None:
        raise PlanError(
            "The node pools have not been read yet.",
            resource=spec.name,
            retryable=True,
            hint="See Connections for the state of GKE",
        )
    owned = ownership.assign(snapshot).node_pools
    pools = tuple(
        pool
        for index, part in enumerate(spec.parts)
        if part.kind is kind
        for pool in owned.get((spec.name, index), ())
    )
    if not pools:
        raise PlanError(
            f"{spec.title} has no slice on GKE.",
            resource=spec.name,
            hint="It is off: it must be provisioned first",
        )
    return pools


def _aimed(reckon: Reckon, snapshot: Snapshot, spec: TierSpec, name: str, aim: object) -> Target:
    if isinstance(aim, bool) or not isinstance(aim, int | float) or aim < 0:
        raise PlanError(
            f"The parameter {name} is {aim!r}.", resource=spec.name, hint=f"{name} is a number"
        )
    try:
        found = reckon(snapshot, assemble_fleet(snapshot).tier(spec.name), float(aim))
    except ValueError as error:
        raise PlanError(f"{error}.", resource=spec.name) from error
    if found.delta == 0:
        raise PlanError(
            f"There is nothing to change: {found.reached}.",
            resource=spec.name,
            hint="; ".join(found.arithmetic),
        )
    return found


def observe(pools: Iterable[NodePool]) -> Facts:
    """The facts of these pools that a plan rests on; apply compares them with a fresh read."""
    facts: Values = {}
    for pool in pools:
        key = f"{pool.location}/{pool.cluster}/{pool.name}"
        facts[f"{key}.node_count"] = pool.node_count
        facts[f"{key}.status"] = pool.status
        facts[f"{key}.machine_type"] = pool.machine_type
    return facts


def observe_again(
    observed: Mapping[str, str | int | float | bool | None], pools: Sequence[NodePool]
) -> Facts:
    """The same facts from a fresh read; a pool that is gone has None for each."""
    fresh = observe(pools)
    return {key: fresh.get(key) for key in observed}


def cost_of(snapshot: Snapshot, tier: FleetTier, changes: Iterable[tuple[int, bool]]) -> CostChange:
    """Before, and after each of these changes: chips more (negative: less), whether on spot."""
    spec = tier.spec
    now = tier_rate(tier, snapshot.prices)
    before, after = now.usd_per_hour, now.usd_per_hour
    source = now.source
    for delta, on_spot in changes:
        chips = abs(delta)
        part = chips_rate(
            snapshot.prices, spec.generation or "", spec.zone, chips, chips if on_spot else 0
        )
        source = f"{source}; change: {part.source}"
        if after is None or part.usd_per_hour is None:
            after = None
            continue
        after += part.usd_per_hour if delta > 0 else -part.usd_per_hour
    return CostChange(before, after, now.basis.value, source)


def who_feels_it(snapshot: Snapshot, tier: FleetTier, delta: int) -> tuple[str, ...]:
    """Sentences about capacity, requests and redundancy."""
    sentences: list[str] = []
    ready = tier.slice_count.ready
    load = (snapshot.loads or {}).get(tier.name)
    rate = load.requests_per_s if load else None
    if ready:
        share = abs(delta) / ready
        sentences.append(
            f"Ready slices of {tier.spec.title}: {ready} → {ready + delta}"
            f" ({share:+.1%} capacity)".replace("+", "+" if delta > 0 else "−")
        )
    else:
        sentences.append("How many slices are ready is not known")
    if rate is None:
        sentences.append(f"How many requests {tier.spec.title} gets now is not known")
    elif ready:
        sentences.append(
            f"{tier.spec.title} gets {rate:,.1f} requests/s now,"
            f" {rate / ready:,.2f} per ready slice"
        )
    if delta < 0 and ready and ready + delta <= 1:
        sentences.append("No redundancy is left: at most one slice stays ready")
    return tuple(sentences)


def irreversible(delta: int) -> tuple[str, ...]:
    """What cannot be undone."""
    if delta > 0:
        return ()
    return ("The same chips may not be free when slices are added again: capacity is not reserved",)
