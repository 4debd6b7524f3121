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
    assert (found.tier, found.days) == ("small", 7)
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
    few = [replace(s, values=tuple((v or 0) / 1000 for v in s.values)) for s in (newest, before)]
    assert surge(few[0], few[1]) is None


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
