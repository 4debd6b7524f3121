"""More requests than usual at this hour: told from the day's shape, and from what nobody knows."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from core.series import Series, Signal
from core.surge import Surge, surge, surge_findings
from tests import make


def daily(at: datetime) -> float:
    """A day whose afternoon has three times the requests of its night."""
    return 200.0 + 100.0 * math.sin((at.hour + at.minute / 60) * math.pi / 12)


def series(hours: float, step_s: int, times: float = 1.0, minutes: int = 15) -> Series:
    """Requests/s; of the last minutes so many times as many."""
    plain = make.make_series("small", Signal.REQUESTS, make.make_window(hours, step_s=step_s))
    since = plain.window.end - timedelta(minutes=minutes)
    values = tuple(daily(at) * (times if at > since else 1.0) for at in plain.times)
    return replace(plain, values=values)


def test_a_surge_is_told_with_its_ratio_and_since_when() -> None:
    """Of the newest minutes to the same time of other days."""
    found = surge(series(6, 60, 2.0), series(168, 1800))
    assert isinstance(found, Surge)
    assert (found.tier, found.days, found.weekend) == ("small", 5, False)  # it is a Friday
    assert found.ratio == pytest.approx(2.0, rel=0.1)
    newest = series(6, 60, 2.0)
    assert found.since == newest.window.end - timedelta(minutes=15)


def test_the_day_and_one_odd_day_are_no_surge() -> None:
    """What each day brings at this hour is usual; a sale of yesterday does not hide today's."""
    assert surge(series(6, 60), series(168, 1800)) is None
    before = series(168, 1800)
    end = before.window.end
    odd = tuple(
        v * 5 if v is not None and timedelta(hours=20) < end - at < timedelta(hours=28) else v
        for at, v in zip(before.times, before.values, strict=True)
    )
    assert surge(series(6, 60), replace(before, values=odd)) is None
    assert surge(series(6, 60, 2.0), replace(before, values=odd)) is not None


def test_without_days_or_points_nobody_knows() -> None:
    """Too few days, no point of late, or hardly a request."""
    newest, before = series(6, 60, 2.0), series(168, 1800)
    assert surge(newest, series(30, 1800)) is None
    silent = tuple(v if i < 300 else None for i, v in enumerate(newest.values))
    assert surge(replace(newest, values=silent), before) is None
    thousands = [
        replace(s, values=tuple((v or 0) / 1000 for v in s.values)) for s in (newest, before)
    ]
    assert surge(thousands[0], thousands[1]) is None


@pytest.mark.parametrize("usual", [0.9, 0.0])
def test_a_tier_that_usually_gets_hardly_a_request_may_surge(usual: float) -> None:
    """What counts is how many more there are now, not how few there were."""
    before = series(168, 1800)
    before = replace(before, values=tuple(usual for _ in before.times))
    found = surge(series(6, 60, 2.0), before)
    assert found is not None
    (told,) = surge_findings(make.make_snapshot().spec("small"), found)
    assert "on the 5 weekdays before 0" in told.sentence
    assert ("usually it gets none" in told.sentence) == (usual == 0.0)
    calm = replace(before, values=tuple(usual + 1.5 for _ in before.times))
    newest = series(6, 60)
    slightly = replace(newest, values=tuple(usual + 2.4 for _ in newest.times))
    assert surge(slightly, calm) is None


@pytest.mark.parametrize(
    ("day", "days_known", "known"),
    [("Monday", 3.2, False), ("Tuesday", 4.2, True), ("Sunday", 2.2, False), ("Sunday", 7, True)],
)
def test_a_weekday_is_judged_by_weekdays_and_a_weekend_by_weekends(
    day: str, days_known: float, known: bool
) -> None:
    """After a first weekend nobody knows what Mondays bring; after a second, what Sundays do."""
    newest, before = series(6, 60), series(24 * days_known, 1800)
    shift = next(
        timedelta(days=n) for n in range(7) if f"{newest.times[-1] + timedelta(days=n):%A}" == day
    )

    def moved(one: Series, times: float) -> Series:
        window = replace(one.window, start=one.window.start + shift, end=one.window.end + shift)
        at = tuple(t + shift for t in one.times)
        values = tuple(
            (v or 0.0) * (0.4 if t.weekday() >= 5 else 1.0) * times
            for t, v in zip(at, one.values, strict=True)
        )
        return replace(one, window=window, times=at, values=values)

    assert surge(moved(newest, 1.0), moved(before, 1.0)) is None
    assert (surge(moved(newest, 2.0), moved(before, 1.0)) is not None) == known


def test_a_surge_warns_in_production_alone() -> None:
    """With how many times as many there are, and a step; none is no finding."""
    found = surge(series(6, 60, 2.0), series(168, 1800))
    spec = make.make_snapshot().spec("small")
    (told,) = surge_findings(spec, found)
    assert told.severity.name == "WARNING"
    assert "times as many requests as usual at this hour" in told.sentence
    (dev,) = surge_findings(replace(spec, production=False), found)
    assert dev.severity.name == "NOTE"
    assert not list(surge_findings(spec, None))
