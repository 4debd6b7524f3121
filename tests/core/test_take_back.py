"""Taking back what an action did: exactly that, in the opposite order, only what is as it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.actions import make_plan
from core.actions.chain_steps import deletes_shared
from core.actions.context import Undertaking
from core.actions.tier_lookup import spec_of
from core.cloud_resources import PLATFORM, CloudResource
from core.errors import PlanError
from core.plans import Plan, Request, order_of
from core.records import Snapshot
from core.workload_template import marked, without_mark
from tests.core.test_provision import CONTEXT, EMPTY, plan, snapshot, whole
from tests.core.test_rollouts import SERVED, WEIGHTS, merged
from tests.make import NOW, make_snapshot

SHARED = 22  # of all steps the first ones make what all tiers share
PROVISION = plan("provision_tier", "small", EMPTY, slices=2, replicas=0)


def undone(
    done: Plan,
    begun: Iterable[int],
    there: Mapping[str, CloudResource],
    *,
    world: Snapshot | None = None,
    state: str = "cancelled",
    later: Mapping[str, str] | None = None,
) -> Plan:
    """The plan that takes back so much of it, where that is there."""
    past = Undertaking("abc", done.title, state, done, tuple(begun), later or {})
    context = replace(CONTEXT, resources=there, undertaking=past)
    request = Request("take_back", done.request.tier, {"intent": "abc"})
    return make_plan(world or snapshot(), request, NOW, context)


def there_after(done: Plan, begun: Iterable[int]) -> dict[str, CloudResource]:
    """What the steps of a provisioning that began have made, and what comes with it."""
    every = whole(done.request.tier, slices=2, replicas=0)
    names = {done.steps[number - 1].resource for number in begun}
    return {name: found for name, found in every.items() if name in names}


def prefix(count: int) -> tuple[int, ...]:
    """Numbers of the first steps, in an order in which they may begin."""
    return tuple(range(1, count + 1))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(11, len(PROVISION.steps)), st.booleans())
def test_what_was_done_goes_in_the_opposite_order_and_nothing_else(count: int, other: bool) -> None:
    """Of any prefix exactly what was made and is ours goes, dependents first; of what a second tier
    needs nothing, and the plan says who needs it."""
    begun = prefix(count)
    there = there_after(PROVISION, begun)
    rest = whole("medium", slices=1) if other else EMPTY
    if other and count <= SHARED:
        with pytest.raises(PlanError, match="nothing to take back"):
            undone(PROVISION, begun, {**rest, **there})
        return
    found = undone(PROVISION, begun, {**rest, **there})
    order_of(found.steps)
    going = [step.resource for step in found.steps]
    made = [PROVISION.steps[number - 1] for number in begun]
    assert set(going) <= {step.resource for step in made}
    stays = {step.resource for step in made} - set(going)
    kept = {name for name in stays if not name.startswith("//serviceusage.")}
    assert all(there[name].owner == PLATFORM or _goes_along(name) for name in kept)
    if other:
        assert not any(there[name].owner == PLATFORM for name in going)
        assert any("needs it" in sentence for sentence in found.affected)
    else:
        assert {n for n in kept if not _goes_along(n)} == set()
    place = {name: index for index, name in enumerate(going)}
    keys = {step.key: step.resource for step in made}
    for step in made:
        for need in step.needs:
            both = place.get(step.resource), place.get(keys[need])
            if None not in both and not _goes_along(step.resource):
                assert both[0] < both[1], (step.title, need)  # type: ignore[operator]


def _goes_along(name: str) -> bool:
    """Whether it disappears with something else, without a step of its own that has to be first."""
    return any(w in name for w in ("/k8s/", "networkEndpoint", "system", "workloadIdentity", "%2F"))


def test_what_somebody_else_changed_or_made_stays_with_words() -> None:
    """A pool of another size, a resource that a later action wrote, one that bears another's name;
    and what they need stays, too."""
    begun = prefix(len(PROVISION.steps))
    there = there_after(PROVISION, begun)
    pool = next(s.resource for s in PROVISION.steps if "/nodePools/hw-small" in s.resource)
    backend = next(s.resource for s in PROVISION.steps if s.resource.endswith("/hw-small"))
    later = {pool: "Scale it"}
    found = undone(PROVISION, begun, there, later=later)
    going = {step.resource for step in found.steps}
    assert pool not in going
    assert not any(name.endswith("/clusters/hw-serving") for name in going)
    told = "\n".join(found.affected)
    assert "stays: changed since by “Scale it”" in told
    assert "cluster hw-serving stays" in told
    assert backend in going
    stolen = {**there, backend: replace(there[backend], owner="medium")}
    found = undone(PROVISION, begun, stolen)
    assert backend not in {step.resource for step in found.steps}
    assert "it says by now that it is medium's" in "\n".join(found.affected)


def test_what_was_there_before_is_not_deleted() -> None:
    """A pool that had failed and was made anew by the action was there before it."""
    every = whole("small", slices=2, replicas=0)
    pool = next(name for name in every if "/nodePools/hw-small" in name)
    broken = {**every, pool: replace(every[pool], broken=True)}
    again = plan("provision_tier", "small", broken, slices=2, replicas=0)
    with pytest.raises(PlanError) as caught:
        undone(again, prefix(len(again.steps)), every)
    assert "it was there before, failed or half made" in caught.value.hint


def test_chips_and_cost_of_what_goes() -> None:
    """Two hosts of four chips go: eight chips, two slices, and the plan says what that takes."""
    begun = prefix(len(PROVISION.steps))
    found = undone(PROVISION, begun, there_after(PROVISION, begun))
    assert (found.chip_delta, found.slice_delta) == (-8, -2)
    assert found.cost.delta_usd_per_hour == 0.0  # none of them runs yet
    assert any("8 chips may not be free again" in s for s in found.irreversible)
    assert "container.clusters.delete" in found.permissions
    assert deletes_shared(found)  # so every tier is locked


def acted(action: str, tier: str, **parameters: str | int | float) -> tuple[Plan, Snapshot]:
    """A plan on the usual world."""
    world = make_snapshot("normal", NOW)
    return make_plan(world, Request(action, tier, parameters), NOW, CONTEXT), world


def resized(world: Snapshot, nodes: int | None, done: Plan) -> Snapshot:
    """The world after the first step of a scaling; `nodes`: as somebody left it instead."""
    name = done.steps[0].resource.rsplit("/", 1)[-1]
    count = done.steps[0].after["node_count"] if nodes is None else nodes
    pools = [
        replace(p, node_count=count) if p.name == name else p  # type: ignore[arg-type]
        for p in world.node_pools or ()
    ]
    return replace(world, node_pools=tuple(pools))


def test_a_size_is_written_back_only_while_it_is_what_the_action_wrote() -> None:
    """Back to what was there before; not when it is so already, nor over somebody else's number."""
    done, world = acted("scale_tier", "small", delta=-1)
    (step,) = undone(done, (1,), EMPTY, world=resized(world, None, done), state="succeeded").steps
    assert step.verb == done.steps[0].verb
    assert step.after == done.steps[0].before
    assert step.before == done.steps[0].after
    with pytest.raises(PlanError, match="nothing to take back") as caught:
        undone(done, (1,), EMPTY, world=world)
    assert caught.value.hint == "All is as it was before"
    with pytest.raises(PlanError) as caught:
        undone(done, (1,), EMPTY, world=resized(world, 9, done))
    assert "changed since: node count is 9 now" in caught.value.hint
    name = done.steps[0].resource
    with pytest.raises(PlanError) as caught:
        undone(done, (1,), EMPTY, world=resized(world, None, done), later={name: "Another"})
    assert "changed since by “Another”" in caught.value.hint


