"""Shift traffic: the weights of one place in a URL map, or of the models on a Vertex endpoint.

Which of the two is decided by the parameters: `place`, or `endpoint`. Taking a tier out of all
places at once is `fail_over`'s, taking its backends out `drain_tier`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from core.actions import vertex_split
from core.actions.canary import first_share, first_weights, is_canary, staged, watch_step
from core.actions.context import PlanContext
from core.actions.steady_plan import steady_plan
from core.actions.tier_lookup import (
    balancer_of,
    service_of,
    spec_of,
    tier_service,
    usual,
    whole_number,
    word,
)
from core.chain.tier import edit_command
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.load_balancer import BackendService, LoadBalancer
from core.plans import Facts, Plan, Request, Step
from core.records import Snapshot, Source
from core.specs import TierSpec
from core.traffic_effect import moved_requests, owner_of, receiver, redundancy
from core.traffic_rules import WHOLE, Division, divisions, give, leading_to, weights_of

ACTION: Final = "shift_traffic"
VERB: Final = "compute.set_weights"
FACTS: Final = "url map"
# Weighted backend services are a feature of the envoy-based load balancers alone.
WEIGHTED_SCHEMES: Final = ("EXTERNAL_MANAGED", "INTERNAL_MANAGED")
PERMISSIONS: Final = (
    "compute.urlMaps.get",
    "compute.urlMaps.update",
    "compute.backendServices.use",
    "compute.globalOperations.get",
)
SOURCES: Final = (Source.LOAD_BALANCER.value, Source.LOAD.value)


def plan_shift_traffic(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that gives `to` the share `percent` of a place's traffic.

    Parameters of a URL map: `place` (as `Place.name`), `to` (a backend service), `percent`; with a
    canary also `canary_percent` (a smaller share that comes first) and `watch_min` (minutes that
    each stage is watched; on harm the weights go back by themselves).
    Parameters of Vertex: `endpoint` and `to` (ids), `percent`, and the same two of a canary.

    Raises:
        PlanError: there is no such thing, or the share cannot be had; the hint says what can.
    """
    if "endpoint" in request.parameters:
        return vertex_split.plan_split(snapshot, request, now, context)
    spec = spec_of(snapshot, request)
    balancer = balancer_of(snapshot)
    own = tier_service(balancer, spec)
    division = _division(balancer, word(request, "place"), own)
    to = service_of(balancer, word(request, "to"))
    percent = whole_number(request, "percent", 0, WHOLE)
    check_weighted(own, to)
    try:
        after = dict(give(division.shares, to.name, percent))
    except ValueError as error:
        raise PlanError(
            f"The traffic of {division.place.name} cannot be shifted so: {error}.",
            resource=spec.name,
            hint="Name another backend service, or a higher percentage",
        ) from error
    ratios = {s: division.ratio(s) for s in after}
    if all(round(ratios[s] * WHOLE, 6) == after[s] for s in after):
        raise PlanError(
            f"{to.name} gets {percent}% at {division.place.name} already.", resource=spec.name
        )
    return steady_plan(
        snapshot,
        request,
        now,
        context,
        title=f"Send {percent}% of {division.place.name} to {to.name}",
        steps=_steps(snapshot, request, division, to.name, after, context),
        observed=observe(balancer, (division,)),
        affected=_affected(snapshot, balancer, division, after),
        permissions=PERMISSIONS,
        sources=SOURCES,
    )


def observe(balancer: LoadBalancer, chosen: tuple[Division, ...]) -> Facts:
    """The facts of these places that a plan rests on: which services get how much there."""
    fresh = {d.place: d for d in divisions(balancer)}
    facts: dict[str, str | int | float | bool | None] = {}
    for wanted in chosen:
        found = fresh.get(wanted.place)
        told = None if found is None else ", ".join(f"{s} {w}" for s, w in found.shares)
        facts[f"{FACTS}: {wanted.place.name}"] = told
    return facts


def observe_again(observed: Facts, balancer: LoadBalancer) -> Facts:
    """The same facts from a fresh read; a place that is gone has None."""
    every = observe(balancer, divisions(balancer))
    return {key: every.get(key) for key in observed}


def check_weighted(own: BackendService, to: BackendService) -> None:
    """Pass two services between which one URL map may divide traffic.

    Raises:
        PlanError: their load balancing schemes differ, or know no weights.
    """
    if own.scheme == to.scheme and to.scheme in WEIGHTED_SCHEMES:
        return
    raise PlanError(
        f"{own.name} is {own.scheme} and {to.name} is {to.scheme}: no URL map can divide traffic"
        " between them.",
        resource=to.name,
        hint=f"Both must have the same scheme, one of {', '.join(WEIGHTED_SCHEMES)}",
    )


def map_resource(project: str, url_map: str) -> str:
    """Full resource name of a global URL map."""
    return f"projects/{project}/global/urlMaps/{url_map}"


def set_weights_command(project: str, url_map: str, changes: Mapping[str, str]) -> str:
    """The command that writes weights: where in the map → what is written there, as yq says it."""
    edits = (f"({where}) |= ({what})" for where, what in changes.items())
    return edit_command(project, url_map, " | ".join(edits))


