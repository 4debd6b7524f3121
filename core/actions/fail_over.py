"""Fail over: send all that URL maps send to one tier to another tier instead.

All places of a URL map change in one call. The tier goes on running and costing; what its Vertex
endpoints get comes by no URL map and stays.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.actions.context import PlanContext
from core.actions.shift_traffic import (
    PERMISSIONS,
    SOURCES,
    check_weighted,
    observe,
    weights_step,
)
from core.actions.steady_plan import steady_plan
from core.actions.tier_lookup import balancer_of, spec_of, tier_service, word
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.load_balancer import LoadBalancer
from core.plans import Plan, Request, Step
from core.records import Snapshot
from core.specs import PartKind, TierSpec
from core.traffic_effect import moved_requests, receiver, redundancy
from core.traffic_rules import Division, hand_over, leading_to

ACTION: Final = "fail_over"


def plan_fail_over(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that sends the tier's paths to the tier `to` (parameter, a tier's name).

    Raises:
        PlanError: one of them stands behind no load balancer, or nothing leads to the tier.
    """
    spec = spec_of(snapshot, request)
    balancer = balancer_of(snapshot)
    own = tier_service(balancer, spec)
    taker = _taker(snapshot, request, spec)
    to = tier_service(balancer, taker)
    check_weighted(own, to)
    places = leading_to(balancer, own.name)
    if not places:
        raise PlanError(
            f"No path leads to {spec.title}: there is nothing to send elsewhere.",
            resource=own.name,
        )
    return steady_plan(
        snapshot,
        request,
        now,
        context,
        title=f"Send all of {spec.title}'s paths to {taker.title}",
        steps=_steps(places, own.name, to.name, context),
        observed=observe(balancer, places),
        affected=_affected(snapshot, balancer, spec, taker, places),
        permissions=PERMISSIONS,
        sources=SOURCES,
    )


def _taker(snapshot: Snapshot, request: Request, spec: TierSpec) -> TierSpec:
    name = word(request, "to")
    for found in snapshot.specs:
        if found.name == name and found.name != spec.name:
            return found
    others = ", ".join(s.name for s in snapshot.specs if s.backend_service and s is not spec)
    raise PlanError(
        f"{spec.title} cannot fail over to {name!r}.",
        resource=spec.name,
        hint=f"Tiers behind the load balancer: {others or 'no other'}",
    )


def _steps(
    places: tuple[Division, ...], own: str, to: str, context: PlanContext
) -> tuple[Step, ...]:
    """One step per URL map."""
    by_map: dict[str, dict[Division, dict[str, int]]] = {}
    for division in places:
        after = dict(hand_over(division.shares, own, to))
        by_map.setdefault(division.place.url_map, {})[division] = after
    return tuple(
        weights_step(
            context.project, changes, f"Point {_places(len(changes))} of {name} to {to}", context
        )
        for name, changes in by_map.items()
    )


def _places(count: int) -> str:
    return "1 place" if count == 1 else f"{count} places"


def _affected(
    snapshot: Snapshot,
    balancer: LoadBalancer,
    spec: TierSpec,
    taker: TierSpec,
    places: tuple[Division, ...],
) -> tuple[str, ...]:
    named = ", ".join(d.place.name for d in places)
    outside = any(p.kind is PartKind.VERTEX for p in spec.parts)
    sentence, moved = moved_requests(snapshot, spec, 1.0, taker.title, exact=not outside)
    fleet = assemble_fleet(snapshot)
    sentences = [f"Places: {named}", sentence]
    sentences += receiver(snapshot, fleet, spec, taker, moved, exact=not outside)
    sentences.append(redundancy(tier_service(balancer, taker)))
    if outside:
        sentences.append(f"{spec.title}'s Vertex endpoints go on: no URL map leads to them")
    sentences.append(
        f"{spec.title} goes on running and costing; requests that are under way end there"
    )
    return tuple(sentences)
