"""The world: pure in its inputs, bound by its own physics, moved by what people do."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.log import ActionLog, Change
from emulator.scenario import SCENARIOS
from emulator.world import incidents, latency
from emulator.world.hosts import absences
from emulator.world.noise import uniform
from emulator.world.world import World, minutes_between

NOW = 1_795_250_040.0  # a whole minute
DAY = 86_400.0


def make_world(scenario: str = "normal", log: ActionLog | None = None, seed: int = 7) -> World:
    """A world that was started now."""
    return World(SCENARIOS[scenario], log or ActionLog(), seed, NOW)


def month() -> np.ndarray:
    """Every minute of the last thirty days."""
    return minutes_between(NOW - 30 * DAY, NOW)


@pytest.mark.parametrize("scenario", ["normal", "full-fleet"])
def test_utilisation_is_a_share(scenario: str) -> None:
    """Utilisation stays within 0 and 1, and a tier that serves runs mostly at 30 to 80%."""
    world = make_world(scenario)
    for part in world.parts:
        used = world.load(part, month()).utilisation
        assert used.min() >= 0
        assert used.max() < 1
        if part.share:
            low, high = np.percentile(used, [5, 95])
            assert 0.2 < low < high < 0.85, part.key


def test_littles_law() -> None:
    """Requests running and waiting are throughput × residence, in every minute."""
    world = make_world("full-fleet")
    for part in world.parts:
        load = world.load(part, month())
        expected = load.accepted * load.e2e_s
        np.testing.assert_allclose(load.running + load.waiting, expected, rtol=1e-9)


def test_requests_are_conserved() -> None:
    """Every request that arrives is completed, refused, rejected or failed: none is lost."""
    world = make_world()
    for part in world.parts:
        load = world.load(part, month())
        out = load.completed + load.client_errors + load.failed + load.rejected
        np.testing.assert_allclose(out, load.offered, rtol=1e-9)


def test_same_question_same_answer() -> None:
    """Two worlds of one seed agree, whatever the window; another seed differs."""
    one, two, other = make_world(), make_world(), make_world(seed=8)
    part = one.part("small/gke")
    whole = one.load(part, month())
    piece = two.load(part, month()[5000:5100])
    np.testing.assert_array_equal(whole.offered[5000:5100], piece.offered)
    np.testing.assert_array_equal(whole.e2e_s[5000:5100], piece.e2e_s)
    assert not np.array_equal(whole.offered, other.load(part, month()).offered)


def test_scale_down_raises_utilisation_and_lowers_the_bill() -> None:
    """Fewer slices carry the same demand with more use each, slower, for less money."""
    log = ActionLog()
    pool = "clusters/hw-serving/nodePools/hw-small-00"
    world = make_world(log=log)
    part = world.part("small/gke")
    minutes = minutes_between(NOW + DAY, NOW + DAY + 3600)
    before = world.load(part, minutes)
    log.append(Change(NOW + 60, "gke.node_pool.resized", pool, "small", {"before": 16, "after": 4}))
    after = world.load(part, minutes)
    assert (after.slices == before.slices - 12).all()
    assert (after.utilisation > before.utilisation * 1.2).all()
    assert (after.e2e_s > before.e2e_s).all()
    assert (world.billed_slices(part, minutes * 60) == before.slices - 12).all()
    assert world.load(world.part("small/vertex"), minutes).slices[0] == 16
    assert any(e.kind == "gke.node_pool.resized" for e in world.events(NOW, NOW + DAY))


def test_overload_turns_requests_away() -> None:
    """Demand beyond capacity is rejected, utilisation stops at its cap, latency rises."""
    log = ActionLog()
    log.append(Change(NOW, "gke.node_pool.resized", "p", "small", {"before": 48, "after": 12}))
    world = make_world(log=log)
    load = world.load(world.part("small/gke"), minutes_between(NOW + DAY, NOW + 2 * DAY))
    assert (load.rejected > 0).any()
    assert load.utilisation.max() == pytest.approx(0.985)


def test_month_holds_every_kind_of_incident() -> None:
    """Thirty days show each kind once, and each shows in the load of the tier that it hit."""
    world = make_world()
    found = world.incidents(NOW - 32 * DAY, NOW)
    assert len({e.kind for e in found}) >= len(incidents.KINDS) - 1
    slow = next((e for e in found if e.kind == "slow_decode"), None)
    if slow is not None:
        load = world.load(world.part(slow.part), minutes_between(slow.start, slow.end))
        calm = world.load(world.part(slow.part), minutes_between(slow.start - 7200, slow.start))
        assert load.itl_s.max() > 1.8 * calm.itl_s.mean()


def test_fresh_start_is_calm() -> None:
    """No incident touches the hours around the emulator's start."""
    for day in range(40):
        world = make_world().at_origin(NOW + day * DAY)
        assert not world.incidents(world.origin - 3600, world.origin + 3600)


def test_small_grew_ten_days_ago() -> None:
    """The past scale-up is in the slices and in the events."""
    world = make_world()
    part = world.part("small/gke")
    assert world.slices(part, np.array([NOW - 20 * DAY, NOW]))[:].tolist() == [44.0, 48.0]
    assert any(e.kind == "scale_up" for e in world.events(NOW - 30 * DAY, NOW))


def test_empty_project_has_no_parts() -> None:
    """Nothing runs, nothing is made up."""
    world = make_world("empty-project")
    assert world.parts == ()
    assert world.events(NOW - 30 * DAY, NOW) == []


def test_distribution_keeps_its_mean() -> None:
    """Bucket counts add up to the events, and the mixture's mean is the one asked for."""
    bounds = np.geomspace(1e-4, 1e3, 4000)
    mean, sigma = np.array([0.05, 2.0]), np.array([0.4, 0.9])
    counts = latency.bucket_counts(np.array([10.0, 1.0]), mean, sigma, bounds)
    np.testing.assert_allclose(counts.sum(axis=1), [10.0, 1.0])
    middle = np.concatenate([[bounds[0]], (bounds[1:] + bounds[:-1]) / 2, [bounds[-1]]])
    np.testing.assert_allclose(counts @ middle / counts.sum(axis=1), mean, rtol=2e-3)


def test_noise_is_even() -> None:
    """Hashed numbers lie in [0, 1), evenly, and do not follow their neighbours."""
    found = uniform(42, np.arange(100_000))
    assert found.min() >= 0
    assert found.max() < 1
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.02


def test_absences_follow_the_pools_size() -> None:
    """A host is away while its pool is too small for its number."""
    sizes = [(0.0, 2), (10.0, 4), (20.0, 1)]
    assert absences(sizes, 0) == ()
    assert absences(sizes, 1) == ((20.0, float("inf")),)
    assert absences(sizes, 3) == ((0.0, 10.0), (20.0, float("inf")))
