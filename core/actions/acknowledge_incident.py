"""Acknowledge an open alert: say that somebody looks after it.

Cloud Monitoring's API lists alerts and can neither acknowledge nor close one. So this is kept in
our own record alone: guards and pages show it, Monitoring and whom it notifies do not learn of it.
It counts until the alert ends; the next one of the same policy has another name.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from core.actions.context import PlanContext
from core.actions.tier_lookup import same_cost, spec_of, word
from core.alerts import Alert
from core.cloud_resources import PLATFORM
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.money import PriceBasis
from core.plans import CostChange, Facts, Plan, Request, Step
from core.records import Snapshot, Source

ACTION: Final = "acknowledge_incident"
VERB: Final = "record.acknowledge_alert"
FACTS: Final = "alert"
OPEN: Final = "OPEN"
PERMISSIONS: Final = ("monitoring.alerts.list",)


def plan_acknowledge_incident(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that acknowledges the alert of the name `alert` (parameter, a full name).

    `request.tier` is the alert's tier, or "platform" where it concerns all.

    Raises:
        PlanError: there is no such open alert, it is another tier's, or it was acknowledged.
    """
    alert = _alert(snapshot, request)
    if alert.name in context.acknowledged:
        raise PlanError(f"{alert.title} is acknowledged already.", resource=alert.name)
    cost = CostChange(0.0, 0.0, PriceBasis.LIST.value, "a note costs nothing")
    if alert.tier:
        tier = assemble_fleet(snapshot).tier(spec_of(snapshot, request).name)
        cost = same_cost(snapshot, tier)
    return Plan(
        request=request,
        title=f"Acknowledge {alert.title}",
        steps=(_step(alert),),
        observed=observe((alert,)),
        cost=cost,
        affected=_affected(alert, now),
        irreversible=("The record is kept for ever; the acknowledgement ends with the alert",),
        permissions=PERMISSIONS,
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=0,
        chip_delta=0,
        sources=(Source.ALERTS.value,),
    )


def observe(alerts: Iterable[Alert]) -> Facts:
    """That these are open."""
    return {f"{FACTS}: {alert.name}": OPEN for alert in alerts}


def observe_again(observed: Facts, alerts: Iterable[Alert]) -> Facts:
    """The same facts from a fresh read of the open ones; one that has ended has None."""
    fresh = observe(alerts)
    return {key: fresh.get(key) for key in observed}


def _alert(snapshot: Snapshot, request: Request) -> Alert:
    if snapshot.alerts is None:
        raise PlanError(
            "Alerts have not been read yet.", retryable=True, hint="See Connections for their state"
        )
    name = word(request, "alert")
    alert = next((a for a in snapshot.alerts if a.name == name), None)
    if alert is None:
        named = ", ".join(a.name for a in snapshot.alerts)
        raise PlanError(f"No alert {name!r} is open.", hint=f"Open: {named or 'none'}")
    if (alert.tier or PLATFORM) != request.tier:
        raise PlanError(
            f"{alert.title} concerns {alert.tier or 'all tiers'}, not {request.tier}.",
            resource=name,
            hint=f"Ask for it on {alert.tier or PLATFORM}",
        )
    return alert


def _step(alert: Alert) -> Step:
    return Step(
        verb=VERB,
        resource=alert.name,
        title=f"Record that {alert.title} is looked after",
        before={"acknowledged": False},
        after={"acknowledged": True},
        expected_s=0.0,
        expected_source="nothing is waited for",
        command="# Monitoring's API offers no acknowledgement: it is kept in Heartwood's record",
        undo="it ends with the alert",
    )


def _affected(alert: Alert, now: datetime) -> tuple[str, ...]:
    whose = alert.tier or "all tiers, or none that can be told"
    since = ""
    if alert.opened_at is not None:
        since = f", open for {(now - alert.opened_at).total_seconds() / 60:,.0f} min"
    severity = f", {alert.severity}" if alert.severity else ""
    return (
        f"It concerns {whose}{severity}{since}",
        "Nothing in the cloud changes: Monitoring goes on to notify, since its API offers no"
        " acknowledgement",
    )
