"""Danger: a change on top of one whose effects do not show yet hides which of them did harm."""

from __future__ import annotations

from core.guards.change import find_spec
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Warn within minutes of another change of the tier."""
    if plan.is_note:
        return _verdict(Outcome.PASS, "it changes nothing but the record")
    window_s = context.limits.recent_change_s
    if context.changes is None:
        return _verdict(Outcome.WARN, "what was changed lately is not known", "read the audit")
    tier = plan.request.tier if find_spec(plan, snapshot) else ""
    recent = [
        c
        for c in context.changes
        if (not tier or c.tier == tier) and (context.now - c.at).total_seconds() < window_s
    ]
    if not recent:
        return _verdict(Outcome.PASS, f"nothing was changed in the last {window_s / 60:.0f} min")
    last = max(recent, key=lambda c: c.at)
    age_s = max(0.0, (context.now - last.at).total_seconds())
    why = f"{last.title} {last.state} {age_s / 60:.0f} min ago: its effects may not show yet"
    return _verdict(Outcome.WARN, why, f"wait {(window_s - age_s) / 60:.0f} min")


def _verdict(outcome: Outcome, reason: str, lift: str = "") -> Verdict:
    return Verdict("recently_changed", outcome, reason, lift)
