"""What people do to an action that is under way: stop it, pause it, have it go on.

All of it is in the record, so that any console on the database, and the command line, can ask, and
so that it outlives a restart. A step that has begun is always finished. Applying is
`control/applying.py`'s, which begins no step but by `begin`.

Holding is the safe direction, so every operator may pause and stop whatever runs: nobody waits for
a second person while harm is done. Letting go on changes something, so it needs what the plan
needed, unless somebody takes back their own pause. Nothing is undone here: what a stopped action
left is taken back by a plan of its own, with its own guards and approval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from control.access import Actor, Role, require
from control.audit import Audit
from control.audit_chain import add
from control.audit_rows import FINAL_STATES, event_row, last_event, utc_now
from control.store import events, gates, pauses, stops

PAUSED: Final = "paused"  # state of an intent from the pause on, also while a begun step ends
_RUNNING: Final = "running"


@dataclass(frozen=True, slots=True)
class Held:
    """Why a step does not begin: somebody stopped the action, or (`for_now`) paused it."""

    actor: str
    for_now: bool


class Interventions:
    """Of all intents in one record. Safe for threads and for several processes."""

    def __init__(self, audit: Audit) -> None:
        self._audit, self._engine = audit, audit.engine

    # --- what people ask -------------------------------------------------------------------------

    def cancel(self, intent: str, actor: Actor) -> bool:
        """Cancel before the first change, later leave out what has not begun; twice is once.

        Returns:
            Whether it is or will be cancelled; False: its last step has begun, or it has ended.

        Raises:
            Denied: the actor may only look.
        """
        require(actor)
        found = self._audit.progress(intent)
        if found is None or found.state in FINAL_STATES:
            return found is not None and found.state == "cancelled"
        detail = f"cancelled by {actor.name} before the first change"
        gate = self._audit.open_gate(intent, "cancelled", detail)
        if gate != "started":
            return gate == "cancelled"
        return self._stop(intent, actor.name, found.steps)

    def pause(self, intent: str, actor: Actor) -> bool:
        """Have no further step begin until `resume`; twice is once.

        Its tiers' locks stay taken, and what has begun is finished.

        Returns:
            Whether it is paused; False: its last step has begun, or it has ended.

        Raises:
            Denied: the actor may only look.
        """
        require(actor)
        return self._turn(intent, actor.name, paused=True)

    def resume(self, intent: str, actor: Actor) -> bool:
        """Have a paused intent go on; twice is once.

        Returns:
            Whether it goes on; False: it has ended, or there is no such intent.

        Raises:
            Denied: the actor may only look, or lacks `role_to_resume`.
        """
        require(actor, self.role_to_resume(intent, actor))
        return self._turn(intent, actor.name, paused=False)

    def role_to_resume(self, intent: str, actor: Actor) -> Role:
        """The role that letting it go on needs: approver where a second person had to approve it,
        admin where a guard was overridden; operator else, and for a pause of one's own.
        """
        with self._engine.connect() as db:
            paused_by = _paused_by(db, intent)
        entry = self._audit.entry(intent)
        if entry is None or paused_by.casefold() == actor.name.casefold():
            return Role.OPERATOR
        if entry.overrides:
            return Role.ADMIN
        return Role.APPROVER if entry.approvals else Role.OPERATOR

    # --- what the steps ask ----------------------------------------------------------------------

    def begin(self, intent: str, step: int, detail: str, call: str) -> Held | None:
        """Record that a step begins; else why it does not. One decision with `pause` and a stop."""
        with self._engine.begin() as db:
            self._alone(db, intent)
            actor = _stopped_by(db, intent)
            if actor:
                return Held(actor, for_now=False)
            actor = _paused_by(db, intent)
            if actor:
                return Held(actor, for_now=True)
            add(db, events, event_row(intent, _RUNNING, step, detail, call=call))
        return None

    def tell(self, intent: str, step: int, detail: str) -> None:
        """Record what a step that has begun says; a paused intent stays paused."""
        with self._engine.begin() as db:
            self._alone(db, intent)
            state = PAUSED if _paused_by(db, intent) else _RUNNING
            add(db, events, event_row(intent, state, step, detail))

    # --- the tables ------------------------------------------------------------------------------

    @staticmethod
    def _alone(db: sa.Connection, intent: str) -> None:
        """From here to the end of the transaction nobody else decides about the intent.

        A write that changes nothing: SQLite lets one writer in, PostgreSQL locks the row.
        """
        gate = gates.update().where(gates.c.intent == intent).values(gate=gates.c.gate)
        db.execute(gate)

    def _stop(self, intent: str, actor: str, steps: int) -> bool:
        with self._engine.begin() as db:
            self._alone(db, intent)
            last = db.execute(last_event(intent)).mappings().one()
            if _stopped_by(db, intent):  # asked before; it may have ended since
                return last["state"] not in FINAL_STATES or last["state"] == "cancelled"
            if last["state"] in FINAL_STATES or last["step"] >= steps:
                return False
            now = utc_now()
            db.execute(stops.insert().values(intent=intent, actor=actor, at=now))
            detail = f"{actor} asked to stop: steps that have not begun are left out"
            add(db, events, event_row(intent, last["state"], last["step"], detail, at=now))
        return True

    def _turn(self, intent: str, actor: str, *, paused: bool) -> bool:
        with self._engine.begin() as db:
            self._alone(db, intent)
            last: Any = db.execute(last_event(intent)).mappings().first()
            if last is None or last["state"] in FINAL_STATES:
                return False
            if bool(_paused_by(db, intent)) == paused:
                return True
            if paused and last["step"] >= len(self._audit.plan_of(intent).steps):
                return False
            now = utc_now()
            db.execute(pauses.insert().values(intent=intent, paused=paused, actor=actor, at=now))
            state = PAUSED if paused else _RUNNING if last["step"] else "confirmed"
            detail = f"{actor} let it go on"
            if paused:
                detail = f"paused by {actor}: no further step begins until somebody lets it go on"
            add(db, events, event_row(intent, state, last["step"], detail, at=now))
        return True


def _stopped_by(db: sa.Connection, intent: str) -> str:
    query = sa.select(stops.c.actor).where(stops.c.intent == intent)
    return str(db.execute(query).scalar() or "")


def _paused_by(db: sa.Connection, intent: str) -> str:
    query = sa.select(pauses.c.actor, pauses.c.paused).where(pauses.c.intent == intent)
    last = db.execute(query.order_by(pauses.c.id.desc()).limit(1)).first()
    return str(last[0]) if last is not None and last[1] else ""