def test_weights_capacities_and_budgets_are_written_back() -> None:
    """What a shift, a drain and a change of a budget wrote becomes what was there before."""
    done, world = acted("drain_tier", "small")
    balancer = world.load_balancer
    assert balancer is not None
    gone = {group for step in done.steps for group in step.after}
    drained = tuple(
        replace(s, backends=tuple(
            replace(b, capacity_ratio=0.0) if b.group in gone else b for b in s.backends
        ))
        for s in balancer.backend_services
    )  # fmt: skip
    after = replace(world, load_balancer=replace(balancer, backend_services=drained))
    (step,) = undone(done, (1,), EMPTY, world=after, state="succeeded").steps
    assert step.after == done.steps[0].before
    done, world = acted("change_budget", "small", amount_usd=7.0)
    budgets = tuple(
        replace(b, amount_usd=7.0) if done.steps[0].resource.endswith(b.id) else b
        for b in world.budgets or ()
    )
    changed = replace(world, budgets=budgets)
    (step,) = undone(done, (1,), EMPTY, world=changed, state="succeeded").steps
    assert step.after == done.steps[0].before
    place, to = "hw-map llm any other", "hw-medium"
    done, world = acted("shift_traffic", "small", place=place, to=to, percent=10)
    with pytest.raises(PlanError, match="nothing to take back"):
        undone(done, (1,), EMPTY, world=world)


