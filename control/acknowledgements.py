"""Who acknowledged which alert: read from the record, which is the acknowledgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from control.audit import Audit
from core.actions.acknowledge_incident import ACTION

_DAYS: Final = 31  # an alert that is open for longer is looked at anew
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who looks after an alert since when, why, and the intent that recorded it."""

    actor: str
    at: datetime
    reason: str
    intent: str


def acknowledgements(audit: Audit, now: datetime) -> Mapping[str, Acknowledgement]:
    """By the alert's full name; of the last month, the newest of each."""
    since = now - timedelta(days=_DAYS)
    entries = audit.entries(action=ACTION, state="succeeded", since=since, limit=_MOST)
    found: dict[str, Acknowledgement] = {}
    for entry in entries:
        for step in entry.steps:
            said = Acknowledgement(entry.actor, entry.at, entry.reason, entry.intent)
            found.setdefault(step.resource, said)
    return found
