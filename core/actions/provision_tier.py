"""Make a tier from nothing: the whole chain from the project's APIs to its budget.

What exists already is left as it is; so the same request completes what an earlier one left half
done. The pieces are `core/chain/`'s; where the tier's parts stand is `tier_places.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from core.actions.chain_steps import (
    create_step,
    is_foreign,
    is_whole,
    observe,
    present_of,
)
from core.actions.context import PlanContext
from core.actions.tier_lookup import spec_of
from core.actions.tier_places import chain_at, wanted_places
from core.chain import Chain, Piece, Place
from core.chain.tpu_vm import describe
from core.chain.vertex import image_of
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.money import COMPUTE, VERTEX
from core.plans import CostChange, Plan, Request
from core.pricing import Rate, chips_rate, tier_rate
from core.records import Snapshot, Source
from core.specs import PartKind, TierSpec
from core.wording import plural, share_of

ACTION: Final = "provision_tier"


def plan_provision_tier(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that makes what is missing of a tier; parameters as `wanted_places` has them.

    Raises:
        PlanError: the tier is not made from here, nothing is missing, or what exists was not read.
    """
    spec = spec_of(snapshot, request)
    places = wanted_places(snapshot, spec, request, context)
    chain = chain_at(spec, places)
    present = present_of(context)
    missing = [piece for piece in chain.pieces if not is_whole(piece, present)]
    if not missing:
        raise PlanError(
            f"Nothing of {spec.title} is missing.",
            resource=spec.name,
            hint="To change its size, scale it or its replicas",
        )
    keys = {piece.key for piece in missing}
    steps = tuple(create_step(piece, keys, _nodes(piece)) for piece in missing)
    chips = sum(piece.chips for piece in missing)
    foreign = [p.noun for p in chain.pieces if is_foreign(p, present)]
    return Plan(
        request=request,
        title=f"Provision {spec.title}: make {_told(len(missing), len(chain.pieces))}",
        steps=steps,
        observed=observe(chain.names, present),
        cost=_cost(snapshot, spec, places, missing),
        affected=tuple(_affected(spec, places, missing, foreign)),
        irreversible=(),
        permissions=tuple(sorted({name for p in missing for name in p.permissions})),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=sum(piece.slices for piece in missing),
        chip_delta=chips,
        reservation=next((p.reservation for p in places if p.reservation), ""),
        sources=_sources(places),
    )


def chain_of(snapshot: Snapshot, request: Request, context: PlanContext) -> Chain:
    """All pieces of the tier that a request names, the platform's first.

    Raises:
        PlanError: a parameter is wrong, or the tier is not made from here.
    """
    spec = spec_of(snapshot, request)
    return chain_at(spec, wanted_places(snapshot, spec, request, context))


_SOURCES: Final = {PartKind.VERTEX: Source.VERTEX, PartKind.TPU_VM: Source.TPU}


def _sources(places: Sequence[Place]) -> tuple[str, ...]:
    found = (_SOURCES.get(place.part.kind, Source.GKE).value for place in places)
    return tuple(dict.fromkeys(found))


def _nodes(piece: Piece) -> int | None:
    return int(piece.body["initialNodeCount"]) if piece.key.startswith("pool-") else None


def _cost(
    snapshot: Snapshot, spec: TierSpec, places: Sequence[Place], missing: Sequence[Piece]
) -> CostChange:
    """Before, and after with the chips that are missing, each at the price of its seller."""
    now = tier_rate(assemble_fleet(snapshot).tier(spec.name), snapshot.prices)
    rates: list[Rate] = []
    for place in places:
        vertex = place.part.kind is PartKind.VERTEX
        chips = _chips(place, missing)
        where = place.part.location or spec.zone
        product = VERTEX if vertex else COMPUTE
        spot = chips if place.spot else 0
        rates.append(
            chips_rate(snapshot.prices, spec.generation or "", where, chips, spot, product)
        )
    known = [rate.usd_per_hour for rate in rates if rate.usd_per_hour is not None]
    before = now.usd_per_hour
    told = " + ".join(rate.source for rate in rates)
    return CostChange(
        before,
        None if before is None or len(known) < len(rates) else before + sum(known),
        now.basis.value,
        f"{now.source}; change: {told}; chips alone: {_UNCOUNTED}",
    )


def _told(missing: int, whole: int) -> str:
    """What is made of the chain: all 34 pieces, 1 missing piece of 34."""
    if missing == whole:
        return share_of(whole, whole, "piece")
    return f"{plural(missing, 'missing piece')} of {whole}"


_HARDWARE: Final = {PartKind.VERTEX: "replicas", PartKind.TPU_VM: "node-"}  # else "pool-"


def _chips(place: Place, missing: Sequence[Piece]) -> int:
    """Of the place's part."""
    key = _HARDWARE.get(place.part.kind, "pool-")
    return sum(piece.chips for piece in missing if piece.key.startswith(key))


_UNCOUNTED: Final = (
    "a cluster's fee, its system node, the balancer, disks, addresses and logs are not counted"
)


def _affected(
    spec: TierSpec, places: Sequence[Place], missing: Sequence[Piece], foreign: Sequence[str]
) -> list[str]:
    found = [f"Nobody is served by {spec.title} until the last step is done"]
    for place in places:
        vertex = place.part.kind is PartKind.VERTEX
        chips = _chips(place, missing)
        if chips:
            where, terms = place.part.location, " on spot" if place.spot else ""
            found.append(f"{chips:,} chips of {spec.generation} in {where} are asked for{terms}")
        if place.part.kind is PartKind.TPU_VM:
            found.append(describe(spec, place.site))
        if any(piece.key == "model" for piece in missing) and vertex:
            image = place.image or image_of(place.site)
            found.append(f"The image {image} must be there: it is not made by this plan")
    asked = [place.part for place in places]
    found += [
        f"This plan does not make the {plural(other.slices, 'slice')} on {other.kind.value}"
        for other in spec.parts
        if other not in asked and other.slices
    ]
    if foreign:
        found.append(f"Used as they are, since others made them: {', '.join(foreign)}")
    return found
