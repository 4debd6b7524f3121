"""Danger: a plan that is refused half way, since this console's identity may not do all of it."""

from __future__ import annotations

from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, _snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block what the identity has no permission for, by name; ask where that is not known.

    One call that is refused changes nothing, so a plan of one step may find out by itself.
    """
    if not plan.permissions:
        return _verdict(Outcome.PASS, "the plan needs no permission")
    asked = context.permissions
    missing = [p for p in plan.permissions if asked is not None and asked.get(p) is False]
    if missing:
        why = f"this console's identity lacks {', '.join(missing)}"
        return _verdict(Outcome.BLOCK, why, "grant a role that holds it (IAM) to that identity")
    unknown = [p for p in plan.permissions if asked is None or p not in asked]
    if unknown and len(plan.steps) > 1:
        why = f"whether we have {', '.join(unknown)} is not known: it may be refused half way"
        return _verdict(Outcome.CONSENT, why, "testIamPermissions must answer")
    if unknown:
        why = f"whether we have {', '.join(unknown)} is not known: refused, the one call changes"
        return _verdict(Outcome.PASS, f"{why} nothing")
    return _verdict(Outcome.PASS, f"granted: {', '.join(plan.permissions)}")


def _verdict(outcome: Outcome, reason: str, lift: str = "") -> Verdict:
    return Verdict("permission_missing", outcome, reason, lift)
