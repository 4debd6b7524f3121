"""freeze_window, recently_changed, incident_open, slo_burning: is this a moment to change it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.guards import freeze_window, incident_open, recently_changed, slo_burning
from core.guards.context import Changed
from core.guards.freezes import DAYS, Freeze
from core.plans import Outcome, Request, Verdict
from core.records import Alert, Quantiles
from core.series import Series, Signal
from tests.make import NOW, make_series, make_snapshot, make_window

Judged = Callable[..., Verdict]
BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)  # 19:30 in Berlin
WEEKEND = Freeze(
    "weekend", days=("friday",), begins=time(17), ends=time(8), zone=BERLIN
)  # Friday 17:00 to Saturday 08:00


@pytest.mark.parametrize(
    ("at", "frozen"),
    [
        (FRIDAY, True),
        (FRIDAY.replace(hour=15, minute=59), False),  # 16:59 in Berlin
        (FRIDAY.replace(hour=16, minute=0), True),
        (FRIDAY + timedelta(hours=12), True),  # Saturday 07:30
        (FRIDAY + timedelta(hours=12, minutes=30), False),
        (FRIDAY - timedelta(days=1), False),
    ],
)
def test_a_daily_window_is_in_its_own_zone_and_may_pass_midnight(
    at: datetime, frozen: bool
) -> None:
    """Half-open, by the clock of its zone, until the end on the next day."""
    assert (WEEKEND.ends_at(at) is not None) == frozen
    if frozen:
        assert WEEKEND.ends_at(at) == datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


def test_a_span_of_dates_bounds_the_window() -> None:
    """Before its first and from its last instant nothing is frozen."""
    first, last = FRIDAY, FRIDAY + timedelta(days=2)
    span = Freeze("launch", first=first, last=last)
    assert span.ends_at(first - timedelta(seconds=1)) is None
    assert span.ends_at(first) == last
    assert span.ends_at(last) is None


@given(st.integers(0, 366 * 24 * 60), st.sets(st.sampled_from(DAYS)))
def test_a_freeze_ends_after_now(minute: int, days: set[str]) -> None:
    """Whatever the schedule, also over changes of the clock: an end that is told is to come."""
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    freeze = Freeze("f", days=tuple(days), begins=time(1, 30), ends=time(3), zone=BERLIN)
    end = freeze.ends_at(now)
    assert end is None or end > now


def test_a_freeze_blocks_its_tiers_with_its_name_and_end(judged: Judged) -> None:
    """Blocked with who froze it and until when; another tier's freeze does not."""
    frozen = {"freezes": (replace(WEEKEND, tiers=("small",)),)}
    verdict = judged(freeze_window.judge, now=FRIDAY, facts=frozen)
    assert verdict.outcome is Outcome.BLOCK
    assert "weekend (until 21 November 07:00 UTC)" in verdict.reason
    other = {"freezes": (replace(WEEKEND, tiers=("medium",)),)}
    assert judged(freeze_window.judge, now=FRIDAY, facts=other).outcome is Outcome.PASS
    whole = {"request": Request("tear_down_all", "", {})}
    assert judged(freeze_window.judge, now=FRIDAY, facts=other, change=whole).outcome is (
        Outcome.BLOCK
    )


@pytest.mark.parametrize(("age_s", "tier", "outcome"), [
    (120, "small", Outcome.WARN), (601, "small", Outcome.PASS), (120, "medium", Outcome.PASS),
])  # fmt: skip
def test_a_change_minutes_after_another_is_warned_about(
    judged: Judged, age_s: float, tier: str, outcome: Outcome
) -> None:
    """Within ten minutes on the same tier, with what it was."""
    change = Changed(tier, "Add 1 slice", NOW - timedelta(seconds=age_s), "succeeded")
    verdict = judged(recently_changed.judge, facts={"changes": (change,)})
    assert verdict.outcome is outcome
    assert (outcome is Outcome.WARN) == ("Add 1 slice succeeded 2 min ago" in verdict.reason)


def test_an_unread_record_is_warned_about(judged: Judged) -> None:
    """Not knowing what was changed is not the same as no change."""
    assert judged(recently_changed.judge).outcome is Outcome.WARN
    assert judged(recently_changed.judge, facts={"changes": ()}).outcome is Outcome.PASS


