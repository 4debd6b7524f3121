"""Whether a tier gets clearly more requests than is usual at this hour.

Demand follows the day and the week, so that what is usual is what came at the same time on the
days before: on weekdays for a weekday, on Saturdays and Sundays (UTC) for one of them. It is told
of tiers that keep their objectives too: how much room is left is another matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean, median_high
from typing import Final

from core.finding import Finding, Severity
from core.series import Series
from core.specs import TierSpec

NEWEST_S: Final = 300
LEAST_RATIO: Final = 1.4  # by day, week and chance alone they make 1.3 of it at most
LEAST_PER_S: Final = 1.0  # above the usual; of fewer requests chance alone makes so many more
AROUND_S: Final = 1800  # of the same time on other days
DAY_S: Final = 86_400
LEAST_DAYS: Final = 2  # of the same kind; with no more than two, the busier one counts
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Surge:
    """A tier gets `now_per_s` requests/s; at this time, on `days` days, it got `usual_per_s`.

    `weekend`: those were days of weekends, as today is; else weekdays. `since`: when it last got
    fewer than makes a surge; None: before `newest` begins.
    """

    tier: str
    now_per_s: float
    usual_per_s: float
    days: int
    since: datetime | None
    weekend: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times as many as usual; None: usually there are none."""
        return self.now_per_s / self.usual_per_s if self.usual_per_s else None


def surge(newest: Series, before: Series) -> Surge | None:
    """Whether requests surge; None: they do not, or nobody knows what is usual.

    What is usual is the median over days of the same kind (weekdays, weekends) of the mean within
    `AROUND_S` of this time of the day, so that one odd weekday moves nothing; of an even number the
    higher of the two in the middle.

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
    usual = median_high(days)
    least = max(usual + LEAST_PER_S, LEAST_RATIO * usual)
    if now < least:
        return None
    calm = [at for at, v in points if v < least]
    since = calm[-1] if calm else None
    return Surge(newest.tier, now, usual, len(days), since, _is_weekend(last))


def _days(before: Series, at: datetime) -> list[float]:
    """The mean around that time of each earlier day of the same kind that has points there."""
    found: dict[int, list[float]] = {}
    for moment, value in _points(before):
        ago_s = (at - moment).total_seconds()
        day = round(ago_s / DAY_S)
        if day < 1 or _is_weekend(at - timedelta(days=day)) != _is_weekend(at):
            continue
        if abs(ago_s - day * DAY_S) <= AROUND_S:
            found.setdefault(day, []).append(value)
    return [fmean(values) for values in found.values()]


def _is_weekend(at: datetime) -> bool:
    return at.weekday() >= _SATURDAY


def _points(series: Series) -> Iterable[tuple[datetime, float]]:
    pairs = zip(series.times, series.values, strict=True)
    return ((at, value) for at, value in pairs if value is not None)


def surge_findings(spec: TierSpec, found: Surge | None) -> Iterable[Finding]:
    """That the tier gets so many requests, which is the cause of what it may be short of."""
    if found is None:
        return
    more = (
        "requests, where usually it gets none"
        if found.ratio is None
        else (f"{found.ratio:,.1f} times as many requests as usual")
    )
    kind = "weekend days" if found.weekend else "weekdays"
    yield Finding(
        Severity.WARNING if spec.production else Severity.NOTE,
        spec.name,
        f"{spec.title} gets {more} at this hour: {_told(found.now_per_s)}, on the {found.days}"
        f" {kind} before {_told(found.usual_per_s)}",
        found.since,
        "traffic",
        "See on Traffic whether queues and TTFT grow; scale the tier, or shift a part of its"
        " traffic to one with room",
        is_cause=True,
    )


def _told(per_s: float) -> str:
    return f"{per_s:,.0f}/s" if per_s >= 10 or not per_s else f"{per_s:.2g}/s"
