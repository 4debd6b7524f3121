"""What guards need besides the plan and the Snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.fleet import Fleet
from core.series import Series


@dataclass(frozen=True, slots=True)
class Running:
    """An intent that is not finished."""

    intent: str
    tier: str
    title: str
    state: str


@dataclass(frozen=True, slots=True)
class GuardContext:
    """Facts and limits.

    Attributes:
        now: UTC; `fleet` is assembled from the same snapshot that is judged.
        capacity_safety_factor: p95 demand × this must fit into what is left.
        stale_after_s: a plan may not rest on data older than this.
        demand: generated tokens/s of the plan's tier over the last hour; None: could not be read.
        running: intents in progress on any tier, the judged one left out.
    """

    now: datetime
    fleet: Fleet
    capacity_safety_factor: float
    stale_after_s: float
    demand: Series | None = None
    running: tuple[Running, ...] = ()
