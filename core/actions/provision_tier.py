"""Make a tier on GKE from nothing: the whole chain from the project's APIs to its budget.

What exists already is left as it is; so the same request completes what an earlier one left half
done. The pieces are `core/chain/`'s. Vertex replicas and Cloud TPU nodes are not made here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from core import ownership
from core.actions.chain_steps import (
    DEFAULT_HOST,
    create_step,
    gke_part,
    is_foreign,
    is_whole,
    observe,
    present_of,
    site_of,
)
from core.actions.context import PlanContext
from core.actions.tier_lookup import spec_of
from core.chain import Chain, platform_pieces, tier_pieces
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.plans import CostChange, Plan, Request
from core.pricing import chips_rate, tier_rate
from core.records import Snapshot
from core.specs import PartKind, PartSpec, TierSpec

ACTION: Final = "provision_tier"


def plan_provision_tier(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that makes what is missing of a tier.

    Parameters: `slices` (whole number, else as many as are configured), `host` (of the
    certificate).

    Raises:
        PlanError: the tier has no part on GKE, nothing is missing, or what exists was not read.
    """
    spec = spec_of(snapshot, request)
    part = gke_part(spec)
    chain = chain_of(snapshot, request, context)
    present = present_of(context)
    missing = [piece for piece in chain.pieces if not is_whole(piece, present)]
    if not missing:
        raise PlanError(
            f"Nothing of {spec.title} is missing.",
            resource=spec.name,
            hint="scale_tier changes its size",
        )
    keys = {piece.key for piece in missing}
    pools = {p.key: int(p.body["initialNodeCount"]) for p in missing if p.key.startswith("pool-")}
    steps = tuple(create_step(piece, keys, pools.get(piece.key)) for piece in missing)
    chips = sum(_chips(spec, part, nodes) for nodes in pools.values())
    size = ownership.chips_per_slice(spec)
    foreign = [p.noun for p in chain.pieces if is_foreign(p, present)]
    return Plan(
        request=request,
        title=f"Provision {spec.title}: {len(steps)} of {len(chain.pieces)} pieces are missing",
        steps=steps,
        observed=observe(chain.names, present),
        cost=_cost(snapshot, spec, chips),
        affected=_affected(spec, part, len(steps), chips, foreign),
        irreversible=(),
        permissions=tuple(sorted({name for p in missing for name in p.permissions})),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=chips // size if size else 0,
        chip_delta=chips,
        sources=("gke",),
    )


def chain_of(snapshot: Snapshot, request: Request, context: PlanContext) -> Chain:
    """All pieces of the tier that a request names, the platform's first.

    Raises:
        PlanError: a parameter is wrong, or the tier has no part on GKE.
    """
    spec = spec_of(snapshot, request)
    part = gke_part(spec)
    slices = request.parameters.get("slices", part.slices)
    if isinstance(slices, bool) or not isinstance(slices, int) or slices < 1:
        raise PlanError(
            f"The parameter slices is {slices!r}.",
            resource=request.tier,
            hint="slices is a whole number from 1 up",
        )
    host = str(request.parameters.get("host", DEFAULT_HOST))
    site = site_of(part, context, host)
    return Chain((*platform_pieces(site), *tier_pieces(site, spec, part, slices)))


def _chips(spec: TierSpec, part: PartSpec, nodes: int) -> int:
    """Chips of a pool of that many nodes: single-host nodes are slices, else the pool is one."""
    per_slice = ownership.chips_per_slice(spec)
    return nodes * per_slice if part.kind is PartKind.GKE_SINGLE_HOST else per_slice


def _cost(snapshot: Snapshot, spec: TierSpec, chips: int) -> CostChange:
    tier = assemble_fleet(snapshot).tier(spec.name)
    now = tier_rate(tier, snapshot.prices)
    added = chips_rate(snapshot.prices, spec.generation or "", spec.zone, chips)
    before, more = now.usd_per_hour, added.usd_per_hour
    return CostChange(
        before,
        None if before is None or more is None else before + more,
        now.basis.value,
        f"{now.source}; change: {added.source}; chips alone: the cluster's fee, its system node,"
        " the balancer and logs are not counted",
    )


def _affected(
    spec: TierSpec, part: PartSpec, steps: int, chips: int, foreign: list[str]
) -> tuple[str, ...]:
    found = [f"Nobody is served by {spec.title} until all {steps} steps are done"]
    if chips:
        found.append(f"{chips:,} chips of {spec.generation} in {part.location} are asked for")
    found += [
        f"The {other.slices} slices on {other.kind.value} are not made by this plan"
        for other in spec.parts
        if other is not part and other.slices
    ]
    if foreign:
        found.append(f"Used as they are, since others made them: {', '.join(foreign)}")
    return tuple(found)
