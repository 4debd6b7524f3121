"""Times in which nothing may be changed: a schedule by weekday, or one span of dates.

Only when; what comes of it is `core/guards/freeze_window.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NEVER: Final = datetime.max.replace(tzinfo=UTC)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Freeze:
    """One freeze.

    Attributes:
        name: why, in words for people.
        tiers: of these tiers; empty: of all.
        first, last: only between these instants; None: open on that side.
        days: names from `DAYS` on which a daily window begins; empty: every day.
        begins, ends: the daily window in `zone`; an end that is not later is on the next day; both
            midnight: the whole day.
        zone: of the daily window.
    """

    name: str
    tiers: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    days: tuple[str, ...] = ()
    begins: time = time()
    ends: time = time()
    zone: tzinfo = UTC

    def concerns(self, tier: str) -> bool:
        """Whether it holds for that tier; "" stands for all of them."""
        return not self.tiers or not tier or tier in self.tiers

    def ends_at(self, now: datetime) -> datetime | None:
        """When the freeze that holds `now` ends (UTC); None: none holds now."""
        if (self.first is not None and now < self.first) or (
            self.last is not None and now >= self.last
        ):
            return None
        if not self.days and self.begins == self.ends:
            return self.last or NEVER
        here = now.astimezone(self.zone)
        for begun in (here.date(), here.date() - _DAY):  # yesterday's may reach past midnight
            if self.days and DAYS[begun.weekday()] not in self.days:
                continue
            start = datetime.combine(begun, self.begins, self.zone)
            end = datetime.combine(begun, self.ends, self.zone)
            if end <= start:
                end = datetime.combine(begun + _DAY, self.ends, self.zone)
            if start <= here < end:
                found = end.astimezone(UTC)
                return found if self.last is None else min(found, self.last)
        return None
