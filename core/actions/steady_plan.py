"""Plans that buy and sell nothing: the tier's slices and cost stay as they are."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.actions.context import PlanContext
from core.actions.tier_lookup import same_cost, spec_of
from core.fleet import assemble_fleet
from core.plans import Facts, Plan, Request, Step
from core.records import Snapshot


def steady_plan(
    snapshot: Snapshot,
    request: Request,
    now: datetime,
    context: PlanContext,
    *,
    title: str,
    steps: tuple[Step, ...],
    observed: Facts,
    affected: tuple[str, ...],
    permissions: tuple[str, ...],
    sources: tuple[str, ...],
) -> Plan:
    """The plan of one tier with these steps, all of which can be undone."""
    tier = assemble_fleet(snapshot).tier(spec_of(snapshot, request).name)
    return Plan(
        request=request,
        title=title,
        steps=steps,
        observed=observed,
        cost=same_cost(snapshot, tier),
        affected=affected,
        irreversible=(),
        permissions=permissions,
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=0,
        chip_delta=0,
        sources=sources,
    )
