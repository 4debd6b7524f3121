"""Danger: changing what somebody else is repairing."""

from __future__ import annotations

from core.guards.change import find_spec, shrinks
from core.guards.context import GuardContext, OpenIncident
from core.parts import State
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot

_CURES = ("acknowledge_incident", "fail_over", "restore_tier", "roll_back", "restart_slice")


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Ask before taking away from a tier with an open incident; warn before changing it else.

    Without a source of incidents a tier counts as in one when none of its slices is ready.
    """
    if plan.request.action in _CURES:
        return _verdict(Outcome.PASS, "the plan answers an incident")
    found = _of_state(plan, context) if context.incidents is None else context.incidents
    tier = plan.request.tier if find_spec(plan, snapshot) else ""
    open_ones = [i for i in found if not i.tier or not tier or i.tier == tier]
    told = "" if context.incidents is not None else " (alerts are not read, judged by slices alone)"
    if not open_ones:
        return _verdict(Outcome.PASS, f"no incident is open{told}")
    named = "; ".join(_name(i, context) for i in open_ones)
    outcome = Outcome.CONSENT if shrinks(plan) else Outcome.WARN
    return _verdict(outcome, f"open: {named}{told}", "end the incident, or agree with its owner")


def _of_state(plan: Plan, context: GuardContext) -> tuple[OpenIncident, ...]:
    for tier in context.fleet.tiers:
        broken = tier.state is State.DEGRADED and tier.slice_count.ready == 0
        if tier.name == plan.request.tier and broken:
            return (OpenIncident(tier.name, f"{tier.spec.title} has no ready slice", None),)
    return ()


def _name(incident: OpenIncident, context: GuardContext) -> str:
    word = ", acknowledged" if incident.acknowledged else ""
    if incident.since is None:
        return f"{incident.title}{word}"
    minutes = (context.now - incident.since).total_seconds() / 60
    return f"{incident.title} (for {minutes:,.0f} min{word})"


def _verdict(outcome: Outcome, reason: str, lift: str = "") -> Verdict:
    return Verdict("incident_open", outcome, reason, lift)
