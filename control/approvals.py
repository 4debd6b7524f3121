"""A second person's word on a plan: asked for, given or refused, used once; bound to its digest.

Rows are only ever added, and chained as the record is. What needs approval is the guards' to say;
that the plan still holds is checked again when it is applied.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from control.access import Actor, Role, require
from control.audit_chain import add
from control.audit_rows import PLAN, VERDICTS, utc_now
from control.store import approval_events
from core.errors import Conflict, Denied, Expired, PlanError
from core.plans import Outcome, Plan, Verdict

WAITING: Final = "waiting"
APPROVED: Final = "approved"
DECLINED: Final = "declined"
EXPIRED: Final = "expired"
USED: Final = "used"
_SHOWN: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Approval:
    """One request for approval and what came of it.

    Attributes:
        id: of the request.
        plan: as it was shown; it lives as long as the request, and keeps its digest.
        verdicts: as they were shown to who asked.
        state: waiting, approved, declined, expired or used.
        decided_by, decided_reason: "" while nobody has decided.
        intent: that used it; "" while none has.
    """

    id: str
    digest: str
    plan: Plan
    verdicts: tuple[Verdict, ...]
    asked_by: str
    asked_at: datetime
    reason: str
    expires_at: datetime
    state: str
    decided_by: str = ""
    decided_at: datetime | None = None
    decided_reason: str = ""
    intent: str = ""


class Approvals:
    """Reads and writes approvals. Safe for threads and for several processes."""

    def __init__(self, engine: sa.Engine, life_s: float = 3600.0) -> None:
        self._engine, self._life = engine, timedelta(seconds=life_s)

    def ask(
        self, plan: Plan, verdicts: Sequence[Verdict], actor: Actor, reason: str = ""
    ) -> Approval:
        """Ask a second person; asked again for the same plan, it is the same request.

        Raises:
            Denied: the actor may not apply plans themselves.
            PlanError: the plan needs no approval, or a guard blocks it.
            Expired: the plan is too old; a word on it would make it last.
        """
        require(actor)
        if utc_now() > plan.expires_at:
            raise Expired("The plan has expired.", resource=plan.title, hint="Plan it again")
        outcomes = {v.outcome for v in verdicts}
        if Outcome.BLOCK in outcomes:
            raise PlanError("What is blocked cannot be approved.", resource=plan.title)
        if Outcome.APPROVAL not in outcomes:
            raise PlanError("The plan needs no approval.", resource=plan.title)
        for known in self.recent():
            mine = (known.digest, known.asked_by) == (plan.digest, actor.name)
            if mine and known.state in (WAITING, APPROVED):
                return known
        now = utc_now()
        lasting = replace(plan, expires_at=now + self._life)
        row = self._row(uuid.uuid4().hex, "asked", plan.digest, actor, reason, now)
        row |= {
            "expires_at": lasting.expires_at,
            "plan": PLAN.dump_json(lasting).decode(),
            "verdicts": VERDICTS.dump_json(tuple(verdicts)).decode(),
        }
        with self._engine.begin() as db:
            add(db, approval_events, row)
        return self.get(row["request"])

    def decide(self, request: str, actor: Actor, *, approve: bool, reason: str = "") -> Approval:
        """Approve or decline, once for all.

        Raises:
            KeyError: there is no such request.
            Denied: the actor is no approver, or asked for it themselves.
            Expired: it is too late.
            Conflict: somebody has decided already, or the plan was changed since.
        """
        require(actor, Role.APPROVER)
        found = self.get(request)
        if found.asked_by.casefold() == actor.name.casefold():
            raise Denied(
                f"{actor.name} asked for it: a second person approves.", resource=found.plan.title
            )
        if found.plan.digest != found.digest:
            raise Conflict("The stored plan is not the one that was asked for.", resource=found.id)
        if found.state == EXPIRED:
            raise Expired("The request has expired.", resource=found.plan.title, hint="Ask again")
        row = self._row(request, "decided", found.digest, actor, reason, utc_now())
        row["answer"] = APPROVED if approve else DECLINED
        try:
            with self._engine.begin() as db:
                add(db, approval_events, row)
        except IntegrityError as error:
            known = self.get(request)
            raise Conflict(
                f"{known.decided_by} has {known.state} it already.", resource=known.plan.title
            ) from error
        return self.get(request)

    def get(self, request: str) -> Approval:
        """One request; KeyError: there is none."""
        query = sa.select(approval_events).where(approval_events.c.request == request)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(approval_events.c.id)).mappings().all()
        if not rows:
            raise KeyError(request)
        return _approval([dict(row) for row in rows], utc_now())

    def recent(self) -> tuple[Approval, ...]:
        """The requests of the last week, newest first."""
        asked = approval_events.c.request
        since = utc_now() - _SHOWN
        fresh = sa.select(asked).where(
            approval_events.c.kind == "asked", approval_events.c.at >= since
        )
        query = sa.select(approval_events).where(asked.in_(fresh)).order_by(approval_events.c.id)
        rows: dict[str, list[dict[str, Any]]] = {}
        with self._engine.connect() as db:
            for row in db.execute(query).mappings():
                rows.setdefault(row["request"], []).append(dict(row))
        now = utc_now()
        return tuple(_approval(each, now) for each in reversed(rows.values()))

    def given_for(self, digest: str, actor: Actor) -> Approval | None:
        """An approval of that plan that may be used by that person now; None: there is none."""
        for found in self.recent():
            second = found.decided_by.casefold() != actor.name.casefold()
            if (found.digest, found.state) == (digest, APPROVED) and second:
                return found
        return None

    def use(self, db: sa.Connection, approval: Approval, intent: str, actor: Actor) -> None:
        """Use it up for an intent, in its transaction; IntegrityError: another has used it."""
        row = self._row(approval.id, "used", approval.digest, actor, "", utc_now())
        add(db, approval_events, row | {"intent": intent})

    @staticmethod
    def _row(
        request: str, kind: str, digest: str, actor: Actor, reason: str, at: datetime
    ) -> dict[str, Any]:
        return {
            "request": request,
            "kind": kind,
            "digest": digest,
            "at": at,
            "actor": actor.name,
            "origin": actor.origin,
            "reason": reason,
        }


def _approval(rows: Sequence[Mapping[str, Any]], now: datetime) -> Approval:
    by_kind = {row["kind"]: row for row in rows}
    asked, decided, used = by_kind["asked"], by_kind.get("decided"), by_kind.get("used")
    state = WAITING if decided is None else str(decided["answer"])
    if used is not None:
        state = USED
    elif state in (WAITING, APPROVED) and now >= asked["expires_at"]:
        state = EXPIRED
    return Approval(
        id=asked["request"],
        digest=asked["digest"],
        plan=PLAN.validate_json(asked["plan"]),
        verdicts=VERDICTS.validate_json(asked["verdicts"]),
        asked_by=asked["actor"],
        asked_at=asked["at"],
        reason=asked["reason"],
        expires_at=asked["expires_at"],
        state=state,
        decided_by="" if decided is None else decided["actor"],
        decided_at=None if decided is None else decided["at"],
        decided_reason="" if decided is None else decided["reason"],
        intent="" if used is None else used["intent"],
    )
