"""Take away every tier on GKE and what they share: nothing of ours is left but the audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from core.actions.chain_steps import gke_part, present_of, site_of
from core.actions.context import PlanContext
from core.actions.tear_down import leftovers, removal_plan
from core.chain import Chain, Piece, platform_pieces, tier_pieces
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
        PlanError: no tier has a part on GKE, or their parts are in several clusters.
    """
    specs = tuple(_specs(snapshot))
    sites = {site_of(gke_part(spec), context) for spec in specs}
    if len({site.cluster_name for site in sites}) != 1:
        raise PlanError(
            f"The tiers' parts on GKE are in {len(sites)} clusters.",
            hint="Tear them down one by one",
        )
    site = next(iter(sites))
    pieces = list(platform_pieces(site))
    shared = {piece.key for piece in pieces}
    for spec in specs:
        pieces += _of_tier(spec, context, shared)
    if context.resources is None:
        return Chain(pieces)
    names = {piece.name for piece in pieces}
    return Chain((*pieces, *leftovers(present_of(context), names, None, site)))


def _of_tier(spec: TierSpec, context: PlanContext, shared: set[str]) -> Iterator[Piece]:
    """A tier's pieces under keys that bear its name."""
    part = gke_part(spec)

    def key(name: str) -> str:
        return name if name in shared or not name else f"{spec.name}/{name}"

    for piece in tier_pieces(site_of(part, context), spec, part, max(1, part.slices)):
        yield replace(
            piece,
            key=key(piece.key),
            needs=tuple(key(name) for name in piece.needs),
            goes_with=key(piece.goes_with),
        )


def _specs(snapshot: Snapshot) -> Iterator[TierSpec]:
    return (s for s in snapshot.specs if any(p.kind in _GKE for p in s.parts))
