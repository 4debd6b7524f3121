"""Take a tier's own pieces away, in the opposite order in which they were made.

What all tiers share stays; `tear_down_all` takes that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.actions.chain_steps import gke_part, present_of, site_of
from core.actions.context import PlanContext
from core.actions.tear_down import leftovers, removal_plan
from core.actions.tier_lookup import spec_of
from core.chain import Chain, platform_pieces, tier_pieces
from core.plans import Plan, Request
from core.records import Snapshot

ACTION: Final = "tear_down_tier"


def plan_tear_down_tier(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that deletes all that was made for a tier.

    Raises:
        PlanError: the tier has no part on GKE, nothing of it is there, or what exists was not read.
    """
    spec = spec_of(snapshot, request)
    chain = tear_down_chain(snapshot, request, context)
    return removal_plan(
        snapshot, request, now, context, chain, (spec,), f"Tear down {spec.title}",
        lambda piece: piece.owner == spec.name,
    )  # fmt: skip


def tear_down_chain(snapshot: Snapshot, request: Request, context: PlanContext) -> Chain:
    """The platform's and the tier's pieces, with what else of the tier was found."""
    spec = spec_of(snapshot, request)
    part = gke_part(spec)
    site = site_of(part, context)
    known = (*platform_pieces(site), *tier_pieces(site, spec, part, max(1, part.slices)))
    if context.resources is None:
        return Chain(known)
    names = {piece.name for piece in known}
    owners = {spec.name}
    more = leftovers(present_of(context), names, owners, site)
    return Chain((*known, *more))
