"""acknowledge_incident: a note on an open alert, which changes nothing and waits for nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.actions import PlanContext, make_plan
from core.actions.available import why_not
from core.alerts import various_first
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.guards import GuardContext, Running, judge
from core.guards.freezes import Freeze
from core.plans import Outcome, Plan, Request
from core.records import Alert, Snapshot
from tests.make import NOW, make_snapshot

ALERT = Alert(
    "projects/p/alerts/0.a", "Requests wait", "projects/p/alertPolicies/1", "WARNING", "small",
    {"namespace": "small"}, NOW - timedelta(minutes=12),
)  # fmt: skip


def with_alerts(*alerts: Alert) -> Snapshot:
    """The normal world with these open."""
    return replace(make_snapshot(), alerts=alerts)


def planned(snapshot: Snapshot, tier: str, name: str, *known: str) -> Plan:
    """The plan, while those are acknowledged."""
    context = PlanContext("p", acknowledged=frozenset(known))
    request = Request("acknowledge_incident", tier, {"alert": name})
    return make_plan(snapshot, request, NOW, context)


def test_an_open_alert_is_acknowledged_whatever_else_goes_on() -> None:
    """During a freeze and another action; it says that Monitoring does not learn of it."""
    snapshot = with_alerts(ALERT)
    plan = planned(snapshot, "small", ALERT.name)
    assert plan.is_note
    assert plan.cost.delta_usd_per_hour == 0
    assert "open for 12 min" in plan.affected[0]
    assert "Monitoring goes on to notify" in plan.affected[1]
    context = GuardContext(
        NOW,
        assemble_fleet(snapshot),
        1.3,
        120,
        running=(Running("i", "small", "Add 1 slice", "running"),),
        freezes=(Freeze("always", first=NOW - timedelta(days=1), last=NOW + timedelta(days=1)),),
        changes=(),
        permissions=dict.fromkeys(plan.permissions, True),
    )
    verdicts = judge(plan, snapshot, context)
    assert {v.outcome for v in verdicts} == {Outcome.PASS}


def test_one_of_no_tier_is_the_platforms() -> None:
    """An alert that concerns all is asked for on the platform, and only there."""
    snapshot = with_alerts(replace(ALERT, tier=""))
    assert planned(snapshot, "platform", ALERT.name).observed == {f"alert: {ALERT.name}": "OPEN"}
    with pytest.raises(PlanError, match="concerns all tiers"):
        planned(snapshot, "small", ALERT.name)


def test_what_cannot_be_acknowledged_is_refused() -> None:
    """One that is not open, was acknowledged, or was never read."""
    snapshot = with_alerts(ALERT)
    with pytest.raises(PlanError, match="No alert"):
        planned(snapshot, "small", "projects/p/alerts/0.b")
    with pytest.raises(PlanError, match="acknowledged already"):
        planned(snapshot, "small", ALERT.name, ALERT.name)
    with pytest.raises(PlanError, match="not been read"):
        planned(replace(snapshot, alerts=None), "small", ALERT.name)
    small, medium = snapshot.spec("small"), snapshot.spec("medium")
    assert why_not(snapshot, "acknowledge_incident", small) == ""
    assert "No alert" in why_not(snapshot, "acknowledge_incident", medium)


def test_many_alerts_of_one_kind_hide_no_other() -> None:
    """The first of each policy and tier comes before the second of any; none is left out."""
    many = [replace(ALERT, name=f"projects/p/alerts/{n}.a") for n in range(3)]
    other = replace(ALERT, name="projects/p/alerts/9.a", policy="projects/p/alertPolicies/2")
    assert various_first([*many, other]) == (many[0], other, *many[1:])
