"""Run rates and dollars per token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.fleet import assemble_fleet
from core.money import VERTEX
from core.pricing import (
    chips_rate,
    find_price,
    fleet_rate,
    region_of,
    tier_rate,
    token_cost,
    unassigned_rate,
)
from core.records import PriceBasis, Source
from tests.make import (
    make_failure,
    make_hosts,
    make_pools,
    make_prices,
    make_snapshot,
    make_tpu_vm,
)


def test_tiers_cost_what_runs_times_the_list_price() -> None:
    """At $12 per chip-hour small is $3,072/h and medium $12,288/h; large off is $0, not unknown."""
    snapshot = make_snapshot()
    fleet = assemble_fleet(snapshot)
    rates = {t.name: tier_rate(t, snapshot.prices) for t in fleet.tiers}
    assert rates["small"].usd_per_hour == 3072
    assert rates["medium"].usd_per_hour == 12288
    assert rates["large"].usd_per_hour == 0
    assert rates["dev"].usd_per_hour == pytest.approx(21.6)
    assert rates["small"].usd_per_month == 3072 * 730
    assert "192 × $12/chip-hour (OnDemand, SKU AA11-BB22)" in rates["small"].source
    assert "64 × $12/chip-hour (Vertex AI OnDemand, SKU EE55-FF66)" in rates["small"].source
    assert rates["small"].basis is PriceBasis.LIST


def test_vertex_has_its_own_price_or_an_estimate() -> None:
    """Its replicas cost by its own SKU; without one they are estimated at Compute's."""
    snapshot = make_snapshot()
    small = assemble_fleet(snapshot).tier("small")
    dear = [replace(p, usd_per_chip_hour=20.0) if p.product == VERTEX else p for p in make_prices()]
    assert tier_rate(small, dear).usd_per_hour == 192 * 12 + 64 * 20
    compute = [p for p in make_prices() if p.product != VERTEX]
    rate = tier_rate(small, compute)
    assert (rate.usd_per_hour, rate.basis) == (3072, PriceBasis.ESTIMATED)
    assert "no price of its own" in rate.source
    assert fleet_rate(assemble_fleet(snapshot), compute).basis is PriceBasis.ESTIMATED


def test_the_full_fleet_shows_large() -> None:
    """9,216 chips are $110,592/h and $2,654,208 a day."""
    snapshot = make_snapshot("full-fleet")
    rate = tier_rate(assemble_fleet(snapshot).tier("large"), snapshot.prices)
    assert (rate.usd_per_hour, rate.usd_per_day) == (110592, 2654208)


def test_local_is_not_priced_unless_configured() -> None:
    """No configured price is None with the reason, never 0; a configured one has its basis."""
    snapshot = make_snapshot()
    local = assemble_fleet(snapshot).tier("local")
    assert tier_rate(local, snapshot.prices).usd_per_hour is None
    priced = replace(local, spec=replace(local.spec, usd_per_hour=0.11))
    rate = tier_rate(priced, snapshot.prices)
    assert (rate.usd_per_hour, rate.basis) == (0.11, PriceBasis.CONFIGURED)


def test_an_unknown_price_is_unknown() -> None:
    """No catalogue, or a generation not in it: None; so is the total, which says why."""
    snapshot = make_snapshot()
    fleet = assemble_fleet(snapshot)
    assert tier_rate(fleet.tier("small"), None).usd_per_hour is None
    only_v6e = [p for p in make_prices() if p.generation == "v6e"]
    assert tier_rate(fleet.tier("small"), only_v6e).usd_per_hour is None
    whole = fleet_rate(fleet, only_v6e)
    assert whole.usd_per_hour is None
    assert "without Local, Small, Medium, Large" in whole.source
    assert fleet_rate(fleet, make_prices()).usd_per_hour == pytest.approx(3072 + 12288 + 21.6)


def test_a_tier_of_unknown_size_makes_the_total_unknown() -> None:
    """While GKE was never read, the rest of the fleet is not shown as all of it."""
    snapshot = make_failure(make_snapshot(), Source.GKE, keep=False)
    assert fleet_rate(assemble_fleet(snapshot), snapshot.prices).usd_per_hour is None


def test_a_stopped_tpu_vm_costs_nothing() -> None:
    """Its chips are given back while it is stopped, and are not billed."""
    snapshot = make_snapshot()
    vm = replace(make_tpu_vm(), state="STOPPED")
    dev = assemble_fleet(replace(snapshot, tpu_vms=(vm,))).tier("dev")
    assert dev.chip_count.running == 8
    assert tier_rate(dev, snapshot.prices).usd_per_hour == 0


