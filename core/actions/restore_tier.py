"""Restore a drained tier: its backends get back the capacity that they had before the drain.

What they had is known from the record of the last drain made from here; without one it is the
API's default, 1.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.actions.context import PlanContext
from core.actions.drain_tier import (
    PERMISSIONS,
    SOURCES,
    capacity_step,
    chosen_backends,
    observe,
)
from core.actions.steady_plan import steady_plan
from core.actions.tier_lookup import balancer_of, spec_of, tier_service
from core.cloud_resources import short_name
from core.errors import PlanError
from core.load_balancer import Backend, BackendService, LoadBalancer
from core.plans import Plan, Request
from core.records import Snapshot
from core.specs import TierSpec
from core.traffic_effect import redundancy
from core.traffic_rules import leading_to
from core.wording import plural, share_of

ACTION: Final = "restore_tier"
_DEFAULT_RATIO: Final = 1.0  # Compute's documented default of capacityScaler


def plan_restore_tier(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that gives drained backends, or the one named by `group`, their capacity back.

    Raises:
        PlanError: the tier has no such backend, or none is drained.
    """
    spec = spec_of(snapshot, request)
    balancer = balancer_of(snapshot)
    service = tier_service(balancer, spec)
    chosen = [b for b in chosen_backends(service, request, spec) if b.capacity_ratio == 0]
    if not chosen:
        raise PlanError(
            f"No backend of {service.name} is drained.",
            resource=service.name,
            hint="Only what was drained can be restored: there is nothing to do",
        )
    after = {
        b.group: context.capacity_before_drain.get(f"{service.name} {b.group}") or _DEFAULT_RATIO
        for b in chosen
    }
    share = share_of(len(chosen), len(service.backends), "backend")
    takes = "takes" if len(chosen) == 1 else "take"
    return steady_plan(
        snapshot,
        request,
        now,
        context,
        title=f"Restore {spec.title}: {share} of {service.name} {takes} requests again",
        steps=(capacity_step(service, chosen, after, "Restore", context),),
        observed=observe((service,)),
        affected=_affected(balancer, spec, service, chosen, context),
        permissions=PERMISSIONS,
        sources=SOURCES,
    )


def _affected(
    balancer: LoadBalancer,
    spec: TierSpec,
    service: BackendService,
    chosen: list[Backend],
    context: PlanContext,
) -> tuple[str, ...]:
    unknown = [
        short_name(b.group)
        for b in chosen
        if f"{service.name} {b.group}" not in context.capacity_before_drain
    ]
    healthy = [b.healthy for b in chosen if b.healthy is not None]
    sentences = [f"Now: {redundancy(service)}"]
    if len(healthy) == len(chosen):
        sentences.append(f"{plural(sum(healthy), 'more healthy endpoint')} can take requests")
        if not sum(healthy):
            sentences.append("None of them is healthy: they get no request until they are")
    else:
        sentences.append("How many of the restored endpoints are healthy is not known")
    if unknown:
        sentences.append(
            f"What capacity {', '.join(unknown)} had before is not recorded here: the default,"
            f" {_DEFAULT_RATIO:g}, is written"
        )
    places = ", ".join(d.place.name for d in leading_to(balancer, service.name))
    sentences.append(
        f"Places that lead to {service.name}: {places}"
        if places
        else f"No path leads to {service.name}: {spec.title} gets no request until traffic is"
        " shifted to it"
    )
    return tuple(sentences)
