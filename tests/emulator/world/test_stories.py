"""Stories: physics hold during them, they do what they say, and end; actions change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.log import ActionLog, Change
from emulator.scenario import SCENARIOS
from emulator.story import Disruption, Sign, Story
from emulator.world.load import Load
from emulator.world.stories import STORY_BEGAN, STORY_ENDED, tiers_hit
from emulator.world.uneven import Which
from emulator.world.world import World, minutes_between

NOW = 1_795_250_040.0  # a whole minute
NAMES = sorted(name for name, one in SCENARIOS.items() if one.story)
# In the story, once its ramps are over: from 30 to 40 minutes after its start.
INSIDE = minutes_between(NOW + 1800, NOW + 2400)


def told(name: str, story: Story | None = None, start: float = NOW, at: float = NOW) -> Change:
    """The change by which a story begins."""
    story = story or SCENARIOS[name].story
    assert story is not None
    data = {"scenario": name, "start": start, "story": story.model_dump_json()}
    return Change(at, STORY_BEGAN, f"scenarios/{name}", "", data)


def world_of(name: str, *changes: Change, fleet: str = "") -> World:
    """A world that was started an hour ago, in which that story begins now."""
    log = ActionLog()
    for change in (told(name), *changes) if name else changes:
        log.append(change)
    return World(SCENARIOS[fleet or name], log, 7, NOW - 3600)


def check(load: Load) -> None:
    """Utilisation is a share, nothing is lost, Little's law holds."""
    for name in ("utilisation", "kv_ratio", "hbm_ratio", "bandwidth_ratio", "duty_ratio"):
        value = getattr(load, name)
        assert value.min() >= 0, name
        assert value.max() <= 1, name
    out = load.completed + load.client_errors + load.failed + load.rejected
    np.testing.assert_allclose(out, load.offered, rtol=1e-9, atol=1e-9)
    expected = load.accepted * load.e2e_s
    np.testing.assert_allclose(load.running + load.waiting, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_physics_hold_during_every_story(name: str) -> None:
    """Before, in and after it, in all parts, and in a hot slice and the rest alone."""
    world = world_of(name)
    story = SCENARIOS[name].story
    assert story is not None
    minutes = minutes_between(NOW - 1200, NOW + 60 * story.lasts_min + 1200)
    for part in world.parts:
        for which in Which if world.hot_slice(part) is not None else (Which.ALL,):
            check(world.load(part, minutes, which))


def disruptions() -> st.SearchStrategy[Disruption]:
    """Any that hit small in GKE."""
    slices = st.fixed_dictionaries({
        "slices_share": st.floats(0.01, 1.0),
        "hosts": st.sampled_from(["lost", "preempted", "faulty", "crashing", "loading"]),
        "over_min": st.floats(0, 60),
    }, optional={"back_after_min": st.floats(1, 60)})  # fmt: skip
    rest = st.fixed_dictionaries({}, optional={
        "demand": st.floats(0.05, 20), "slow": st.floats(1, 20), "errors": st.floats(0, 1),
        "hot_share": st.floats(0, 1), "cache_hits": st.floats(0, 1),
        "after_min": st.floats(0, 100), "lasts_min": st.floats(1, 200),
        "ramp_min": st.floats(0, 60),
    })  # fmt: skip
    either = st.tuples(st.one_of(st.just({}), slices), rest)
    return either.map(lambda both: Disruption(tiers=["small"], **both[0], **both[1]))


@settings(max_examples=30, deadline=None)
@given(several=st.lists(disruptions(), min_size=1, max_size=4), seed=st.integers(0, 9))
def test_physics_hold_whatever_a_story_is_made_of(several: list[Disruption], seed: int) -> None:
    """Any disruptions together, of whatever strength: no share above 1, no request lost."""
    signs = [Sign(page="traffic", sign="whatever it is")]
    story = Story(cause="chance made it", lasts_min=120, signs=signs, disruptions=several)
    log = ActionLog()
    log.append(told("made-up", story))
    world = World(SCENARIOS["normal"], log, seed, NOW - 3600)
    part = world.part("small/gke")
    minutes = minutes_between(NOW - 600, NOW + 8000)
    check(world.load(part, minutes))
    if world.hot_slice(part) is not None:
        hot, rest, whole = (world.load(part, minutes, which) for which in
                            (Which.HOT, Which.REST, Which.ALL))  # fmt: skip
        np.testing.assert_allclose(hot.offered + rest.offered, whole.offered, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_before_and_after_a_story_all_is_as_without_it(name: str) -> None:
    """The same figures to the last digit, for all who look outside of it."""
    story = SCENARIOS[name].story
    assert story is not None
    calm, told_of = world_of("", fleet=name), world_of(name)
    end = NOW + 60 * story.lasts_min
    for minutes in (minutes_between(NOW - 3600, NOW), minutes_between(end + 1200, end + 3600)):
        for part in calm.parts:
            one, other = calm.load(part, minutes), told_of.load(part, minutes)
            np.testing.assert_array_equal(one.offered, other.offered)
            np.testing.assert_array_equal(one.e2e_s, other.e2e_s)


def test_a_later_story_takes_the_place_of_the_one_before() -> None:
    """From its own start on, also when that lies in the past; an end is an end."""
    later = told("bad-rollout", start=NOW + 1200, at=NOW + 1500)
    world = world_of("regional-outage", later, fleet="normal")
    slices = world.load(world.part("medium/gke"), minutes_between(NOW + 600, NOW + 1800)).slices
    assert (slices[0], slices[-1]) == (0, 64)
    ended = Change(NOW + 600, STORY_ENDED, "scenarios/normal", "", {"start": NOW + 600.0})
    calm = world_of("regional-outage", ended, fleet="normal")
    assert calm.load(calm.part("medium/gke"), INSIDE).slices.min() == 64


def test_what_a_story_hits_is_the_truth_that_it_tells() -> None:
    """Each tier of the truth is worse off than without the story, and no other is."""
    for name in NAMES:
        story = SCENARIOS[name].story
        assert story is not None
        calm, world = world_of("", fleet=name), world_of(name)
        hit = set()
        for part in calm.parts:
            one, other = calm.load(part, INSIDE), world.load(part, INSIDE)
            if not all(np.array_equal(getattr(one, f), getattr(other, f))
                       for f in ("offered", "failed", "slices", "rejected")):  # fmt: skip
                hit.add(part.tier)
        assert hit == set(tiers_hit(story, world.parts)), name


def test_black_friday_queues_and_scales_out_and_slices_help() -> None:
    """Demand triples; Vertex adds replicas minutes later; added slices shorten the waiting."""
    before = world_of("black-friday")
    part, vertex = before.part("small/gke"), before.part("small/vertex")
    calm = before.load(part, minutes_between(NOW - 600, NOW))
    full = before.load(part, INSIDE)
    assert full.offered.mean() > 2.5 * calm.offered.mean()
    assert full.queue_s.mean() > 5 * calm.queue_s.mean()
    replicas = before.slices(vertex, np.array([NOW, NOW + 120, NOW + 1800]))
    assert replicas[0] == replicas[1] == 16 < replicas[2] <= 24
    wanted = before.wanted_slices(vertex, np.arange(NOW, NOW + 1800, 60))
    ran = before.slices(vertex, np.arange(NOW, NOW + 1800, 60))
    assert int(np.argmax(wanted > 16)) < int(np.argmax(ran > 16)), "first wanted, then there"
    more = Change(NOW + 900, "gke.node_pool.resized", "p", "small", {"before": 16, "after": 64})
    after = world_of("black-friday", more).load(part, INSIDE)
    assert after.ttft_s.mean() < 0.7 * full.ttft_s.mean()
    assert after.rejected.sum() < full.rejected.sum()


def test_an_outage_moves_requests_and_none_is_lost() -> None:
    """Half of small's requests go to Vertex; the zone's slices serve nothing and 503 the rest."""
    calm, world = world_of("", fleet="regional-outage"), world_of("regional-outage")
    gke, vertex = world.part("small/gke"), world.part("small/vertex")
    before = calm.load(gke, INSIDE).offered + calm.load(vertex, INSIDE).offered
    out = world.load(gke, INSIDE)
    after = out.offered + world.load(vertex, INSIDE).offered
    np.testing.assert_allclose(after, before, rtol=1e-9)
    assert out.slices.max() == out.completed.max() == 0
    assert out.rejected.min() > 0


def test_one_hot_slice_turns_away_what_the_others_could_carry() -> None:
    """It is at its limit, the rest has room, and the part rejects requests all the same."""
    world = world_of("hot-key")
    part = world.part("small/gke")
    hot, rest, whole = (world.load(part, INSIDE, which) for which in
                        (Which.HOT, Which.REST, Which.ALL))  # fmt: skip
    assert hot.utilisation.min() > 0.95 > 0.7 > rest.utilisation.max()
    np.testing.assert_allclose(hot.rejected, whole.rejected)
    assert whole.rejected.min() > 0
    assert hot.cache_hit_ratio.mean() > rest.cache_hit_ratio.mean() + 0.2


def test_answers_get_worse_where_the_story_says_so() -> None:
    """A bad revision solves fewer tasks on its own part; whenever asked, a batch has one score."""
    world, calm = world_of("bad-rollout"), world_of("", fleet="bad-rollout")
    minutes = minutes_between(NOW - 3600, NOW + 3600)
    for part in filter(world.receives, world.parts):
        told = world.solved(part, minutes)
        assert told.min() >= 0
        assert told.max() <= 1
        np.testing.assert_array_equal(told[30:90], world.solved(part, minutes[30:90]))
        drop = (calm.solved(part, INSIDE) - world.solved(part, INSIDE)).mean()
        if part.key == "small/gke":
            assert 0.13 < drop < 0.2  # some requests fail besides
        else:
            assert abs(drop) < 0.02


def test_lost_slices_are_counted_once_and_only_those_there() -> None:
    """Two disruptions of one slice take one; what somebody took away cannot be lost."""
    shrunk = Change(NOW - 60, "gke.node_pool.resized", "p", "small", {"before": 16, "after": 4})
    world = world_of("regional-outage", shrunk)
    assert world.load(world.part("small/gke"), INSIDE).slices.max() == 0
    paid = world.billed_slices(world.part("small/gke"), INSIDE * 60.0)
    assert paid.max() == paid.min() == 36
