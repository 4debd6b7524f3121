"""Take a tier's own pieces away, in the opposite order in which they were made.

What all tiers share stays; `tear_down_all` takes that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.actions.chain_steps import present_of
from core.actions.context import PlanContext
from core.actions.tear_down import leftovers, removal_plan
from core.actions.tier_lookup import spec_of
from core.actions.tier_places import chain_at, going_places
from core.chain import Chain
from core.plans import Plan, Request
from core.records import Snapshot

ACTION: Final = "tear_down_tier"


def plan_tear_down_tier(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that deletes all that was made for a tier.

    Raises:
        PlanError: the tier is not made from here, nothing of it is there, or what exists was not
            read.
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
    chain = chain_at(spec, going_places(snapshot, spec, context))
    if context.resources is None:
        return chain
    more = leftovers(present_of(context), chain.pieces, {spec.name}, context.project)
    return Chain((*chain.pieces, *more))
