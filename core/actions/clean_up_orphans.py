"""Delete what says that it was made from here and belongs to nothing any more, with its $/day.

That is: what was made for a tier that is not configured, what is left of a tier whose hardware is
all gone, and what stands in the cluster and behind the balancer for one without node pools. What
does not say that it is ours is never touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from core import ownership
from core.actions.chain_steps import Present, Removal, observe, present_of
from core.actions.context import PlanContext
from core.actions.tear_down_all import whole_chain
from core.chain import Piece
from core.cloud_resources import COMPUTE, CONTAINER, PLATFORM, TPU, service_of
from core.errors import PlanError
from core.plans import CostChange, Plan, Request, Step
from core.pricing import chips_rate
from core.records import NodePool, Snapshot
from core.specs import PartKind

ACTION: Final = "clean_up_orphans"
_HOURS: Final = 24.0
_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)


def plan_clean_up_orphans(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that deletes all orphans. `request.tier` is "platform".

    Raises:
        PlanError: the request names a tier, there are no orphans, or what exists was not read.
    """
    if request.tier != PLATFORM:
        raise PlanError(
            f"Orphans belong to no tier, so not to {request.tier!r} either.",
            resource=request.tier,
            hint=f"The word for all is {PLATFORM}",
        )
    present = present_of(context)
    orphaned = orphaned_owners(snapshot, present)
    chain = whole_chain(snapshot, context)
    _, elsewhere = _with_hardware(snapshot, present)
    removal = Removal(chain, present, lambda piece: _is_orphan(piece, orphaned, elsewhere))
    prices = {step.resource: _usd_per_day(snapshot, step.resource) for step in removal.steps()}
    steps = tuple(_with_price(step, prices[step.resource]) for step in removal.steps())
    if not steps:
        raise PlanError(
            "There are no orphans.",
            resource=request.tier,
            hint="; ".join(removal.stays) or "All that is ours belongs to something",
        )
    pools = [price for name, price in prices.items() if "/nodePools/" in name]
    known = None if None in pools else sum(price for price in pools if price is not None)
    shown = "at an unknown price" if known is None else f"${known:,.2f}/day of chips"
    chips = sum(_chips(p) for p in _pools(snapshot, prices))
    return Plan(
        request=request,
        title=f"Clean up {len(steps)} orphans, {shown}",
        steps=steps,
        observed=observe(chain.names, present),
        cost=CostChange(
            None if known is None else known / _HOURS,
            None if known is None else 0.0,
            "list",
            "the orphans' chips at list price; what else they cost is not known",
        ),
        affected=(*(orphaned[owner] for owner in sorted(orphaned)), *removal.stays),
        irreversible=("What orphaned datasets, volumes and addresses held is gone for good",),
        permissions=tuple(
            sorted({p for piece in chain.pieces if piece.name in prices for p in piece.permissions})
        ),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=0,
        chip_delta=-chips,
    )


def orphaned_owners(snapshot: Snapshot, present: Present) -> dict[str, str]:
    """Owners whose resources belong to nothing → why, in a sentence."""
    configured = {spec.name: spec for spec in snapshot.specs}
    pooled, elsewhere = _with_hardware(snapshot, present)
    found: dict[str, str] = {}
    for owner in {r.owner for r in present.values() if r.owner} - {PLATFORM}:
        spec = configured.get(owner)
        on_gke = spec is not None and any(p.kind in _GKE for p in spec.parts)
        if spec is None:
            found[owner] = f"{owner} is no tier in heartwood.toml"
        elif on_gke and owner not in pooled:
            found[owner] = f"{owner} has no node pools any more"
        elif owner not in pooled | elsewhere:
            found[owner] = f"{owner} has neither node pools nor TPU nodes or replicas any more"
    return found


def _is_orphan(piece: Piece, orphaned: Collection[str], elsewhere: Collection[str]) -> bool:
    """Whether it belongs to nothing; of a tier that still runs elsewhere only what GKE needs."""
    if piece.owner not in orphaned:
        return False
    return piece.owner not in elsewhere or service_of(piece.name) in (CONTAINER, COMPUTE)


def _with_hardware(snapshot: Snapshot, present: Present) -> tuple[set[str], set[str]]:
    """Owners with node pools, and with TPU nodes or replicas."""
    owners = ownership.assign(snapshot)
    pooled = {key[0] for key, pools in owners.node_pools.items() if pools}
    elsewhere = {key[0] for key, vms in owners.tpu_vms.items() if vms}
    elsewhere |= {
        key[0] for key, found in owners.endpoints.items() if any(e.deployed for e in found)
    }
    for resource in present.values():
        if resource.owner and "/nodePools/" in resource.name:
            pooled.add(resource.owner)
        elif resource.owner and any(word in resource.name for word in _ELSEWHERE):
            elsewhere.add(resource.owner)
    return pooled, elsewhere


_ELSEWHERE: Final = (f"//{TPU}/", "/deployedModels/")


def _pools(snapshot: Snapshot, names: Iterable[str]) -> list[NodePool]:
    """The node pools of these full names."""
    wanted = tuple(names)
    return [
        pool
        for pool in snapshot.node_pools or ()
        if any(n.endswith(f"/clusters/{pool.cluster}/nodePools/{pool.name}") for n in wanted)
    ]


def _chips(pool: NodePool) -> int:
    return pool.node_count * ownership.hardware_of(pool.machine_type)[1]


def _usd_per_day(snapshot: Snapshot, name: str) -> float | None:
    """Of a node pool with TPUs, by its chips; None: not known, as for all other kinds."""
    for pool in _pools(snapshot, (name,)):
        generation, _ = ownership.hardware_of(pool.machine_type)
        zone = pool.zones[0] if pool.zones else pool.location
        if generation is None:
            return None
        spot = _chips(pool) if ownership.is_spot(pool.labels) else 0
        rate = chips_rate(snapshot.prices, generation, zone, _chips(pool), spot).usd_per_hour
        return None if rate is None else rate * _HOURS
    return None


def _with_price(step: Step, usd_per_day: float | None) -> Step:
    """The same step, whose title tells what its resource costs a day where that is known."""
    if usd_per_day is None:
        return step
    before = {**step.before, "usd_per_day": usd_per_day}
    return replace(step, before=before, title=f"{step.title}, ${usd_per_day:,.2f}/day")
