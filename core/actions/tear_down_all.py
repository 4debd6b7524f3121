"""Take away every tier and what they share: nothing of ours is left but the audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from core.actions.chain_steps import present_of
from core.actions.context import PlanContext
from core.actions.tear_down import leftovers, removal_plan
from core.actions.tier_places import going_places, why_not_made
from core.chain import Chain, Piece, Place, platform_pieces, tier_pieces
from core.cloud_resources import PLATFORM
from core.errors import PlanError
from core.plans import Plan, Request
from core.records import Snapshot
from core.specs import PartKind, TierSpec

ACTION: Final = "tear_down_all"
_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)


def plan_tear_down_all(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that deletes everything that was made from here. `request.tier` is "platform".

    Raises:
        PlanError: the request names a tier, nothing is there, or what exists was not read.
    """
    if request.tier != PLATFORM:
        raise PlanError(
            f"Everything is taken away for {PLATFORM!r}, not for {request.tier!r}.",
            resource=request.tier,
            hint=f"tear_down_tier takes one tier; the word for all is {PLATFORM}",
        )
    chain = whole_chain(snapshot, context)
    specs = tuple(_specs(snapshot))
    return removal_plan(
        snapshot, request, now, context, chain, specs, "Tear down everything",
        lambda _piece: True,
    )  # fmt: skip


def whole_chain(snapshot: Snapshot, context: PlanContext) -> Chain:
    """The platform's pieces, all tiers', and what else of ours was found.

    Raises:
        PlanError: no tier is made from here, or their parts on GKE are in several clusters.
    """
    parts = [(spec, going_places(snapshot, spec, context)) for spec in _specs(snapshot)]
    places = [place for _, of_tier in parts for place in of_tier]
    on_gke = {place.site.cluster_name for place in places if place.part.kind in _GKE}
    if len(on_gke) > 1 or not places:
        raise PlanError(
            f"The tiers' parts on GKE are in {len(on_gke)} clusters.",
            hint="Tear them down one by one",
        )
    # The first on GKE has the cluster, which all others lack.
    site = min(places, key=lambda place: place.part.kind not in _GKE).site
    kinds = {place.part.kind for place in places}
    pieces = list(platform_pieces(site, kinds))
    shared = {piece.key for piece in pieces}
    for spec, of_tier in parts:
        pieces += _of_tier(spec, of_tier, shared)
    if context.resources is None:
        return Chain(pieces)
    return Chain((*pieces, *leftovers(present_of(context), pieces, None, context.project)))


def _of_tier(spec: TierSpec, places: Sequence[Place], shared: set[str]) -> Iterator[Piece]:
    """A tier's pieces under keys that bear its name."""

    def key(name: str) -> str:
        return name if name in shared or not name else f"{spec.name}/{name}"

    for piece in tier_pieces(spec, places):
        yield replace(
            piece,
            key=key(piece.key),
            needs=tuple(key(name) for name in piece.needs),
            goes_with=key(piece.goes_with),
        )


def _specs(snapshot: Snapshot) -> Iterator[TierSpec]:
    return (s for s in snapshot.specs if not why_not_made(s))
