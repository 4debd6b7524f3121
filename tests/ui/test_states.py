"""How fresh a panel says its data is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.records import Problem, Source, SourceState
from ui.states import Level, freshness, level_of

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
READ = NOW - timedelta(seconds=20)
GOOD = SourceState(Source.LOAD, 15.0, read_at=READ, tried_at=READ)
PROBLEM = Problem("Unavailable", "one of four metrics could not be read")
PARTIAL = replace(GOOD, problem=PROBLEM, failing_since=READ)
FAILING = replace(PARTIAL, tried_at=NOW)


def test_data_read_in_part_is_not_called_dead() -> None:
    """What was read is fresh, and the mark and the words say that a part of it is not."""
    assert level_of(GOOD, NOW) is Level.FRESH
    assert level_of(PARTIAL, NOW) is Level.PARTIAL
    assert level_of(FAILING, NOW) is Level.FAILING
    told = freshness({Source.LOAD: PARTIAL}, (Source.LOAD,), NOW)
    assert "failing in part for 20 s: one of four metrics" in told.details


def test_a_panel_is_as_bad_as_its_worst_source() -> None:
    """A dead source outweighs one that is read in part, and that one a stale one."""
    wanted = (Source.LOAD, Source.GKE, Source.KUBE)
    stale = SourceState(Source.KUBE, 5.0, read_at=NOW - timedelta(minutes=5))
    states = {Source.LOAD: PARTIAL, Source.GKE: GOOD, Source.KUBE: stale}
    assert freshness(states, wanted, NOW).level is Level.PARTIAL
    assert freshness({**states, Source.GKE: FAILING}, wanted, NOW).level is Level.FAILING


def test_what_is_not_set_up_is_neither_loading_nor_failing() -> None:
    """It has its own word, and the setting stands in the details."""
    absent = SourceState(Source.COSTS, 0.0, not_set_up="set project.billing_export")
    assert level_of(absent, NOW) is Level.NOT_SET_UP
    told = freshness({Source.COSTS: absent, Source.LOAD: GOOD}, (Source.COSTS, Source.LOAD), NOW)
    assert told.level is Level.NOT_SET_UP
    assert "set project.billing_export" in told.details


def test_prices_of_the_hour_do_not_age_a_panel() -> None:
    """What is read every hour is told beside what is read every few seconds, not mixed with it."""
    prices = SourceState(Source.PRICES, 3600.0, read_at=NOW - timedelta(minutes=41))
    wanted = (Source.LOAD, Source.PRICES, Source.GKE)
    told = freshness({Source.LOAD: GOOD, Source.GKE: GOOD, Source.PRICES: prices}, wanted, NOW)
    assert told.text == "Cloud Monitoring, GKE · 20 s ago; Billing catalogue · 41 min ago"
