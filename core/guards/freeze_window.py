"""Danger: a change in a time in which the people who answer for it agreed to change nothing."""

from __future__ import annotations

from datetime import datetime

from core.guards.change import find_spec
from core.guards.context import GuardContext
from core.guards.freezes import NEVER
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block while a freeze holds for the tier."""
    if plan.is_note:
        return Verdict("freeze_window", Outcome.PASS, "it changes nothing but the record")
    tier = plan.request.tier if find_spec(plan, snapshot) else ""
    held = [
        (freeze, end)
        for freeze in context.freezes
        if freeze.concerns(tier) and (end := freeze.ends_at(context.now)) is not None
    ]
    if not held:
        word = "no freeze holds now" if context.freezes else "no freeze is configured"
        return Verdict("freeze_window", Outcome.PASS, word)
    named = "; ".join(f"{f.name} ({_until(end)})" for f, end in held)
    lift = "wait for its end, or have an admin override it with a reason"
    return Verdict("freeze_window", Outcome.BLOCK, f"frozen: {named}", lift)


def _until(end: datetime) -> str:
    return "without an end" if end == NEVER else f"until {end:%d %B %H:%M} UTC"
