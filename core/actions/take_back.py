"""Take back what an action did: its steps that began are undone, in the opposite order.

What it made is deleted, what it wrote is written back to what was there before; both only where it
is as that action left it. What somebody changed since, what others need by now and what nothing
brings back stays, and the plan says so. Steps that failed count as well: what they left half made
goes. What is undone already is left out, so that a second plan completes a first one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Final

from core import ownership
from core.actions.canary import VERB as WATCH
from core.actions.chain_steps import TAKE_OUT_PATH, observe, present_of
from core.actions.context import PlanContext, Undertaking
from core.actions.scaling import who_feels_it
from core.actions.take_back_pieces import MAKING, Unmaking, chain_around
from core.actions.take_back_writes import GONE, WRITING, Back, World, way_back, written
from core.actions.tear_down import irreversible_of
from core.actions.tier_lookup import spec_of, word
from core.chain import Chain
from core.cloud_resources import AIPLATFORM, PLATFORM, short_name
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.guards.change import deletes
from core.money import COMPUTE, VERTEX
from core.plans import CostChange, Plan, Request, Step, order_of
from core.pricing import chips_rate, tier_rate
from core.records import Snapshot
from core.specs import TierSpec
from core.traffic_effect import rate_of
from core.wording import plural

ACTION: Final = "take_back"
INTENT: Final = "intent"  # the parameter that names what is taken back
ENDED: Final = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class _Chips:
    """Chips that come (negative: go), and how they are paid for."""

    chips: int
    spot: bool
    product: str


def plan_take_back(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that undoes what the action `intent` (parameter, its id in the audit) did.

    Raises:
        PlanError: there is no such action of the tier, it is under way, it changed nothing, or
            nothing of it can be taken back; the hint says what stays and why.
    """
    spec = spec_of(snapshot, request)
    done = undertaking_of(request, context)
    chain = chain_around(snapshot, done, context)
    present = present_of(context) if chain.pieces else {}
    backs, left, gone_by = _writes(World(snapshot, spec, context), done)
    unmaking = Unmaking(snapshot, done, chain, present, _needed(done, left))
    removals = unmaking.steps()
    stays = [*left.values(), *unmaking.stays, *gone_by, *_for_good(done)]
    steps = _ordered(done, backs, removals)
    if not steps:
        raise PlanError(
            f"There is nothing to take back of “{done.title}”.",
            resource=request.tier,
            hint="; ".join(stays) or "All is as it was before",
        )
    gone = [unmaking.made[s.resource] for s in removals if s.resource in unmaking.made]
    chips = [*_of_pieces(snapshot, gone, done), *(_of_back(back) for back in backs)]
    delta = sum(back.chips for back in backs) - sum(map(_chips, gone))
    slices = -_slices(spec, gone) + sum(b.slices for b in backs)
    facts: dict[str, str | int | float | bool | None] = {}
    if removals:
        facts |= observe(_rests_on(chain, removals, spec), present)
    for back in backs:
        facts |= dict(back.observed)
    return Plan(
        request=request,
        title=f"Take back “{done.title}”: {plural(len(steps), 'step')}",
        steps=steps,
        observed=facts,
        cost=_cost(snapshot, spec, chips),
        affected=(*_affected(snapshot, spec, slices, done), *stays),
        irreversible=irreversible_of(removals, max(0, -delta)),
        permissions=_permissions(done, chain, removals, backs),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=slices,
        chip_delta=delta,
        takes_out=_takes_out(removals, backs),
        sources=done.plan.sources,
    )


def take_back_chain(snapshot: Snapshot, request: Request, context: PlanContext) -> Chain:
    """The pieces among which those of the action stand.

    Raises:
        PlanError: as `undertaking_of`.
    """
    return chain_around(snapshot, undertaking_of(request, context), context)


