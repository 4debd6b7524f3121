"""Plans and verdicts as of now: joins the newest Snapshot, history, audit and settings.

The planning and judging themselves are pure (`core.actions`, `core.guards`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from control.audit import Audit, utc_now
from control.history import History
from control.settings import Settings
from core import guards
from core.actions import PlanContext, make_plan
from core.fleet import assemble_fleet
from core.guards import GuardContext
from core.plans import Plan, Request, Verdict
from core.records import Snapshot
from core.series import Series, Signal


@dataclass(frozen=True, slots=True)
class Judged:
    """A plan with every guard's verdict, as it is shown before the click."""

    plan: Plan
    verdicts: tuple[Verdict, ...]

    @property
    def consents_needed(self) -> tuple[str, ...]:
        """Names of the guards that must be agreed to."""
        return guards.consents_needed(self.verdicts)


class Planning:
    """Makes and judges plans."""

    def __init__(
        self,
        settings: Settings,
        snapshot: Callable[[], Snapshot],
        history: History,
        audit: Audit,
    ) -> None:
        self._settings, self._snapshot = settings, snapshot
        self._history, self._audit = history, audit

    def plan(self, request: Request) -> Judged:
        """The plan for a request, judged.

        Raises:
            PlanError: it cannot be planned; the hint says what is allowed.
        """
        snapshot = self._snapshot()
        plan = make_plan(snapshot, request, utc_now(), self._context(request.action))
        return Judged(plan, self.judge(plan, snapshot))

    def judge(
        self, plan: Plan, snapshot: Snapshot, *, leave_out: str = "", now: datetime | None = None
    ) -> tuple[Verdict, ...]:
        """All verdicts on a plan in that snapshot; `leave_out` is not counted as in progress."""
        running = tuple(r for r in self._audit.unfinished() if r.intent != leave_out)
        context = GuardContext(
            now=now or utc_now(),
            fleet=assemble_fleet(snapshot),
            capacity_safety_factor=self._settings.guards.capacity_safety_factor,
            stale_after_s=self._settings.guards.stale_after_s,
            demand=self._demand(plan.request.tier),
            running=running,
        )
        return guards.judge(plan, snapshot, context)

    def _demand(self, tier: str) -> Series | None:
        """Generated tokens/s of the last hour; None: it could not be read."""
        reading = self._history.read(Signal.GENERATION_TOKENS, "1h")
        return None if reading.problem is not None else reading.series.get(tier)

    def _context(self, action: str) -> PlanContext:
        return PlanContext(
            project=self._settings.project.id,
            expires_after_s=self._settings.guards.plan_expires_after_s,
            past_durations_s=self._audit.durations_s(action),
        )
