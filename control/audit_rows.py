"""Rows of the record and what they stand for: events to add, and an intent with its events.

Only the translation; reading and writing the tables is `control/audit.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter

from control.store import events
from core.plans import AuditEntry, Plan, Step, Verdict

FINAL_STATES: Final = ("succeeded", "failed", "refused", "cancelled")
TAG_STATES: Final = {"succeeded": "applied"}

PLAN: Final = TypeAdapter(Plan)
VERDICTS: Final = TypeAdapter(tuple[Verdict, ...])
NAMES: Final = TypeAdapter(tuple[str, ...])
REASONS: Final = TypeAdapter(dict[str, str])


def utc_now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def tag(action: str, state: str) -> str:
    """The audit tag of an action's state: scale_tier, succeeded → "tier:scale:applied"."""
    verb, _, noun = action.partition("_")
    return f"{noun}:{verb}:{TAG_STATES.get(state, state)}"


def entry_of(row: Any, happened: Sequence[Any]) -> AuditEntry:
    """One record: an intent's row with its events, oldest first."""
    plan = PLAN.validate_json(row["plan"])
    last = happened[-1]
    final = last["state"] in FINAL_STATES
    states = _unique(e["state"] for e in happened)
    return AuditEntry(
        intent=row["id"],
        at=row["at"],
        actor=row["actor"],
        origin=row["origin"],
        action=row["action"],
        tier=row["tier"],
        title=row["title"],
        reason=row["reason"],
        digest=row["digest"],
        state=last["state"],
        outcome=last["detail"],
        verdicts=VERDICTS.validate_json(row["verdicts"]),
        steps=plan.steps,
        cost=plan.cost,
        finished_at=last["at"] if final else None,
        calls=tuple(e["call"] for e in happened if e["call"]),
        tags=tuple(tag(row["action"], state) for state in states),
        consents=NAMES.validate_json(row["consents"]),
        approvals=NAMES.validate_json(row["approvals"] or "[]"),
        overrides=REASONS.validate_json(row["overrides"] or "{}"),
    )


def begins(step: Step) -> str:
    """The sentence with which a step begins."""
    return f"{step.title}: begins"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def event_row(
    intent: str,
    state: str,
    step: int,
    detail: str,
    *,
    call: str = "",
    at: datetime | None = None,
) -> dict[str, Any]:
    """One event, as a row to add."""
    return {
        "intent": intent,
        "at": at or utc_now(),
        "state": state,
        "step": step,
        "detail": detail,
        "call": call,
    }


def last_event(intent: str) -> sa.Select[Any]:
    """The query for an intent's newest event."""
    query = sa.select(events).where(events.c.intent == intent)
    return query.order_by(events.c.id.desc()).limit(1)