def undertaking_of(request: Request, context: PlanContext) -> Undertaking:
    """What is to be taken back.

    Raises:
        PlanError: there is no such action of that tier, it is under way, or it changed nothing.
    """
    name, found = word(request, INTENT), context.undertaking
    if found is None or found.intent != name:
        raise PlanError(
            f"No action {name!r} is recorded here.",
            resource=request.tier,
            hint=f"{INTENT} is the id of an action, as `python -m control audit list` tells it",
        )
    reason = why_not(found.plan, found.state, request.tier)
    if not reason and not found.begun:
        reason = "It was stopped before its first change"
    if reason:
        raise PlanError(f"“{found.title}” cannot be taken back.", resource=name, hint=reason)
    return found


def why_not(plan: Plan, state: str, tier: str) -> str:
    """Why that action of the record cannot be taken back, at a first look; "" when it may."""
    if plan.request.tier != tier:
        return f"It is an action on {plan.request.tier}, not on {tier}"
    if state == "refused":
        return "It was refused, so it changed nothing"
    if state not in ENDED:
        return "It is under way: stop it first"
    if plan.is_note:
        return "It changed nothing but the record"
    if tier == PLATFORM or all(map(_is_deletion, plan.steps)):
        return "It only deletes, and what it deleted does not come back; provision the tier again"
    return ""


def _is_deletion(step: Step) -> bool:
    return step.verb == TAKE_OUT_PATH or deletes(step)


def _writes(
    world: World, done: Undertaking
) -> tuple[list[Back], dict[tuple[int, ...], str], list[str]]:
    """The writes back; by the numbers of their steps why others stay; what has gone meanwhile."""
    backs: list[Back] = []
    left: dict[tuple[int, ...], str] = {}
    gone: list[str] = []
    for wrote in written(done):
        resource = wrote.first.resource
        found = way_back(world, wrote, done.later.get(resource, ""))
        if found == GONE:
            gone.append(f"{short_name(resource)} is gone by now, with what was written there")
        elif isinstance(found, str):
            left[wrote.numbers] = f"{short_name(resource)} stays as it is: {found}"
        elif found is not None:
            backs.append(found)
    return backs, left, gone


def _needed(done: Undertaking, left: Mapping[tuple[int, ...], str]) -> dict[str, str]:
    """Names of what a write that stays was made after → why it stays as well."""
    steps, before = done.plan.steps, _all_before(done.plan)
    return {
        steps[other - 1].resource: f"“{steps[number - 1].title}” rests on it and stays"
        for numbers in left
        for number in numbers
        for other in before[number - 1]
    }


def _all_before(plan: Plan) -> list[set[int]]:
    """For each step the numbers of all that had to be done before it."""
    found: list[set[int]] = []
    for direct in order_of(plan.steps):
        found.append(set(direct).union(*(found[number - 1] for number in direct)))
    return found


def _ordered(
    done: Undertaking, backs: Sequence[Back], removals: Sequence[Step]
) -> tuple[Step, ...]:
    """All steps; a write goes back before what it rested on does, and after what rested on it."""
    before = _all_before(done.plan)
    numbers = {step.resource: n for n, step in enumerate(done.plan.steps, 1)}
    keys = {numbers[s.resource]: s.key for s in removals if s.resource in numbers}
    steps = {step.key: step for step in (*(b.step for b in backs), *removals)}
    needs = {key: set(step.needs) for key, step in steps.items()}
    writes = {number: back.step.key for back in backs for number in back.numbers}
    for number in done.begun:
        for other in before[number - 1]:
            last, first = writes.get(number), writes.get(other)
            pair = (last or keys.get(number), first or keys.get(other))
            if (last or first) and pair[0] and pair[1] and pair[0] != pair[1]:
                needs[pair[1]].add(pair[0])
    try:
        order = tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise PlanError("The steps cannot be undone in an order: they need one another.") from error
    return tuple(replace(steps[key], needs=tuple(sorted(needs[key]))) for key in order)


def _for_good(done: Undertaking) -> list[str]:
    """What began and nothing brings back."""
    found: list[str] = []
    for number in done.begun:
        step = done.plan.steps[number - 1]
        if _is_deletion(step):
            found.append(f"“{step.title}” stays done: what was deleted does not come back")
        elif step.verb not in (*MAKING, *WRITING, WATCH):
            found.append(f"“{step.title}” stays done: nothing undoes it")
    return found


