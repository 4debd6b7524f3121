"""Plans and verdicts as of now: joins the newest Snapshot, history, audit and settings.

The planning and judging themselves are pure (`core.actions`, `core.guards`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from control.acknowledgements import acknowledgements
from control.audit import Audit, utc_now
from control.history import History
from control.rollout_record import template_before
from control.settings import Settings
from control.undertakings import undertaking
from core import guards
from core.actions import (
    CHAINS,
    ROLLING_OUT,
    SEARCHING,
    PlanContext,
    make_plan,
    workload_name,
)
from core.actions.context import Undertaking
from core.actions.drain_tier import ACTION as DRAIN
from core.actions.restore_tier import ACTION as RESTORE
from core.actions.rollouts import VERB as ROLL_OUT
from core.actions.take_back import ACTION as TAKE_BACK
from core.actions.take_back import INTENT
from core.actions.tier_lookup import spec_of
from core.cloud_resources import CloudResource
from core.fleet import assemble_fleet
from core.guards import GuardContext
from core.plans import Plan, Request, Verdict
from core.records import Snapshot
from core.series import Series, Signal
from services.project import Found

Burning = Mapping[str, tuple[Series, Series]]


@dataclass(frozen=True, slots=True)
class CloudFacts:
    """What the cloud says to a question about one plan; None: it was not asked, or gave no answer.

    The fields are those of `core.guards.GuardContext`.
    """

    permissions: Mapping[str, bool] | None = None


FindFacts = Callable[[Plan, Snapshot], CloudFacts]


def no_facts(_plan: Plan, _snapshot: Snapshot) -> CloudFacts:
    """Nobody to ask: all of it is unknown."""
    return CloudFacts()


@dataclass(frozen=True, slots=True)
class Judged:
    """A plan with every guard's verdict, as it is shown before the click."""

    plan: Plan
    verdicts: tuple[Verdict, ...]

    @property
    def consents_needed(self) -> tuple[str, ...]:
        """Names of the guards that must be agreed to."""
        return guards.consents_needed(self.verdicts)


class ResourceReader(Protocol):
    """What of `services.project.ProjectResources` is needed."""

    def list_present(self, names: tuple[str, ...]) -> Mapping[str, CloudResource]:
        """Those of these names that exist."""
        ...

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Everything that is ours."""
        ...

    def get(self, name: str) -> Found | None:
        """What exists under that name."""
        ...


class Planning:
    """Makes and judges plans."""

    def __init__(
        self,
        settings: Settings,
        snapshot: Callable[[], Snapshot],
        history: History,
        audit: Audit,
        burning: Callable[[], Burning] = dict,
        facts: FindFacts = no_facts,
        resources: ResourceReader | None = None,
    ) -> None:
        """`burning`: requests/s and error ratio of 6 h by tier; `facts`: what no Snapshot holds.

        `resources`: reads what exists, for plans that make or delete whole resources.
        """
        self._settings, self._snapshot = settings, snapshot
        self._history, self._audit = history, audit
        self._burning, self._facts, self._resources = burning, facts, resources

    def plan(self, request: Request) -> Judged:
        """The plan for a request, judged.

        Raises:
            PlanError: it cannot be planned; the hint says what is allowed.
            OpsError: what exists could not be read.
        """
        snapshot = self._snapshot()
        context = self._context(request)
        if request.action in CHAINS and self._resources is not None:
            chain = CHAINS[request.action](snapshot, request, context)
            there = dict(self._resources.list_present(chain.names))
            if chain.pieces and request.action in SEARCHING:
                there |= {found.name: found for found in self._resources.list_ours()}
            context = replace(context, resources=there)
        if request.action in ROLLING_OUT or _rolled_out(context.undertaking):
            context = self._with_workload(context, snapshot, request)
        plan = make_plan(snapshot, request, utc_now(), context)
        return Judged(plan, self.judge(plan, snapshot))

    def _with_workload(
        self, context: PlanContext, snapshot: Snapshot, request: Request
    ) -> PlanContext:
        """With what runs the tier's servers now, and what ran them before the last roll-out."""
        if self._resources is None:
            return context
        name = workload_name(snapshot, spec_of(snapshot, request), context)
        found = self._resources.get(name)
        earlier = template_before(self._audit, request.tier, name)
        workload = None if found is None else found.body
        return replace(context, workload=workload, template_before=earlier)

    def judge(
        self, plan: Plan, snapshot: Snapshot, *, leave_out: str = "", now: datetime | None = None
    ) -> tuple[Verdict, ...]:
        """All verdicts on a plan in that snapshot.

        `leave_out` names the intent that applies the plan, with its tiers' locks: what has none
        is about to be refused, and does not count as in progress. Else two would refuse each other.
        """
        unfinished = self._audit.unfinished(locking=bool(leave_out))
        running = tuple(r for r in unfinished if r.intent != leave_out)
        limits, at = self._settings.guards, now or utc_now()
        facts = self._facts(plan, snapshot)
        context = GuardContext(
            now=at,
            fleet=assemble_fleet(snapshot),
            capacity_safety_factor=limits.capacity_safety_factor,
            stale_after_s=limits.stale_after_s,
            demand=self._demand(plan.request.tier),
            running=running,
            limits=limits.limits,
            freezes=tuple(f.freeze() for f in limits.freezes),
            changes=self._audit.changes(at - timedelta(seconds=limits.recent_change_s)),
            burning=self._burning().get(plan.request.tier),
            permissions=facts.permissions,
            acknowledged=self._acknowledged(at),
        )
        return guards.judge(plan, snapshot, context)

    def _demand(self, tier: str) -> Series | None:
        """Generated tokens/s of the last hour; None: it could not be read."""
        reading = self._history.read(Signal.GENERATION_TOKENS, "1h")
        return None if reading.problem is not None else reading.series.get(tier)

    def _context(self, request: Request) -> PlanContext:
        action, tier = request.action, request.tier
        taken_back = str(request.parameters.get(INTENT, "")) if action == TAKE_BACK else ""
        return PlanContext(
            project=self._settings.project.id,
            expires_after_s=self._settings.guards.plan_expires_after_s,
            past_durations_s=self._audit.durations_s(action),
            capacity_before_drain=self._capacity_before_drain(action, tier),
            billing_account=self._settings.project.billing_account,
            acknowledged=self._acknowledged(utc_now()),
            undertaking=undertaking(self._audit, taken_back) if taken_back else None,
        )

    def _acknowledged(self, now: datetime) -> frozenset[str]:
        return frozenset(acknowledgements(self._audit, now))

    def _capacity_before_drain(self, action: str, tier: str) -> dict[str, float]:
        """By "service group"; of the newest drain made from here that took it from above 0."""
        found: dict[str, float] = {}
        if action != RESTORE:
            return found
        for entry in self._audit.entries(tier=tier, action=DRAIN, state="succeeded"):
            for step in entry.steps:
                service = step.resource.rsplit("/", 1)[-1]
                for group, ratio in step.before.items():
                    if isinstance(ratio, int | float) and ratio > 0:
                        found.setdefault(f"{service} {group}", float(ratio))
        return found


def _rolled_out(found: Undertaking | None) -> bool:
    """Whether a step of it that began was a roll-out."""
    if found is None:
        return False
    return any(found.plan.steps[number - 1].verb == ROLL_OUT for number in found.begun)
