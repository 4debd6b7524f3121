"""Danger: changing what somebody else is repairing."""

from __future__ import annotations

from core.guards.change import find_spec, shrinks
from core.guards.context import GuardContext
from core.guards.freshness import is_fresh
from core.parts import State
from core.plans import Outcome, Plan, Verdict
from core.records import Alert, Snapshot, Source

_CURES = ("acknowledge_incident", "fail_over", "restore_tier", "roll_back", "restart_slice")


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Ask before taking away from a tier with an open incident; warn before changing it else.

    While alerts are not read a tier counts as in one when none of its slices is ready.
    """
    if plan.request.action in _CURES:
        return _verdict(Outcome.PASS, "the plan answers an incident")
    alerts = snapshot.alerts if is_fresh(Source.ALERTS, snapshot, context) else None
    tier = plan.request.tier if find_spec(plan, snapshot) else ""
    if alerts is None:
        named = _of_state(plan, context)
        told = " (alerts are not read, judged by slices alone)"
    else:
        mine = [a for a in alerts if not a.tier or not tier or a.tier == tier]
        named, told = "; ".join(_name(a, context) for a in mine), ""
    if not named:
        return _verdict(Outcome.PASS, f"no incident is open{told}")
    outcome = Outcome.CONSENT if shrinks(plan) else Outcome.WARN
    return _verdict(outcome, f"open: {named}{told}", "end the incident, or agree with its owner")


def _of_state(plan: Plan, context: GuardContext) -> str:
    for tier in context.fleet.tiers:
        broken = tier.state is State.DEGRADED and tier.slice_count.ready == 0
        if tier.name == plan.request.tier and broken:
            return f"{tier.spec.title} has no ready slice"
    return ""


def _name(alert: Alert, context: GuardContext) -> str:
    word = ", acknowledged" if alert.name in context.acknowledged else ""
    if alert.opened_at is None:
        return f"{alert.title}{word}"
    minutes = (context.now - alert.opened_at).total_seconds() / 60
    return f"{alert.title} (for {minutes:,.0f} min{word})"


def _verdict(outcome: Outcome, reason: str, lift: str = "") -> Verdict:
    return Verdict("incident_open", outcome, reason, lift)
