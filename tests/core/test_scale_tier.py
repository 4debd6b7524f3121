"""Plans that scale a tier's single-host slices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.actions import PlanContext, make_plan
from core.actions.scaling import observe, observe_again
from core.errors import PlanError
from core.plans import Plan, Request
from core.records import Snapshot
from tests.make import NOW, make_pools, make_snapshot

CONTEXT = PlanContext("heartwood-demo", 300.0)


def plan(delta: object = -1, tier: str = "small", snapshot: Snapshot | None = None) -> Plan:
    """The plan for that change."""
    request = Request("scale_tier", tier, {"delta": delta})  # type: ignore[dict-item]
    return make_plan(snapshot or make_snapshot(), request, NOW, CONTEXT)


def test_one_slice_less() -> None:
    """Before and after of one pool, $3,072 → $3,024/h, the gcloud command, what it rests on."""
    found = plan()
    (step,) = found.steps
    assert (step.before, step.after) == ({"node_count": 16}, {"node_count": 15})
    assert step.command == (
        "gcloud container clusters resize hw-serving --node-pool=hw-small-02 --num-nodes=15"
        " --location=us-central1 --project=heartwood-demo --quiet"
    )
    assert (found.cost.before_usd_per_hour, found.cost.after_usd_per_hour) == (3072, 3024)
    assert found.observed["us-central1/hw-serving/hw-small-02.node_count"] == 16
    assert found.permissions[0] == "container.clusters.update"
    assert found.expires_at - found.made_at == timedelta(seconds=300)
    assert step.expected_s is None
    assert step.expected_source.startswith("unknown")


def test_who_it_affects_is_said() -> None:
    """Requests per second, share of capacity, and that running requests are cut off."""
    text = " | ".join(plan().affected)
    assert "64 → 63" in text
    assert "−1.6%" in text
    assert "412.0 requests/s" in text
    assert "cut off" in text


def test_earlier_resizes_tell_the_duration() -> None:
    """The median of what they took, and the source says how many."""
    context = PlanContext("p", 300.0, {"gke.set_node_pool_size": (200.0, 240.0, 900.0)})
    request = Request("scale_tier", "small", {"delta": 1})
    step = make_plan(make_snapshot(), request, NOW, context).steps[0]
    assert step.expected_s == 240
    assert "3 earlier resizes" in step.expected_source


@given(st.integers(-48, 200).filter(bool))
def test_pools_stay_level_and_sums_are_right(delta: int) -> None:
    """Steps add up to the change, no pool goes below 0, sizes differ by one at most."""
    found = plan(delta)
    sizes = {f"hw-small-{i:02d}": 16 for i in range(3)}
    for step in found.steps:
        sizes[step.resource.rsplit("/", 1)[1]] = int(str(step.after["node_count"]))
    assert sum(sizes.values()) == 48 + delta
    assert min(sizes.values()) >= 0
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert found.cost.delta_usd_per_hour == pytest.approx(48 * delta)


@pytest.mark.parametrize("delta", [0, True, 1.5, "1", None, -49])
def test_a_wrong_delta_is_refused_with_what_is_allowed(delta: object) -> None:
    """Not a whole number, zero, or more than there is: PlanError with a hint."""
    with pytest.raises(PlanError) as caught:
        plan(delta)
    assert "delta" in caught.value.hint


@pytest.mark.parametrize("tier", ["dev", "local", "nowhere"])
def test_tiers_without_slices_in_gke_are_refused(tier: str) -> None:
    """TPU VM, local and unknown tiers name the tiers that can."""
    with pytest.raises(PlanError) as caught:
        plan(tier=tier)
    assert "small" in caught.value.hint


def test_unknown_actions_are_refused() -> None:
    """The hint lists the actions."""
    with pytest.raises(PlanError) as caught:
        make_plan(make_snapshot(), Request("explode", "small", {}), NOW, CONTEXT)
    assert "scale_tier" in caught.value.hint


@pytest.mark.parametrize("scenario", ["unread", "empty"])
def test_without_pools_there_is_no_plan(scenario: str) -> None:
    """Never read and nothing there are both refused."""
    with pytest.raises(PlanError):
        plan(snapshot=make_snapshot(scenario))


def test_pools_that_are_being_changed_are_left_alone() -> None:
    """A RECONCILING pool is not resized; with all of them busy there is no plan."""
    snapshot = make_snapshot()
    pools = snapshot.node_pools or ()
    one = tuple(replace(p, status="RECONCILING") if p.name == "hw-small-02" else p for p in pools)
    assert plan(snapshot=replace(snapshot, node_pools=one)).steps[0].resource.endswith("-01")
    all_busy = tuple(replace(p, status="RECONCILING") for p in pools)
    with pytest.raises(PlanError, match="RECONCILING"):
        plan(snapshot=replace(snapshot, node_pools=all_busy))


def test_without_prices_the_cost_is_unknown() -> None:
    """None before and after, never 0."""
    found = plan(snapshot=replace(make_snapshot(), prices=None))
    assert (found.cost.before_usd_per_hour, found.cost.after_usd_per_hour) == (None, None)


def test_the_digest_follows_the_facts() -> None:
    """The same facts give the same digest at another time; other facts another one."""
    later = make_plan(make_snapshot(), plan().request, NOW + timedelta(seconds=60), CONTEXT)
    assert later.digest == plan().digest
    assert plan(1).digest != plan().digest


def test_pools_of_one_name_in_two_locations_are_two_facts() -> None:
    """What the plan rests on names the cluster's location too."""
    pool = next(iter(make_pools()))
    facts = observe((pool, replace(pool, location="europe-west4", node_count=3)))
    counts = {k: v for k, v in facts.items() if k.endswith("node_count")}
    assert sorted(counts.values()) == [3, 16]


def test_what_differs_is_seen_again() -> None:
    """A changed count shows; a pool that is gone has None."""
    snapshot = make_snapshot()
    observed = plan().observed
    pools = snapshot.node_pools or ()
    assert observe_again(observed, pools) == observed
    changed = [replace(p, node_count=99) for p in pools]
    assert observe_again(observed, changed)["us-central1/hw-serving/hw-small-02.node_count"] == 99
    assert set(observe_again(observed, []).values()) == {None}


def test_pools_of_one_name_in_two_clusters_are_two_pools() -> None:
    """Names are unique in a cluster only: one pool is resized, not both to one size."""
    base = make_snapshot()
    specs = tuple(
        replace(s, parts=(replace(s.parts[0], cluster=""), *s.parts[1:]))
        if s.name == "small"
        else s
        for s in base.specs
    )
    pools = tuple(base.node_pools or ())
    twin = next(replace(p, cluster="other", node_count=3) for p in pools if p.name == "hw-small-00")
    found = plan(1, snapshot=replace(base, specs=specs, node_pools=(*pools, twin)))
    assert found.title.endswith("51 → 52")
    (step,) = found.steps
    assert "/clusters/other/" in step.resource
    assert (step.before, step.after) == ({"node_count": 3}, {"node_count": 4})