def _rests_on(chain: Chain, removals: Sequence[Step], spec: TierSpec) -> tuple[str, ...]:
    """Names of the pieces that decide what may go: the tier's, or all where a shared one goes."""
    owners = {piece.name: piece.owner for piece in chain.pieces}
    alone = all(owners.get(step.resource) == spec.name for step in removals)
    return tuple(name for name in chain.names if not alone or owners[name] == spec.name)


def _of_pieces(snapshot: Snapshot, gone: Sequence[Step], done: Undertaking) -> list[_Chips]:
    """Those that are paid for now: of node pools their nodes, of all else what was asked for."""
    spot = done.plan.request.parameters.get("spot") is True
    found: list[_Chips] = []
    for step in gone:
        product = VERTEX if f"//{AIPLATFORM}/" in step.resource else COMPUTE
        chips = _chips(step)
        if "/nodePools/" in step.resource:
            chips = sum(
                pool.node_count * ownership.hardware_of(pool.machine_type)[1]
                for pool in snapshot.node_pools or ()
                if step.resource.endswith(f"/clusters/{pool.cluster}/nodePools/{pool.name}")
            )
        found.append(_Chips(-chips, spot, product))
    return found


def _of_back(back: Back) -> _Chips:
    vertex = back.step.verb.startswith("vertex.")
    return _Chips(back.chips, back.spot, VERTEX if vertex else COMPUTE)


def _chips(step: Step) -> int:
    found = step.after.get("chips")
    return found if isinstance(found, int) else 0


def _slices(spec: TierSpec, gone: Sequence[Step]) -> int:
    return sum(map(_chips, gone)) // ownership.chips_per_slice(spec)


def _cost(snapshot: Snapshot, spec: TierSpec, changes: Sequence[_Chips]) -> CostChange:
    """Before, and after these chips; never below 0: those that do not run yet cost nothing now."""
    now = tier_rate(assemble_fleet(snapshot).tier(spec.name), snapshot.prices)
    after, source = now.usd_per_hour, now.source
    for change in changes:
        chips = abs(change.chips)
        if not chips:
            continue
        part = chips_rate(
            snapshot.prices, spec.generation or "", spec.zone, chips,
            chips if change.spot else 0, change.product,
        )  # fmt: skip
        source = f"{source}; change: {part.source}"
        if after is None or part.usd_per_hour is None:
            after = None
        else:
            after = max(
                0.0, after + (part.usd_per_hour if change.chips > 0 else -part.usd_per_hour)
            )
    return CostChange(now.usd_per_hour, after, now.basis.value, source)


def _affected(
    snapshot: Snapshot, spec: TierSpec, slices: int, done: Undertaking
) -> tuple[str, ...]:
    told = f"“{done.title}” ended as {done.state}; {len(done.begun)} of its steps had begun"
    if slices:
        return told, *who_feels_it(snapshot, assemble_fleet(snapshot).tier(spec.name), slices)
    rate = rate_of(snapshot, spec.name)
    if rate is None:
        return told, f"How many requests {spec.title} gets now is not known"
    return told, f"{spec.title} gets {rate:,.1f} requests/s now"


def _permissions(
    done: Undertaking, chain: Chain, removals: Sequence[Step], backs: Sequence[Back]
) -> tuple[str, ...]:
    """Those of the pieces that go; for writes the ones that writing needed."""
    going = {step.resource for step in removals}
    found = {p for piece in chain.pieces if piece.name in going for p in piece.permissions}
    return tuple(sorted(found | set(done.plan.permissions if backs else ())))


def _takes_out(removals: Collection[Step], backs: Collection[Back]) -> tuple[str, ...]:
    services = [
        step.resource for step in removals if step.resource.split("/")[-2] == "backendServices"
    ]
    return (
        *(short_name(name) for name in services),
        *(name for back in backs for name in back.takes_out),
    )