@pytest.mark.parametrize(
    ("state", "begun", "words"),
    [
        ("running", (1,), "under way: stop it first"),
        ("refused", (), "changed nothing"),
        ("cancelled", (), "stopped before its first change"),
    ],
)
def test_what_cannot_be_taken_back_says_why(state: str, begun: tuple[int, ...], words: str) -> None:
    """An action that runs, was refused, or was stopped before it changed anything."""
    with pytest.raises(PlanError) as caught:
        undone(PROVISION, begun, EMPTY, state=state)
    assert words in caught.value.hint


def test_deletions_do_not_come_back_and_another_tiers_action_is_not_ours() -> None:
    """A tear-down is refused; so is an action that nobody recorded, or of another tier."""
    down = plan("tear_down_tier", "small", whole("small", slices=2))
    with pytest.raises(PlanError) as caught:
        undone(down, prefix(3), EMPTY)
    assert "does not come back" in caught.value.hint
    request = Request("take_back", "small", {"intent": "nobody"})
    with pytest.raises(PlanError, match="No action 'nobody'"):
        make_plan(snapshot(), request, NOW, replace(CONTEXT, resources=EMPTY))
    past = Undertaking("abc", "t", "failed", PROVISION, (1,))
    other = Request("take_back", "medium", {"intent": "abc"})
    assert spec_of(snapshot(), other)
    with pytest.raises(PlanError) as caught:
        make_plan(snapshot(), other, NOW, replace(CONTEXT, resources=EMPTY, undertaking=past))
    assert "an action on small, not on medium" in caught.value.hint


def test_what_nothing_undoes_is_told_beside_what_goes() -> None:
    """Of an action that wrote and deleted, the deletion stays done and the write goes back."""
    done, world = acted("scale_tier", "small", delta=-1)
    gone = plan("tear_down_tier", "small", whole("small", slices=2)).steps[0]
    both = replace(done, steps=(*done.steps, replace(gone, key="", needs=())))
    found = undone(both, prefix(len(both.steps)), EMPTY, world=resized(world, None, done))
    assert [step.verb for step in found.steps] == [done.steps[0].verb]
    assert any("stays done: what was deleted does not come back" in s for s in found.affected)


@pytest.mark.parametrize("again", [False, True])
def test_a_deployed_model_is_taken_back_before_its_weights_go(again: bool) -> None:
    """The servers get their earlier template first, then volume, source and rights go; what was
    there before the action stays, and with another template since, its weights stay as well."""
    tier = whole("small", slices=2, replicas=0)
    world = make_snapshot("normal", NOW)
    mine = [w for w in world.workloads or () if w.namespace == "small"]
    world = replace(world, workloads=tuple(mine[:1]))
    context = replace(CONTEXT, resources=tier, workload=SERVED)
    done = make_plan(world, Request("deploy_model", "small", WEIGHTS), NOW, context)
    made = {
        name: CloudResource(name, PLATFORM if "/storageclasses/" in name else "small")
        for name in (step.resource for step in done.steps[:-1])
    }
    patch = json.loads(done.steps[-1].body)["patch"]
    past = Undertaking("abc", done.title, "succeeded", done, prefix(len(done.steps)))
    now = merged(SERVED, patch)
    if again:
        pod = now["spec"]["template"]
        now["spec"]["template"] = marked(without_mark(pod), "somebody")
    context = replace(CONTEXT, resources=tier | made, workload=now, undertaking=past)
    wish = Request("take_back", "small", {"intent": "abc"})
    if again:
        with pytest.raises(PlanError) as caught:
            make_plan(world, wish, NOW, context)
        assert "changed since" in caught.value.hint
        assert "rests on it and stays" in caught.value.hint
        return
    found = make_plan(world, wish, NOW, context)
    first, *rest = found.steps
    assert (first.verb, first.after["model"]) == (done.steps[-1].verb, "Llama")
    assert {step.resource for step in rest} == set(made)
    volume = next(s for s in rest if "/persistentvolumeclaims/" in s.resource)
    assert first.key in volume.needs
