"""The table [guards] of `heartwood.toml`: thresholds, and times in which nothing may be changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, Field, field_validator, model_validator

from control.settings_sections import Seconds, Section
from control.tier_settings import refuse
from core.guards.context import Limits
from core.guards.freezes import Freeze

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Dollars = Annotated[float, Field(ge=0)]
Ratio = Annotated[float, Field(gt=0)]


class FreezeSettings(Section):
    """One [[guards.freezes]]: a daily window, a span of dates, or a daily window within a span."""

    name: str = Field(min_length=1, description="why nothing is changed then")
    tiers: tuple[str, ...] = Field(default=(), description="of these tiers; empty: of all")
    first: AwareDatetime | None = Field(
        default=None, description="a date and time with its zone, for example 2026-12-18T18:00:00Z"
    )
    last: AwareDatetime | None = Field(
        default=None, description="a date and time with its zone, for example 2027-01-04T07:00:00Z"
    )
    days: tuple[Day, ...] = Field(default=(), description="days on which it begins; empty: all")
    begins: time = Field(default=time(), description="a time of day such as 17:00")
    ends: time = Field(default=time(), description="a time of day; not later: on the next day")
    time_zone: str = Field(default="UTC", description="a zone's name such as Europe/Berlin")

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise refuse("there is no such time zone; a name is like Europe/Berlin") from error
        return name

    @model_validator(mode="after")
    def _bounded(self) -> FreezeSettings:
        if self.first and self.last and self.last <= self.first:
            raise refuse("a freeze ends after it begins", "last", str(self.last))
        if not (self.first or self.last or self.days) and self.begins == self.ends:
            raise refuse("a freeze needs dates, days or times; this one would never end", "name")
        return self

    def freeze(self) -> Freeze:
        """As the guards know it."""
        return Freeze(
            name=self.name,
            tiers=self.tiers,
            first=self.first,
            last=self.last,
            days=self.days,
            begins=self.begins,
            ends=self.ends,
            zone=ZoneInfo(self.time_zone),
        )


class GuardSettings(Section):
    """[guards]: thresholds of the guards on the write path."""

    capacity_safety_factor: float = Field(
        default=1.3,
        ge=1,
        description="p95 demand of the last hour × this must fit into what is left",
    )
    stale_after_s: Seconds = Field(default=120, description="a plan may not rest on older data")
    plan_expires_after_s: Seconds = 300
    cancel_window_s: float = Field(
        default=5, ge=0, le=3600, description="a click on a plan without danger can be taken back"
    )
    approval_expires_after_s: Seconds = Field(
        default=3600, description="how long a plan waits for a second person, and for its use"
    )
    approval_above_usd_per_hour: Dollars = Field(
        default=2000, description="raising the cost by more needs a second person"
    )
    ceiling_usd_per_hour: Dollars | None = Field(
        default=None, description="no tier may cost more; left out: no ceiling"
    )
    budget_must_last_h: Dollars = Field(
        default=24, description="hours that the rest of the budget must last at the new rate"
    )
    budget_blocks_at_ratio: Ratio = Field(
        default=2, description="a month's end above so many budgets blocks"
    )
    large_change_ratio: Ratio = Field(
        default=0.5, description="share of a tier's ready slices that is a large change"
    )
    recent_change_s: Seconds = Field(
        default=600, description="a change so short ago may not show its effects yet"
    )
    freezes: tuple[FreezeSettings, ...] = ()

    @property
    def limits(self) -> Limits:
        """As the guards know them."""
        return Limits(
            approval_above_usd_per_hour=self.approval_above_usd_per_hour,
            ceiling_usd_per_hour=self.ceiling_usd_per_hour,
            budget_must_last_h=self.budget_must_last_h,
            budget_blocks_at_ratio=self.budget_blocks_at_ratio,
            large_change_ratio=self.large_change_ratio,
            recent_change_s=self.recent_change_s,
        )

    def check_tiers(self, names: Iterable[str]) -> None:
        """Pass when every freeze names tiers that there are; refuses else."""
        known = set(names)
        for index, freeze in enumerate(self.freezes):
            for tier in freeze.tiers:
                if tier not in known:
                    allowed = ", ".join(sorted(known))
                    raise refuse(
                        f"freeze {index + 1} of [[guards.freezes]] names the tier {tier}, which is"
                        f" none of: {allowed}"
                    )
