"""Danger: one click that spends more than one person should decide on, or than anybody may."""

from __future__ import annotations

from core.guards.change import grows
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, _snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block above the hard ceiling; a large rise needs a second person, an unknown one a tick."""
    limits, cost = context.limits, plan.cost
    delta, after = cost.delta_usd_per_hour, cost.after_usd_per_hour
    if not grows(plan):
        return _verdict(Outcome.PASS, "the plan does not raise the cost")
    if delta is None or after is None:
        why = "what it costs is not known, so no ceiling can be held"
        return _verdict(Outcome.CONSENT, why, "the price must be known")
    ceiling, ask = limits.ceiling_usd_per_hour, limits.approval_above_usd_per_hour
    top = "no hard ceiling is set" if ceiling is None else f"hard ceiling ${ceiling:,.0f}/h"
    lines = (f"${after:,.2f}/h afterwards; {top}", f"{delta:+,.2f} $/h; alone up to ${ask:,.0f}/h")
    if ceiling is not None and after > ceiling:
        why = f"${after:,.0f}/h is above the hard ceiling of ${ceiling:,.0f}/h"
        return _verdict(Outcome.BLOCK, why, "raise guards.ceiling_usd_per_hour", lines)
    if delta > ask:
        why = f"${delta:,.0f}/h more (${delta * 24:,.0f} per day) is above ${ask:,.0f}/h"
        return _verdict(Outcome.APPROVAL, why, "a second person approves this plan", lines)
    return _verdict(Outcome.PASS, f"${delta:,.2f}/h more is within ${ask:,.0f}/h", "", lines)


def _verdict(outcome: Outcome, reason: str, lift: str = "", lines: tuple[str, ...] = ()) -> Verdict:
    return Verdict("over_ceiling", outcome, reason, lift, lines)
