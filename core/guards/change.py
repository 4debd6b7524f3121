"""What a plan changes, in the terms that several guards need: slices, chips, what it deletes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core import ownership
from core.cloud_limits import Seller
from core.cloud_resources import AIPLATFORM, TPU
from core.fleet import Fleet
from core.plans import Plan, Step
from core.records import Snapshot
from core.specs import TierSpec
from core.traffic_effect import owner_of
from core.traffic_rules import service_of

Values = Mapping[str, str | int | float | bool | None]

_DELETING: Final = ("delete", "remove", "undeploy", "tear_down")
_MOVING: Final = ("drain", "traffic", "url_map", "backend", "weight", "split", "fail_over")


def slice_delta(plan: Plan) -> int:
    """Slices that the plan adds (positive) or removes (negative).

    As the plan says, else by its steps' node counts, which is right where a node is a slice.
    """
    if plan.slice_delta is not None:
        return plan.slice_delta
    delta = 0
    for step in plan.steps:
        before, after = _nodes(step.before), _nodes(step.after)
        if before is not None or after is not None:
            delta += (after or 0) - (before or 0)
    return delta


def _nodes(values: Values) -> int | None:
    found = values.get("node_count")
    return found if isinstance(found, int) else None


def chip_delta(plan: Plan, snapshot: Snapshot) -> int:
    """TPU chips that the plan adds or (negative) removes; 0 for a tier without TPU."""
    if plan.chip_delta is not None:
        return plan.chip_delta
    spec = find_spec(plan, snapshot)
    if spec is None or spec.generation is None:
        return 0
    return slice_delta(plan) * ownership.chips_per_slice(spec)


def chips_by_seller(plan: Plan, snapshot: Snapshot) -> dict[Seller, int]:
    """TPU chips that the plan adds or (negative) removes, by whose they are.

    As its steps say, where they say it; the others are of the one that its steps ask.
    """
    found: dict[Seller, int] = {}
    for step in plan.steps:
        chips = step.after.get("chips")
        if isinstance(chips, int):
            whose = seller_of(step)
            found[whose] = found.get(whose, 0) + chips
    if not found:
        return {seller_of(*plan.steps): chip_delta(plan, snapshot)}
    unsaid = (plan.chip_delta or 0) - sum(found.values())
    if unsaid > 0:  # e.g. nodes that an autoscaler brings
        whose = seller_of(*plan.steps)
        found[whose] = found.get(whose, 0) + unsaid
    return found


def seller_of(*steps: Step) -> Seller:
    """Whose chips these steps ask for."""
    if any(s.verb.startswith("vertex.") or f"//{AIPLATFORM}/" in s.resource for s in steps):
        return Seller.VERTEX
    return Seller.TPU if any(f"//{TPU}/" in s.resource for s in steps) else Seller.COMPUTE


def find_spec(plan: Plan, snapshot: Snapshot) -> TierSpec | None:
    """The tier that the plan changes; None: it is of several tiers, or of none."""
    return next((s for s in snapshot.specs if s.name == plan.request.tier), None)


def concerned(plan: Plan, snapshot: Snapshot) -> tuple[str, ...]:
    """The tier that the plan is of, and those whose backend service gets more requests by it."""
    more = (
        owner_of(snapshot, service_of(place))
        for step in plan.steps
        for place, weight in step.after.items()
        if isinstance(weight, int) and weight > int(step.before.get(place) or 0)
    )
    takers = (spec.name for spec in more if spec is not None)
    return tuple(dict.fromkeys((plan.request.tier, *takers)))


def ready_slices(plan: Plan, fleet: Fleet) -> int | None:
    """Ready slices of the plan's tier now; None: unknown, or the plan is not of one tier."""
    for tier in fleet.tiers:
        if tier.name == plan.request.tier:
            return tier.slice_count.ready
    return None


def ends_service(plan: Plan, fleet: Fleet) -> bool | None:
    """Whether nothing of the tier serves afterwards; None: cannot be told."""
    if is_teardown(plan):
        return True
    if slice_delta(plan) >= 0:
        return False
    ready = ready_slices(plan, fleet)
    return None if ready is None else ready + slice_delta(plan) <= 0


def takes_away(plan: Plan) -> bool:
    """Whether slices or resources go."""
    return slice_delta(plan) < 0 or any(deletes(s) for s in plan.steps)


def shrinks(plan: Plan) -> bool:
    """Whether less serves afterwards: slices or resources go, or stop being called."""
    return takes_away(plan) or bool(plan.takes_out)


def adds(plan: Plan) -> bool:
    """Whether it adds slices or makes resources."""
    if slice_delta(plan) != 0:
        return slice_delta(plan) > 0
    return any(step.after and not step.before for step in plan.steps)


def grows(plan: Plan) -> bool:
    """Whether it adds slices or costs more."""
    return slice_delta(plan) > 0 or (plan.cost.delta_usd_per_hour or 0.0) > 0


def deletes(step: Step) -> bool:
    """Whether the step takes a resource away."""
    action = step.verb.rpartition(".")[2]
    return action.startswith(_DELETING) or (bool(step.before) and not step.after)


def moves_traffic(step: Step) -> bool:
    """Whether the step keeps requests from what a later step takes away."""
    return any(word in step.verb for word in _MOVING)


def deleted(plan: Plan) -> tuple[tuple[str, str], ...]:
    """(collection, name) of every resource that the plan takes away, e.g. ("nodePools", "a")."""
    return tuple(kind_and_name(s.resource) for s in plan.steps if deletes(s))


def kind_and_name(resource: str) -> tuple[str, str]:
    """The last two segments of a resource's name."""
    head, _, name = resource.rstrip("/").rpartition("/")
    return head.rpartition("/")[2], name


def is_teardown(plan: Plan) -> bool:
    """Whether the plan takes a whole tier, or all of them, away."""
    return plan.request.action.startswith("tear_down")
