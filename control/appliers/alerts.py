"""The verb of alerts: that somebody looks after one, which stands in our own record alone."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from control.appliers.verbs import Product, Report
from core.actions import acknowledge_incident
from core.alerts import Alert
from core.plans import Facts, Step
from core.records import Snapshot
from core.specs import TierSpec
from services.alerts import Alerts
from services.clients import Clients


class AlertPort(Protocol):
    """What of `services.alerts.Alerts` is needed."""

    def list_open(self, specs: Sequence[TierSpec]) -> tuple[Alert, ...]:
        """Those that have not ended."""
        ...


class Acknowledge:
    """record.acknowledge_alert: no call is made; the intent's own entry is the acknowledgement."""

    def start(self, step: Step) -> str:
        """Nothing: what was read before the first step said that the alert is open."""
        del step
        return ""

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Nothing to wait for."""

    def verify(self, step: Step, stop: threading.Event) -> str:
        """Always so: `control.acknowledgements` reads it from the record."""
        return f"{step.resource} is acknowledged in this record; Monitoring does not know"


def product(alerts: AlertPort) -> Product:
    """The verb and the facts of alerts."""

    def observe(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        found = alerts.list_open(snapshot.specs)
        fresh = acknowledge_incident.observe_again(dict.fromkeys(names), found)
        return replace(snapshot, alerts=found), fresh

    return Product(
        {acknowledge_incident.VERB: Acknowledge()}, {acknowledge_incident.FACTS: observe}
    )


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(Alerts(clients))
