"""Danger: two changes of the same tier, or of what all tiers share, at the same time."""

from __future__ import annotations

from core.guards.change import concerned
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block while another intent on the tier, or on no single one, is not finished.

    So it is with an intent on a tier that gets more requests by the plan, and the other way round.
    """
    if plan.is_note:
        return Verdict("action_in_progress", Outcome.PASS, "it changes nothing but the record")
    names = {s.name for s in snapshot.specs}
    tier, mine = plan.request.tier, set(concerned(plan, snapshot))
    others = [
        r for r in context.running if mine & {r.tier, *r.locked} or not {r.tier, tier} <= names
    ]
    if not others:
        return Verdict("action_in_progress", Outcome.PASS, "nothing else changes this tier")
    named = "; ".join(f"{r.title} ({r.state}, {r.intent})" for r in others)
    return Verdict(
        "action_in_progress", Outcome.BLOCK, f"in progress: {named}", "wait until it has ended"
    )
