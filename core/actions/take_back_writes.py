"""Writing back what an action wrote: what is there now, and the step to what was there before.

Only of values that change in place; whole resources are `take_back_pieces.py`'s. The steps are
those of the actions that write such values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from core import ownership, tpu
from core.actions import (
    change_budget,
    drain_tier,
    rollouts,
    scale_replicas,
    scale_slices,
    scale_tier,
    scaling,
    shift_traffic,
    vertex_split,
)
from core.actions.context import PlanContext, Undertaking
from core.actions.rollouts import present_workload, workload_name, workload_of
from core.actions.tier_lookup import balancer_of, known
from core.cloud_resources import short_name
from core.errors import PlanError
from core.plans import Facts, Step
from core.records import Endpoint, Snapshot
from core.specs import TierSpec
from core.traffic_rules import WHOLE, Division, divisions, read_key, shares_by_place, weights_of
from core.workload_template import fingerprint, revision_of, template_of, without_mark

Value = str | int | float | bool | None

GONE: Final = "it is gone"
_HINT: Final = "See Connections for what cannot be read"


@dataclass(frozen=True, slots=True)
class World:
    """What is needed to look at what was written."""

    snapshot: Snapshot
    spec: TierSpec
    context: PlanContext


@dataclass(frozen=True, slots=True)
class Written:
    """One resource that an action's steps wrote.

    Attributes:
        first: the first of those steps; of a roll-out it holds the template of before.
        numbers: of all of them.
        before: the values before the first one.
        wrote: value's name → all that was written there.
    """

    first: Step
    numbers: tuple[int, ...]
    before: Facts
    wrote: Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """The same as it is now: its values, the facts to rest on, and how others are written there.

    `slice_chips`: chips of each node or replica that the values count; 0 where they count none.
    """

    now: Facts
    observed: Facts
    make: Callable[[Facts], Step]
    slice_chips: int = 0
    spot: bool = False


@dataclass(frozen=True, slots=True)
class Back:
    """A write to what was there before.

    Attributes:
        slices, chips: that it adds or (negative) takes away.
        takes_out: backend groups and deployed models that serve nothing after it.
    """

    step: Step
    numbers: tuple[int, ...]
    observed: Facts
    slices: int
    chips: int
    spot: bool
    takes_out: tuple[str, ...]


def written(undertaking: Undertaking) -> tuple[Written, ...]:
    """What the steps that began have written, each resource once, in the order of the steps."""
    groups: dict[tuple[str, str], list[tuple[int, Step]]] = {}
    for number in undertaking.begun:
        step = undertaking.plan.steps[number - 1]
        if step.verb in _WAYS:
            groups.setdefault((step.verb, step.resource), []).append((number, step))
    return tuple(_joined(steps) for steps in groups.values())


def _joined(steps: list[tuple[int, Step]]) -> Written:
    before: dict[str, Value] = {}
    wrote: dict[str, tuple[Value, ...]] = {}
    for _, step in steps:
        before = {**step.before, **before}
        for key, value in step.after.items():
            wrote[key] = (*wrote.get(key, ()), value)
    return Written(steps[0][1], tuple(number for number, _ in steps), before, wrote)


def way_back(world: World, wrote: Written, later: str) -> Back | str | None:
    """The step back; why it is left out; None: all is as it was before.

    `later`: title of a later action that changed it, "" where none did.

    Raises:
        PlanError: what is there was not read.
    """
    found = _WAYS[wrote.first.verb](world, wrote)
    if isinstance(found, str):
        return found
    keys = dict.fromkeys((*wrote.before, *wrote.wrote, *found.now))
    now = {key: found.now.get(key) for key in keys}
    if all(now[key] == wrote.before.get(key) for key in keys):
        return None
    for key in keys:
        if now[key] != wrote.before.get(key) and now[key] not in wrote.wrote.get(key, ()):
            return f"changed since{_by(later)}: {_told(key)} is {now[key]!r} now"
    if later:
        return f"changed since{_by(later)}"
    step = replace(
        found.make(wrote.before), key=f"back-{wrote.numbers[0]}", needs=(),
        undo="do again what was taken back",
    )  # fmt: skip
    more = _count(wrote.before) - _count(now)
    return Back(
        step,
        wrote.numbers,
        found.observed,
        more if found.slice_chips else 0,
        more * found.slice_chips,
        found.spot,
        _out(step),
    )


def _by(later: str) -> str:
    return f" by “{later}”" if later else ""


def _told(key: str) -> str:
    return key.replace("_", " ")


def _count(values: Facts) -> int:
    """Nodes of a pool, or replicas of a deployed model."""
    found = values.get("node_count", values.get("least"))
    return found if isinstance(found, int) else 0


def _out(step: Step) -> tuple[str, ...]:
    if step.verb not in (drain_tier.VERB, vertex_split.VERB):
        return ()
    return tuple(name for name, value in step.after.items() if value == 0 and step.before.get(name))


# --- one function for each verb: what is there now, or why it cannot be written back --------------


def _pool(world: World, wrote: Written) -> Found | str:
    project = world.context.project
    pools = known(world.snapshot.node_pools, "The node pools have not been read yet.", _HINT)
    names = {scale_tier.resource_name(project, pool): pool for pool in pools}
    pool = names.get(wrote.first.resource)
    if pool is None:
        return GONE
    if pool.status not in scale_tier.SETTLED:
        return f"it is {pool.status} now; plan it again when it is RUNNING"
    return Found(
        {"node_count": pool.node_count},
        scaling.observe((pool,)),
        lambda back: scale_tier.resize_step(pool, _number(back, "node_count"), world.context),
        ownership.slice_chips(world.spec, pool.topology),
        ownership.is_spot(pool.labels),
    )


def _weights(world: World, wrote: Written) -> Found | str:
    name = short_name(wrote.first.resource)
    places = {read_key(name, key)[0] for key in (*wrote.before, *wrote.wrote)}
    balancer = balancer_of(world.snapshot)
    here = {d.place: d for d in divisions(balancer) if d.place in places}
    missing = [place.name for place in places if place not in here]
    if missing:
        return f"{', '.join(sorted(missing))} is gone"
    there: dict[str, Value] = {}
    for division in here.values():
        there |= weights_of(division)
    now = {key: there.get(key, 0) for key in (*wrote.before, *wrote.wrote)}
    now |= {key: weight for key, weight in there.items() if weight}

    def make(back: Facts) -> Step:
        wanted: dict[Division, dict[str, int]] = {
            here[place]: dict(shares) for place, shares in shares_by_place(name, back).items()
        }
        title = f"Write the weights of {', '.join(sorted(p.name for p in places))} back"
        return shift_traffic.weights_step(world.context.project, wanted, title, world.context)

    return Found(now, shift_traffic.observe(balancer, tuple(here.values())), make)


def _capacity(world: World, wrote: Written) -> Found | str:
    services = {s.name: s for s in balancer_of(world.snapshot).backend_services}
    service = services.get(short_name(wrote.first.resource))
    if service is None:
        return GONE
    backends = [b for b in service.backends if b.group in wrote.wrote]
    word = "Write back the capacity of"

    def make(back: Facts) -> Step:
        after = {group: float(ratio or 0) for group, ratio in back.items()}
        return drain_tier.capacity_step(service, backends, after, word, world.context)

    return Found(
        {b.group: b.capacity_ratio for b in backends}, drain_tier.observe((service,)), make
    )


def _endpoint(world: World, id_: str) -> Endpoint | None:
    known(world.snapshot.endpoints, "The Vertex endpoints have not been read yet.", _HINT)
    mine = vertex_split.endpoints_of(world.snapshot, world.spec)
    return next((e for e in mine if e.id == id_), None)


def _replicas(world: World, wrote: Written) -> Found | str:
    *_, endpoint_id, _, model_id = wrote.first.resource.split("/")
    endpoint = _endpoint(world, endpoint_id)
    model = next((m for m in endpoint.deployed if m.id == model_id), None) if endpoint else None
    if endpoint is None or model is None:
        return GONE
    return Found(
        {"least": model.replicas_min, "most": model.replicas_max},
        scale_replicas.observe((endpoint,)),
        lambda back: scale_replicas.replicas_step(
            endpoint, model, _number(back, "least"), _number(back, "most"), world.context
        ),
        tpu.chips(model.topology or world.spec.topology),
    )


def _split(world: World, wrote: Written) -> Found | str:
    endpoint = _endpoint(world, short_name(wrote.first.resource))
    if endpoint is None:
        return GONE
    now = {m.id: round(m.traffic_ratio * WHOLE) for m in endpoint.deployed}
    return Found(
        dict[str, Value](now),
        vertex_split.observe((endpoint,)),
        lambda back: vertex_split.split_step(
            endpoint, now, {m: _number(back, m) for m in back}, world.context
        ),
    )


def _budget(world: World, wrote: Written) -> Found | str:
    budgets = known(world.snapshot.budgets, "The budgets have not been read yet.", _HINT)
    found = {b.id: b for b in budgets}.get(short_name(wrote.first.resource))
    if found is None:
        return GONE
    now = change_budget.values(found)
    return Found(
        now,
        change_budget.observe((found,)),
        lambda back: change_budget.budget_step(world.context, found, now, back),
    )


def _groups(world: World, wrote: Written) -> Found | str:
    name = wrote.first.resource
    if workload_name(world.snapshot, world.spec, world.context) != name:
        return "another workload serves the tier"
    workload = workload_of(world.snapshot, world.spec, name)
    return Found(
        {"replicas": workload.replicas_wanted},
        scale_slices.observe((name, workload)),
        lambda back: scale_slices.groups_step(
            name, workload, _number(back, "replicas"), (), world.context
        ),
    )


def _template(world: World, wrote: Written) -> Found | str:
    name = wrote.first.resource
    workload = present_workload(world.context)
    template = template_of(workload)
    earlier = without_mark(json.loads(wrote.first.body)["before"])
    revision = revision_of(template) or fingerprint(template)
    before = wrote.before["template"]
    now: Value = before if without_mark(template) == earlier else revision
    models = dict(zip(wrote.wrote["template"], wrote.wrote["model"], strict=True))
    model = wrote.before["model"] if now == before else models.get(now, "another")
    return Found(
        {"template": now, "model": model},
        rollouts.observe(name, template),
        lambda back: rollouts.rollout_step(
            name, workload, earlier, f"Roll out {back['model'] or 'the earlier template'} again",
            world.context,
        ),
    )  # fmt: skip


def _number(values: Facts, name: str) -> int:
    found = values.get(name)
    if not isinstance(found, int):
        raise PlanError(f"The record does not tell {name} as a number, but as {found!r}.")
    return found


_WAYS: Final = MappingProxyType[str, Callable[[World, Written], Found | str]](
    {
        scale_tier.VERB: _pool,
        shift_traffic.VERB: _weights,
        drain_tier.VERB: _capacity,
        scale_replicas.VERB: _replicas,
        vertex_split.VERB: _split,
        change_budget.VERB: _budget,
        scale_slices.VERB: _groups,
        rollouts.VERB: _template,
    }
)
WRITING: Final = tuple(_WAYS)  # verbs whose values are written back