def test_what_is_promised_but_not_there_costs_nothing() -> None:
    """Nodes that GKE promises are told beside the rate, not in it; in multi-host pools too."""
    snapshot = make_snapshot()
    gone = {"gke-hw-serving-hw-small-00-0003", "gke-hw-serving-hw-medium-05-0002"}
    hosts = tuple(h for h in snapshot.hosts or () if h.name not in gone)
    fleet = assemble_fleet(replace(snapshot, hosts=hosts))
    small, medium = (tier_rate(fleet.tier(n), snapshot.prices) for n in ("small", "medium"))
    assert (small.usd_per_hour, medium.usd_per_hour) == (252 * 12, 1020 * 12)
    assert "without 4 chips that are promised but not there" in small.source
    unread = assemble_fleet(replace(snapshot, hosts=None)).tier("small")
    rate = tier_rate(unread, snapshot.prices)
    assert rate.usd_per_hour == 3072
    assert "as GKE promises them" in rate.source


@pytest.mark.parametrize("state", ["CREATING", "PREEMPTED", "TERMINATED"])
def test_a_tpu_vm_that_is_not_there_costs_nothing(state: str) -> None:
    """Not made yet, or taken away: its chips are promised at most."""
    snapshot = make_snapshot()
    vm = replace(make_tpu_vm(), state=state)
    dev = assemble_fleet(replace(snapshot, tpu_vms=(vm,))).tier("dev")
    assert (dev.chip_count.running, dev.chip_count.promised) == (0, 8)
    assert tier_rate(dev, snapshot.prices).usd_per_hour == 0


def test_spot_chips_cost_their_own_price() -> None:
    """Preemptible chips are not priced on demand, and not at all without such a price."""
    prices = make_prices()
    assert chips_rate(prices, "TPU7x", "us-central1-c", 8, 4).usd_per_hour is None
    spot = replace(prices[0], usage_type="Preemptible", usd_per_chip_hour=4.332)
    rate = chips_rate((*prices, spot), "TPU7x", "us-central1-c", 8, 4)
    assert rate.usd_per_hour == pytest.approx(4 * 12 + 4 * 4.332)


def test_the_latest_price_counts() -> None:
    """Of two prices of one SKU the later one is in force."""
    old = make_prices()[0]
    assert old.effective_at is not None
    new = replace(old, usd_per_chip_hour=13.0, effective_at=old.effective_at.replace(year=2027))
    found = find_price((new, old), "TPU7x", "us-central1")
    assert found is not None
    assert found.usd_per_chip_hour == 13.0


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("us-central1-c", "us-central1"),
        ("us-central1-ai1a", "us-central1"),
        ("us-central1", "us-central1"),
    ],
)
def test_region_of_a_zone(zone: str, region: str) -> None:
    """The zone's letter goes, a region stays."""
    assert region_of(zone) == region


def test_dollars_per_million_tokens_leave_out_what_reports_none() -> None:
    """Small's Vertex quarter reports no tokens: only three quarters of its cost are divided."""
    snapshot = make_snapshot()
    small = assemble_fleet(snapshot).tier("small")
    rate = tier_rate(small, snapshot.prices)
    load = replace(
        (snapshot.loads or {})["small"], prompt_tokens_per_s=3e5, generation_tokens_per_s=1e5
    )
    cost = token_cost(small, rate, load)
    assert cost.generation_usd == pytest.approx(3072 * 0.75 / 3600 / 1e5 * 1e6)
    assert cost.blended_usd == pytest.approx(cost.generation_usd / 4)
    assert "Vertex" in cost.source


def test_no_tokens_are_no_price_per_token() -> None:
    """Zero or unknown tokens give None, not a division by zero and not 0."""
    snapshot = make_snapshot()
    dev = assemble_fleet(snapshot).tier("dev")
    rate = tier_rate(dev, snapshot.prices)
    load = replace((snapshot.loads or {})["dev"], generation_tokens_per_s=0.0)
    assert token_cost(dev, rate, load).generation_usd is None
    assert token_cost(dev, rate, None).generation_usd is None


def test_what_belongs_to_nobody_has_its_price() -> None:
    """64 unassigned TPU7x chips cost $768/h; a thing without chips is not priced."""
    pool = replace(next(iter(make_pools())), name="research", labels={})
    snapshot = replace(make_snapshot(), node_pools=(pool,), hosts=tuple(make_hosts(pool)))
    found = assemble_fleet(snapshot).unassigned or ()
    assert unassigned_rate(found[0], make_prices()).usd_per_hour == 768
    plain = replace(found[0], generation=None, chips=0)
    assert unassigned_rate(plain, make_prices()).usd_per_hour is None