def edit_of(project: str, division: Division, after: Mapping[str, int]) -> tuple[str, str]:
    """Where and what yq changes in the exported URL map, for one place."""
    place = division.place
    root = f"https://www.googleapis.com/compute/v1/projects/{project}/global/backendServices/"
    parts = ", ".join(
        f'{{"backendService": "{root}{s}", "weight": {w}}}' for s, w in after.items() if w
    )
    matcher = f'.pathMatchers[] | select(.name == "{place.matcher}")'
    if place.path:
        where = f'{matcher} | .pathRules[] | select(.paths[] == "{place.path}")'
        return where, f"del(.service) | .routeAction.weightedBackendServices = [{parts}]"
    where = matcher if place.matcher else "."
    what = f"del(.defaultService) | .defaultRouteAction.weightedBackendServices = [{parts}]"
    return where, what


def weights_step(
    project: str,
    changes: Mapping[Division, Mapping[str, int]],
    title: str,
    context: PlanContext,
) -> Step:
    """The one call that writes new weights at places of one URL map."""
    url_map = next(iter(changes)).place.url_map
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for division, shares in changes.items():
        keys = {s: division.place.key(s) for s in shares}
        after |= {keys[s]: w for s, w in shares.items()}
        before |= dict.fromkeys(keys.values(), 0) | weights_of(division)
    expected_s, source = usual(context, VERB)
    edits = dict(edit_of(project, d, shares) for d, shares in changes.items())
    return Step(
        verb=VERB,
        resource=map_resource(project, url_map),
        title=title,
        before=before,
        after=after,
        expected_s=expected_s,
        expected_source=source,
        command=set_weights_command(project, url_map, edits),
        undo="write the weights that were there before",
    )


def _steps(
    snapshot: Snapshot,
    request: Request,
    division: Division,
    to: str,
    after: Mapping[str, int],
    context: PlanContext,
) -> tuple[Step, ...]:
    """One, or those of a canary: a smaller share, a watch, the whole, a watch."""
    if not is_canary(request):
        return (_step(division, after, context),)
    now = round(division.ratio(to) * WHOLE)
    small = first_share(division.shares, now, request, to, after[to])
    taker = owner_of(snapshot, to)
    first = _step(division, small, context, f" ({small[to]}%)")
    back = first_weights(division, first)
    last = _step(staged(division, small), after, context, f" ({after[to]}%)")
    return (
        first,
        watch_step(snapshot, request, taker, first, back),
        last,
        watch_step(snapshot, request, taker, last, back),
    )


def _step(
    division: Division, after: Mapping[str, int], context: PlanContext, stage: str = ""
) -> Step:
    title = f"Write the weights of {division.place.name}{stage}"
    return weights_step(context.project, {division: after}, title, context)


def _division(balancer: LoadBalancer, name: str, own: BackendService) -> Division:
    for division in divisions(balancer):
        if division.place.name == name:
            if own.name in dict(division.shares):
                return division
            raise PlanError(
                f"{own.name} gets nothing at {name}.",
                resource=own.name,
                hint=_places_of(balancer, own),
            )
    raise PlanError(f"There is no place {name!r} in the URL maps.", hint=_places_of(balancer, own))


def _places_of(balancer: LoadBalancer, own: BackendService) -> str:
    names = "; ".join(d.place.name for d in leading_to(balancer, own.name))
    return f"Places that lead to {own.name}: {names or 'none'}"


def _affected(
    snapshot: Snapshot, balancer: LoadBalancer, division: Division, after: Mapping[str, int]
) -> tuple[str, ...]:
    """Givers, then takers; each taker with what it carries then."""
    sentences: list[str] = []
    fleet = assemble_fleet(snapshot)
    change = {s: w / WHOLE - division.ratio(s) for s, w in after.items()}
    takers = [s for s, c in change.items() if c > 0]
    names = " and ".join(takers)
    for service, lost in change.items():
        giver = owner_of(snapshot, service)
        if lost >= 0 or giver is None:
            continue
        exact = len(leading_to(balancer, service)) == 1
        # The tier's requests are those of this place when it is its only one; then the share that
        # moves is in proportion to what the tier has here.
        ratio = -lost / division.ratio(service)
        sentence, moved = moved_requests(snapshot, giver, ratio, names, exact=exact)
        sentences.append(sentence)
        for taker in (owner_of(snapshot, s) for s in takers):
            if taker is not None:
                part = None if moved is None else moved * change[taker.backend_service]
                gained = sum(change[s] for s in takers)
                moved_here = None if part is None else part / gained
                sentences += receiver(snapshot, fleet, giver, taker, moved_here, exact=exact)
    sentences += [redundancy(service_of(balancer, s)) for s, w in after.items() if w]
    sentences.append("Requests that are under way end where they began")
    return tuple(dict.fromkeys(sentences))


def tier_places(balancer: LoadBalancer, spec: TierSpec) -> tuple[Division, ...]:
    """The places that lead to a tier; () when it has no backend service."""
    return leading_to(balancer, spec.backend_service) if spec.backend_service else ()
