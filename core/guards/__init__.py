"""Guards: (Plan, Snapshot, context) → Verdict, pure; one small module per danger.

All are evaluated and all are shown. A new guard is a module with a function `judge` and a line in
`GUARDS`, which is their order on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from core.errors import Blocked, Unconfirmed
from core.guards import (
    action_in_progress,
    alone_in_production,
    autoscaler_moves,
    capacity_left,
    dependent_resources,
    freeze_window,
    incident_open,
    last_healthy_backend,
    legal_size,
    load_left,
    machine_type_unavailable,
    not_drained,
    orphans_left,
    over_budget,
    over_ceiling,
    permission_missing,
    price_known,
    project_over_budget,
    quota_exceeded,
    receiver_overloaded,
    recently_changed,
    reservation_short,
    slo_burning,
    stale_data,
    too_large_change,
)
from core.guards.context import GuardContext, Running
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot

Guard = Callable[[Plan, Snapshot, GuardContext], Verdict]

GUARDS: Final[tuple[Guard, ...]] = (
    stale_data.judge,
    permission_missing.judge,
    action_in_progress.judge,
    freeze_window.judge,
    incident_open.judge,
    slo_burning.judge,
    recently_changed.judge,
    legal_size.judge,
    autoscaler_moves.judge,
    machine_type_unavailable.judge,
    quota_exceeded.judge,
    reservation_short.judge,
    capacity_left.judge,
    load_left.judge,
    last_healthy_backend.judge,
    receiver_overloaded.judge,
    not_drained.judge,
    dependent_resources.judge,
    orphans_left.judge,
    too_large_change.judge,
    price_known.judge,
    over_budget.judge,
    project_over_budget.judge,
    over_ceiling.judge,
    alone_in_production.judge,
)

# What these block could not work, or would break another action: nobody decides against it.
FACTS_OF_LIFE: Final = frozenset(
    {
        "action_in_progress",
        "dependent_resources",
        "legal_size",
        "machine_type_unavailable",
        "permission_missing",
        "quota_exceeded",
        "reservation_short",
    }
)

__all__ = [
    "FACTS_OF_LIFE",
    "GUARDS",
    "Guard",
    "GuardContext",
    "Running",
    "check",
    "consents_needed",
    "judge",
    "may_be_overridden",
]


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> tuple[Verdict, ...]:
    """Every guard's verdict, in the order of `GUARDS`."""
    return tuple(guard(plan, snapshot, context) for guard in GUARDS)


def consents_needed(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    """Names of the guards whose danger somebody must agree to."""
    return tuple(v.guard for v in verdicts if v.outcome is Outcome.CONSENT)


def may_be_overridden(verdict: Verdict) -> bool:
    """Whether somebody may decide against that block: not where the change could not work."""
    return verdict.outcome is Outcome.BLOCK and verdict.guard not in FACTS_OF_LIFE


def check(
    verdicts: Iterable[Verdict],
    consents: Collection[str],
    *,
    approved: bool = False,
    overridden: Collection[str] = (),
) -> None:
    """Pass verdicts that allow to apply.

    Args:
        verdicts: of all guards.
        consents: names of the guards that were agreed to.
        approved: whether a second person approved the plan.
        overridden: names of the guards whose block somebody with the role for it decided against.

    Raises:
        Blocked: a guard blocks, or a second person is needed.
        Unconfirmed: a consent is missing; the message names it.
    """
    found = tuple(verdicts)
    for verdict in found:
        if verdict.guard in overridden and may_be_overridden(verdict):
            continue
        if verdict.outcome is Outcome.APPROVAL and approved:
            continue
        if verdict.outcome in (Outcome.BLOCK, Outcome.APPROVAL):
            raise Blocked(
                f"{verdict.guard}: {verdict.reason}", resource=verdict.guard, hint=verdict.lift
            )
    missing = [name for name in consents_needed(found) if name not in consents]
    if missing:
        raise Unconfirmed(
            f"Not agreed to: {', '.join(missing)}.", hint="Tick each of these and apply again"
        )
