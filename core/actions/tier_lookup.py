"""What several planners ask of a request: its tier, the tier's load balancing, usual durations."""

from __future__ import annotations

from statistics import median
from typing import TypeVar

from core.actions.context import PlanContext
from core.errors import PlanError
from core.fleet import FleetTier
from core.plans import CostChange, Request
from core.pricing import tier_rate
from core.records import BackendService, LoadBalancer, Snapshot
from core.specs import TierSpec

T = TypeVar("T")


def spec_of(snapshot: Snapshot, request: Request) -> TierSpec:
    """The tier that a request names.

    Raises:
        PlanError: there is no such tier.
    """
    try:
        return snapshot.spec(request.tier)
    except KeyError as error:
        names = ", ".join(s.name for s in snapshot.specs)
        raise PlanError(f"There is no tier {request.tier!r}.", hint=f"Tiers: {names}") from error


def known(found: T | None, message: str, hint: str) -> T:
    """What was read.

    Raises:
        PlanError: it was not, as the message says; trying again may help.
    """
    if found is None:
        raise PlanError(message, retryable=True, hint=hint)
    return found


def balancer_of(snapshot: Snapshot) -> LoadBalancer:
    """The load balancer as last read.

    Raises:
        PlanError: it was never read.
    """
    return known(
        snapshot.load_balancer,
        "The load balancer has not been read yet.",
        "See Connections for its state",
    )


def service_of(balancer: LoadBalancer, name: str) -> BackendService:
    """The backend service of that name.

    Raises:
        PlanError: there is none; the hint names those that are there.
    """
    for service in balancer.backend_services:
        if service.name == name:
            return service
    there = ", ".join(s.name for s in balancer.backend_services)
    raise PlanError(
        f"There is no backend service {name!r}.", hint=f"Backend services: {there or 'none'}"
    )


def tier_service(balancer: LoadBalancer, spec: TierSpec) -> BackendService:
    """The backend service of a tier.

    Raises:
        PlanError: the tier has none configured, or it does not exist.
    """
    if not spec.backend_service:
        raise PlanError(
            f"{spec.title} does not stand behind the load balancer.",
            resource=spec.name,
            hint="Its backend_service is not set in heartwood.toml",
        )
    return service_of(balancer, spec.backend_service)


def whole_number(request: Request, name: str, lowest: int, highest: int) -> int:
    """A parameter that must be a whole number in that range.

    Raises:
        PlanError: it is not.
    """
    value = request.parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise PlanError(
            f"The parameter {name} is {value!r}.",
            resource=request.tier,
            hint=f"{name} is a whole number from {lowest:,} to {highest:,}",
        )
    return value


def word(request: Request, name: str) -> str:
    """A parameter that must be a text which is not empty.

    Raises:
        PlanError: it is not.
    """
    value = request.parameters.get(name)
    if not isinstance(value, str) or not value:
        raise PlanError(
            f"The parameter {name} is {value!r}.", resource=request.tier, hint=f"{name} is a name"
        )
    return value


def same_cost(snapshot: Snapshot, tier: FleetTier) -> CostChange:
    """The tier's rate before and after an action that buys and sells nothing."""
    rate = tier_rate(tier, snapshot.prices)
    return CostChange(rate.usd_per_hour, rate.usd_per_hour, rate.basis.value, rate.source)


def usual(context: PlanContext, verb: str) -> tuple[float | None, str]:
    """How long a step with that verb took here before, and who says so; None: never done."""
    past = context.past_durations_s.get(verb, ())
    if not past:
        return None, "unknown: none was made from here yet"
    return median(past), f"median of {len(past)} earlier ones made from here"