def test_an_open_incident_is_asked_about_before_taking_away(judged: Judged) -> None:
    """Removing asks, adding warns, another tier's incident does not count, one of all does."""
    opened = NOW - timedelta(minutes=9)
    mine = Alert("projects/p/alerts/1", "TTFT too high", "", "ERROR", "small", {}, opened)
    known = {"acknowledged": frozenset({mine.name})}
    verdict = judged(incident_open.judge, read={"alerts": (mine,)}, facts=known)
    assert verdict.outcome is Outcome.CONSENT
    assert "TTFT too high (for 9 min, acknowledged)" in verdict.reason
    assert judged(incident_open.judge, 1, read={"alerts": (mine,)}).outcome is Outcome.WARN
    other = {"alerts": (replace(mine, tier="medium"),)}
    assert judged(incident_open.judge, read=other).outcome is Outcome.PASS
    every = {"alerts": (replace(mine, tier=""),)}
    assert judged(incident_open.judge, read=every).outcome is Outcome.CONSENT
    cure = {"request": Request("fail_over", "small", {})}
    assert judged(incident_open.judge, change=cure, read=every).outcome is Outcome.PASS


def test_without_alerts_the_slices_are_judged(judged: Judged) -> None:
    """No source of incidents: it is said, and a tier without a ready slice counts as in one."""
    unread = {"alerts": None}
    verdict = judged(incident_open.judge, read=unread)
    assert verdict.outcome is Outcome.PASS
    assert "alerts are not read" in verdict.reason
    snapshot = make_snapshot()
    hosts = tuple(replace(h, ready=False) for h in snapshot.hosts or ())
    endpoints = tuple(replace(e, deployed=()) for e in snapshot.endpoints or ())
    loads = {k: replace(v, vertex_replicas=0) for k, v in (snapshot.loads or {}).items()}
    dark = replace(snapshot, hosts=hosts, endpoints=endpoints, loads=loads)
    assert judged(incident_open.judge, snapshot=dark, read=unread).outcome is Outcome.CONSENT


def burning(error_ratio: float) -> tuple[Series, Series]:
    """Six hours of 400 requests/s with that share of errors."""
    window = make_window(6, step_s=60)
    flat = make_series("small", Signal.REQUESTS, window, 400.0)
    errors = make_series("small", Signal.ERRORS, window, error_ratio)
    return (
        replace(flat, values=tuple(400.0 for _ in flat.values)),
        replace(errors, values=tuple(error_ratio for _ in errors.values)),
    )


def test_removing_while_the_budget_burns_is_blocked(judged: Judged) -> None:
    """2% errors against 99.9% burn at 20×: blocked. Adding is the cure, moving away is asked."""
    facts = {"burning": burning(0.02)}
    verdict = judged(slo_burning.judge, facts=facts)
    assert verdict.outcome is Outcome.BLOCK
    assert "20.0× over 1 h" in verdict.reason
    assert judged(slo_burning.judge, 1, facts=facts).outcome is Outcome.PASS
    moved = {"steps": (), "takes_out": ("neg-small-0",)}
    assert judged(slo_burning.judge, change=moved, facts=facts).outcome is Outcome.CONSENT


def test_a_missed_latency_objective_is_asked_about(judged: Judged) -> None:
    """Too slow already: somebody must agree to take away."""
    snapshot = make_snapshot()
    loads = dict(snapshot.loads or {})
    loads["small"] = replace(loads["small"], ttft=Quantiles(100, 900, 1000))
    verdict = judged(slo_burning.judge, snapshot=replace(snapshot, loads=loads))
    assert verdict.outcome is Outcome.CONSENT
    assert "TTFT p95 is missed: 900 ms now" in verdict.reason


def test_objectives_met_or_unknown(judged: Judged) -> None:
    """Met passes; without any load it is said that nothing is known."""
    assert judged(slo_burning.judge, facts={"burning": burning(0.0)}).outcome is Outcome.PASS
    verdict = judged(slo_burning.judge, snapshot=replace(make_snapshot(), loads={}))
    assert verdict.outcome is Outcome.WARN
