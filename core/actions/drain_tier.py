"""Drain a tier: its backends get no new requests, while all of it goes on running.

Capacity scaler 0, of all groups of the tier's backend service or of one (`group`). Sending its
paths to somebody else is `fail_over`'s, giving the capacity back `restore_tier`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from core.actions.context import PlanContext
from core.actions.tier_lookup import balancer_of, same_cost, spec_of, tier_service, usual
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.load_balancer import Backend, BackendService, LoadBalancer
from core.plans import Facts, Plan, Request, Step
from core.records import Snapshot, Source
from core.specs import PartKind, TierSpec
from core.traffic_effect import all_requests, rate_of, serving_slices
from core.traffic_rules import leading_to
from core.wording import share_of

ACTION: Final = "drain_tier"
VERB: Final = "compute.set_backend_capacity"
FACTS: Final = "backend"
PERMISSIONS: Final = (
    "compute.backendServices.get",
    "compute.backendServices.update",
    "compute.globalOperations.get",
)
SOURCES: Final = (Source.LOAD_BALANCER.value, Source.LOAD.value)


def plan_drain_tier(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that takes the tier's backends, or the one named by `group`, out of rotation.

    Raises:
        PlanError: the tier has no such backend, or it is drained already.
    """
    spec = spec_of(snapshot, request)
    balancer = balancer_of(snapshot)
    service = tier_service(balancer, spec)
    chosen = [b for b in chosen_backends(service, request, spec) if b.capacity_ratio != 0]
    if not chosen:
        raise PlanError(
            f"{spec.title} is drained already: no backend of {service.name} takes requests.",
            resource=service.name,
            hint="restore_tier gives the capacity back",
        )
    left = [b for b in service.backends if b not in chosen and b.capacity_ratio != 0]
    gone = tuple(b.group for b in chosen)
    after = dict.fromkeys(gone, 0.0)
    return Plan(
        request=request,
        title=f"Drain {_which(spec, service, chosen)}",
        steps=(capacity_step(service, chosen, after, "Drain", context),),
        observed=observe((service,)),
        cost=same_cost(snapshot, assemble_fleet(snapshot).tier(spec.name)),
        affected=_affected(snapshot, balancer, spec, service, chosen, left),
        irreversible=(),
        permissions=PERMISSIONS,
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=-_slices_out(snapshot, spec, chosen, left),
        chip_delta=0,
        takes_out=gone if left else (*gone, service.name),
        sources=SOURCES,
    )


def chosen_backends(
    service: BackendService, request: Request, spec: TierSpec
) -> tuple[Backend, ...]:
    """The backend that the request's `group` names; all of the service when it names none.

    Raises:
        PlanError: there is no such backend.
    """
    group = request.parameters.get("group", "")
    found = tuple(b for b in service.backends if group in ("", b.group))
    if found:
        return found
    there = ", ".join(b.group for b in service.backends)
    raise PlanError(
        f"{service.name} has no backend {group or 'at all'}.",
        resource=spec.name,
        hint=f"Its groups: {there or 'none'}",
    )


def observe(services: Iterable[BackendService]) -> Facts:
    """The capacity of every backend of these services; what a plan on them rests on."""
    facts: dict[str, str | int | float | bool | None] = {}
    for service in services:
        facts[f"{FACTS}: {service.name}"] = ", ".join(b.group for b in service.backends)
        for backend in service.backends:
            facts[f"{FACTS}: {service.name} {backend.group}"] = backend.capacity_ratio
    return facts


def observe_again(observed: Facts, balancer: LoadBalancer) -> Facts:
    """The same facts from a fresh read; a backend that is gone has None."""
    fresh = observe(balancer.backend_services)
    return {key: fresh.get(key) for key in observed}


