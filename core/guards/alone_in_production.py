"""Danger: one person alone ends, or takes away much of, what production users rely on."""

from __future__ import annotations

from core.guards.change import (
    deletes,
    ends_service,
    find_spec,
    is_teardown,
    ready_slices,
    slice_delta,
)
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot

_LIFT = "a second person approves this plan"


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """A production tier's end, or a large removal from it, needs a second person."""
    spec = find_spec(plan, snapshot)
    production = [s.title for s in ((spec,) if spec else snapshot.specs) if s.production]
    if not production or (spec is None and not any(deletes(s) for s in plan.steps)):
        return _verdict(Outcome.PASS, "no production tier is concerned")
    named = ", ".join(production)
    ends = ends_service(plan, context.fleet)
    if ends:
        word = "takes away" if is_teardown(plan) else "ends"
        return _verdict(Outcome.APPROVAL, f"it {word} production: {named}", _LIFT)
    if spec is None:
        return _verdict(Outcome.APPROVAL, f"it deletes what production shares: {named}", _LIFT)
    delta, ready = slice_delta(plan), ready_slices(plan, context.fleet)
    if delta < 0 and ready is None:
        why = f"how much of {named} would stay ready is not known"
        return _verdict(Outcome.APPROVAL, why, "Kubernetes must be readable, or " + _LIFT)
    if delta < 0 and ready and -delta / ready > context.limits.large_change_ratio:
        why = f"it removes {-delta / ready:.0%} of {named}, which is production"
        return _verdict(Outcome.APPROVAL, why, "remove less at once, or " + _LIFT)
    return _verdict(Outcome.PASS, f"small enough for one person ({named} is production)")


def _verdict(outcome: Outcome, reason: str, lift: str = "") -> Verdict:
    return Verdict("alone_in_production", outcome, reason, lift)
