"""Whether a tier gets clearly more requests than is usual at this hour.

Demand follows the day, so that what is usual is what came at the same time on the days before. It
is told of tiers that keep their objectives too: how much room is left is another matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median
from typing import Final

from core.finding import Finding, Severity
from core.series import Series
from core.specs import TierSpec

NEWEST_S: Final = 300
LEAST_RATIO: Final = 1.4  # by day, week and chance alone they make 1.3 of it at most
LEAST_PER_S: Final = 1.0  # of fewer requests chance alone makes as many more
AROUND_S: Final = 1800  # of the same time on other days
DAY_S: Final = 86_400
LEAST_DAYS: Final = 2


@dataclass(frozen=True, slots=True)
class Surge:
    """A tier gets `now_per_s` requests/s; at this time, on `days` days, it got `usual_per_s`.

    `since`: when it last got fewer than makes a surge; None: before `newest` begins.
    """

    tier: str
    now_per_s: float
    usual_per_s: float
    days: int
    since: datetime | None

    @property
    def ratio(self) -> float:
        """How many times as many as usual."""
        return self.now_per_s / self.usual_per_s


def surge(newest: Series, before: Series) -> Surge | None:
    """Whether requests surge; None: they do not, or nobody knows what is usual.

    What is usual is the median over days of the mean within `AROUND_S` of this time of the day, so
    that one odd day moves nothing.

    Args:
        newest: requests/s; the mean of the last `NEWEST_S` seconds that have points counts.
        before: the same over days, in steps of half an hour or so.
    """
    points = list(_points(newest))
    if not points:
        return None
    last = points[-1][0]
    if (newest.window.end - last).total_seconds() > 2 * NEWEST_S:
        return None  # nothing came of late, or nothing is measured any more
    now = fmean(v for at, v in points if (last - at).total_seconds() < NEWEST_S)
    days = _days(before, last)
    if len(days) < LEAST_DAYS:
        return None
    usual = median(days)
    if usual < LEAST_PER_S or now < LEAST_RATIO * usual:
        return None
    calm = [at for at, v in points if v < LEAST_RATIO * usual]
    return Surge(newest.tier, now, usual, len(days), calm[-1] if calm else None)


def _days(before: Series, at: datetime) -> list[float]:
    """The mean around that time of each earlier day that has points there."""
    found: dict[int, list[float]] = {}
    for moment, value in _points(before):
        ago_s = (at - moment).total_seconds()
        day = round(ago_s / DAY_S)
        if day >= 1 and abs(ago_s - day * DAY_S) <= AROUND_S:
            found.setdefault(day, []).append(value)
    return [fmean(values) for values in found.values()]


def _points(series: Series) -> Iterable[tuple[datetime, float]]:
    pairs = zip(series.times, series.values, strict=True)
    return ((at, value) for at, value in pairs if value is not None)


def surge_findings(spec: TierSpec, found: Surge | None) -> Iterable[Finding]:
    """That the tier gets so many requests, which is the cause of what it may be short of."""
    if found is None:
        return
    yield Finding(
        Severity.WARNING if spec.production else Severity.NOTE,
        spec.name,
        f"{spec.title} gets {found.ratio:.1f} times as many requests as usual at this hour:"
        f" {found.now_per_s:,.0f}/s, on the {found.days} days before {found.usual_per_s:,.0f}/s",
        found.since,
        "traffic",
        "See on Traffic whether queues and TTFT grow; scale the tier, or shift a part of its"
        " traffic to one with room",
        is_cause=True,
    )
