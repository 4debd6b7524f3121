"""What guards need besides the plan and the Snapshot.

What no source tells is None, which is not the same as nothing there: each guard says what it makes
of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from core.fleet import Fleet
from core.guards.freezes import Freeze
from core.series import Series


@dataclass(frozen=True, slots=True)
class Running:
    """An intent that is not finished; `locked`: the tiers whose locks it has, its own or others."""

    intent: str
    tier: str
    title: str
    state: str
    locked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """A finished intent that changed something; `state` says how it ended."""

    tier: str
    title: str
    at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds, from the settings.

    Attributes:
        approval_above_usd_per_hour: raising the cost by more needs a second person.
        ceiling_usd_per_hour: a tier may not cost more; None: no ceiling.
        budget_must_last_h: what is left of the budget must last so long at the new rate.
        budget_blocks_at_ratio: a month's end above so many budgets blocks.
        large_change_ratio: share (0–1) of a tier's ready slices that is a large change.
        recent_change_s: a change so short ago still shows its effects.
    """

    approval_above_usd_per_hour: float = 2000.0
    ceiling_usd_per_hour: float | None = None
    budget_must_last_h: float = 24.0
    budget_blocks_at_ratio: float = 2.0
    large_change_ratio: float = 0.5
    recent_change_s: float = 600.0


@dataclass(frozen=True, slots=True)
class GuardContext:
    """Facts and limits.

    Attributes:
        now: UTC; `fleet` is assembled from the same snapshot that is judged.
        capacity_safety_factor: p95 demand × this must fit into what is left.
        stale_after_s: a plan may not rest on data older than this.
        demand: generated tokens/s of the plan's tier over the last hour; None: could not be read.
        running: intents in progress on any tier, the judged one left out.
        limits: the other thresholds.
        freezes: when nobody may change what.
        changes: what was changed lately, on any tier; None: the record was not read.
        burning: requests/s and error ratio of the plan's tier over 6 h; None: not read.
        acknowledged: names of the open alerts that somebody has acknowledged here.
        permissions: of those that were asked for, whether this console's identity has each; None:
            not asked.
    """

    now: datetime
    fleet: Fleet
    capacity_safety_factor: float
    stale_after_s: float
    demand: Series | None = None
    running: tuple[Running, ...] = ()
    limits: Limits = field(default_factory=Limits)
    freezes: tuple[Freeze, ...] = ()
    changes: tuple[Changed, ...] | None = None
    burning: tuple[Series, Series] | None = None
    acknowledged: frozenset[str] = frozenset()
    permissions: Mapping[str, bool] | None = None