def capacity_step(
    service: BackendService,
    chosen: Iterable[Backend],
    after: Mapping[str, float],
    word: str,
    context: PlanContext,
) -> Step:
    """The one call that writes the capacity of these backends."""
    backends = tuple(chosen)
    share = share_of(len(backends), len(service.backends), "backend")
    expected_s, source = usual(context, VERB)
    return Step(
        verb=VERB,
        resource=f"projects/{context.project}/global/backendServices/{service.name}",
        title=f"{word} {share} of {service.name}",
        before={b.group: b.capacity_ratio for b in backends},
        after=dict(after),
        expected_s=expected_s,
        expected_source=source,
        command=" && ".join(
            _command(context.project, service, b, after[b.group]) for b in backends
        ),
        undo="write the capacity that was there before",
    )


def _command(project: str, service: BackendService, backend: Backend, ratio: float) -> str:
    """Groups are zones/Z/KIND/NAME, regions/R/KIND/NAME or global/KIND/NAME."""
    *scope, kind, name = (
        ("", *backend.group.split("/"))[-4:] if "/" in backend.group else ("", backend.group)
    )
    flag = "instance-group" if kind == "instanceGroups" else "network-endpoint-group"
    where = f"--global-{flag}"
    if len(scope) == 2:
        where = f"--{flag}-{scope[0].removesuffix('s')}={scope[1]}"
    return (
        f"gcloud compute backend-services update-backend {service.name} --global"
        f" --{flag}={name} {where} --capacity-scaler={ratio:g} --project={project}"
    )


def _slices_out(
    snapshot: Snapshot, spec: TierSpec, chosen: list[Backend], left: list[Backend]
) -> int:
    """Slices that take no requests afterwards; of a whole drain 0: the paths decide, not these.

    By the share of the endpoints, which need not be one per slice; rounded up.
    """
    ready = serving_slices(assemble_fleet(snapshot).tier(spec.name))
    before = sum(b.healthy or 0 for b in (*chosen, *left))
    if not left or not ready or not before:
        return 0
    return math.ceil(ready * sum(b.healthy or 0 for b in chosen) / before)


def _which(spec: TierSpec, service: BackendService, chosen: list[Backend]) -> str:
    if len(chosen) == len(service.backends):
        return f"{spec.title}: no new request goes to {service.name}"
    groups = ", ".join(b.group.rsplit("/", 1)[-1] for b in chosen)
    return f"{groups} of {spec.title}"


def _affected(
    snapshot: Snapshot,
    balancer: LoadBalancer,
    spec: TierSpec,
    service: BackendService,
    chosen: list[Backend],
    left: list[Backend],
) -> tuple[str, ...]:
    sentences: list[str] = []
    rate, whole = rate_of(snapshot, spec.name), all_requests(snapshot)
    if rate is None:
        sentences.append(f"How many requests {spec.title} gets now is not known")
    else:
        users = f", {rate / whole:.0%} of all requests to the tiers" if whole else ""
        sentences.append(f"{spec.title} gets {rate:,.1f} requests/s now{users}")
    places = ", ".join(d.place.name for d in leading_to(balancer, service.name))
    if left:
        sentences.append(_left_sentence(service, chosen, left))
    elif places:
        sentences.append(
            f"These places lead to {service.name} and get an error instead of an answer: {places}."
            " Send them elsewhere first (fail over)"
        )
    else:
        sentences.append(f"No path leads to {service.name}")
    if any(p.kind is PartKind.VERTEX for p in spec.parts):
        sentences.append(f"{spec.title}'s Vertex endpoints go on answering")
    sentences.append("Requests that are under way may end; the slices go on running and costing")
    return tuple(sentences)


def _left_sentence(service: BackendService, chosen: list[Backend], left: list[Backend]) -> str:
    if any(b.healthy is None for b in (*chosen, *left)):
        return f"How many endpoints of {service.name} stay healthy is not known"
    before = sum(b.healthy or 0 for b in (*chosen, *left))
    after = sum(b.healthy or 0 for b in left)
    share = f" ({after / before:.0%} of the capacity)" if before else ""
    return f"Healthy endpoints of {service.name} that take requests: {before} → {after}{share}" + (
        ": no redundancy is left" if after <= 1 else ""
    )
