"""The record of who wanted what and what came of it, with annotations for charts.

One intent, one record; its states are events that are only ever added. The tables are
`control/store.py`'s; doing things is `control/executor.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from control.audit_chain import add
from control.audit_rows import (
    FINAL_STATES,
    NAMES,
    PLAN,
    REASONS,
    VERDICTS,
    begins,
    entry_of,
    event_row,
    last_event,
    tag,
    utc_now,
)
from control.store import annotation_rows, events, gates, intents, locks, plans
from core.guards.context import Changed, Running
from core.plans import NOTES, AuditEntry, Plan, Progress, Verdict
from core.series import Annotation

_LOCK_TRIES: Final = 5

__all__ = ["FINAL_STATES", "Audit", "tag", "utc_now"]


class Audit:
    """Reads and writes the record. Safe for threads and for several processes."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> sa.Engine:
        """The database, for what stands beside the record in it."""
        return self._engine

    # --- writing ---------------------------------------------------------------------------------

    def record_intent(
        self,
        intent: str,
        plan: Plan,
        verdicts: Sequence[Verdict],
        consents: Collection[str],
        *,
        actor: str,
        origin: str,
        reason: str,
        approvals: Collection[str] = (),
        overrides: Mapping[str, str] = MappingProxyType({}),
        also: Callable[[sa.Connection], None] | None = None,
    ) -> bool:
        """Add the intent as confirmed; False: it is there already (a second click).

        `approvals`: who else approved; `overrides`: guard → reason; `also` is done in the same
        transaction.
        """
        now = utc_now()
        row = {
            "id": intent,
            "at": now,
            "actor": actor,
            "origin": origin,
            "action": plan.request.action,
            "tier": plan.request.tier,
            "title": plan.title,
            "reason": reason or plan.request.reason,
            "digest": plan.digest,
            "plan": PLAN.dump_json(plan).decode(),
            "verdicts": VERDICTS.dump_json(tuple(verdicts)).decode(),
            "consents": NAMES.dump_json(tuple(sorted(consents))).decode(),
            "approvals": NAMES.dump_json(tuple(approvals)).decode() if approvals else None,
            "overrides": REASONS.dump_json(dict(overrides)).decode() if overrides else None,
        }
        try:
            with self._engine.begin() as db:
                add(db, intents, row)
                add(db, events, event_row(intent, "confirmed", 0, f"confirmed by {actor}", at=now))
                if also is not None:
                    also(db)
        except IntegrityError:
            return False
        return True

    def record(self, intent: str, state: str, step: int, detail: str, *, call: str = "") -> None:
        """Add one event: the intent is in that state from now on."""
        with self._engine.begin() as db:
            add(db, events, event_row(intent, state, step, detail, call=call))

    def open_gate(self, intent: str, gate: str, detail: str = "") -> str:
        """Decide once for all whether an intent is "started" or not; what was decided.

        `detail` of a "cancelled" one is recorded; an intent that has ended stays as it ended.
        """
        try:
            with self._engine.begin() as db:
                db.execute(gates.insert().values(intent=intent, gate=gate, at=utc_now()))
                if gate == "cancelled":
                    last = db.execute(last_event(intent)).mappings().one()
                    if last["state"] in FINAL_STATES:
                        return str(last["state"])
                    add(db, events, event_row(intent, "cancelled", 0, detail))
        except IntegrityError:
            with self._engine.connect() as db:
                found = db.execute(sa.select(gates.c.gate).where(gates.c.intent == intent))
                return str(found.scalar_one())
        return gate

    def lock_tier(self, tier: str, intent: str) -> str:
        """Take the tier's lock; the intent that holds it afterwards (another one: it was taken)."""
        for _ in range(_LOCK_TRIES):
            try:
                with self._engine.begin() as db:
                    db.execute(locks.insert().values(tier=tier, intent=intent, at=utc_now()))
            except IntegrityError:
                query = sa.select(locks.c.intent).where(locks.c.tier == tier)
                with self._engine.connect() as db:
                    found = db.execute(query).scalar()
                if found is None:
                    continue  # released between the two statements
                return str(found)
            return intent
        return ""

    def finish(self, intent: str, state: str, step: int, detail: str) -> None:
        """Add the final state, its annotation and release the lock, in one transaction; once."""
        with self._engine.begin() as db:
            db.execute(locks.delete().where(locks.c.intent == intent))
            query = sa.select(intents).where(intents.c.id == intent).with_for_update()
            row = db.execute(query).mappings().one()
            if db.execute(last_event(intent)).mappings().one()["state"] in FINAL_STATES:
                return
            now = utc_now()
            add(db, events, event_row(intent, state, step, detail, at=now))
            changed = state in ("succeeded", "failed") or (state == "cancelled" and step)
            if changed:
                word = {"failed": "FAILED: ", "cancelled": "STOPPED: "}.get(state, "")
                text = word + row["title"]
                link = f"audit?intent={intent}"
                mark = Annotation(now, row["tier"], text, "heartwood", link)
                db.execute(annotation_rows.insert().values(asdict(mark)))

    def annotate(self, annotation: Annotation) -> None:
        """Add something that happened, for the charts."""
        with self._engine.begin() as db:
            db.execute(annotation_rows.insert().values(asdict(annotation)))

    def save_plan(self, plan: Plan, actor: str) -> str:
        """Keep a plan under its digest, which is returned."""
        with self._engine.begin() as db:
            db.execute(
                plans.insert().values(
                    digest=plan.digest,
                    saved_at=utc_now(),
                    actor=actor,
                    body=PLAN.dump_json(plan).decode(),
                )
            )
        return plan.digest

    # --- reading ---------------------------------------------------------------------------------

    def plan_of(self, intent: str) -> Plan:
        """The plan of an intent.

        Raises:
            KeyError: there is no such intent.
        """
        return PLAN.validate_json(self._one(intent)["plan"])

    def consents_of(self, intent: str) -> tuple[str, ...]:
        """What was agreed to; KeyError when there is no such intent."""
        return NAMES.validate_json(self._one(intent)["consents"])

    def lifted_of(self, intent: str) -> tuple[bool, tuple[str, ...]]:
        """Whether somebody else approved, and the guards overridden; KeyError: no such intent."""
        row = self._one(intent)
        return bool(row["approvals"]), tuple(REASONS.validate_json(row["overrides"] or "{}"))

    def saved_plan(self, digest: str) -> Plan | None:
        """The plan last saved under that digest."""
        query = sa.select(plans.c.body).where(plans.c.digest == digest).order_by(plans.c.id.desc())
        with self._engine.connect() as db:
            body = db.execute(query.limit(1)).scalar()
        return None if body is None else PLAN.validate_json(body)

    def entry(self, intent: str) -> AuditEntry | None:
        """One record; None: there is no such intent."""
        return next(iter(self._entries(sa.select(intents).where(intents.c.id == intent))), None)

    def entries(
        self,
        *,
        tier: str | None = None,
        action: str | None = None,
        actor: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: int = 200,
    ) -> tuple[AuditEntry, ...]:
        """Records that fit all given filters, newest first; `actor`: a part, in any case."""
        query = sa.select(intents).order_by(intents.c.at.desc(), intents.c.id)
        pairs = ((intents.c.tier, tier), (intents.c.action, action))
        for column, value in pairs:
            if value is not None:
                query = query.where(column == value)
        if actor is not None:
            query = query.where(intents.c.actor.icontains(actor, autoescape=True))
        if since is not None:
            query = query.where(intents.c.at >= since)
        if state is not None:
            newest = sa.select(sa.func.max(events.c.id)).group_by(events.c.intent)
            fits = sa.select(events.c.intent).where(events.c.id.in_(newest))
            query = query.where(intents.c.id.in_(fits.where(events.c.state == state)))
        return self._entries(query.limit(limit))

    def progress(self, intent: str) -> Progress | None:
        """Where an intent stands; None: there is no such intent."""
        with self._engine.connect() as db:
            row = db.execute(last_event(intent)).mappings().first()
        if row is None:
            return None
        steps = len(self.plan_of(intent).steps)
        return Progress(intent, row["state"], row["step"], steps, row["detail"], row["at"])

    def log(self, intent: str) -> tuple[Progress, ...]:
        """All events of an intent, oldest first; () when there is none."""
        query = sa.select(events).where(events.c.intent == intent).order_by(events.c.id)
        with self._engine.connect() as db:
            rows = db.execute(query).mappings().all()
        steps = len(self.plan_of(intent).steps) if rows else 0
        return tuple(
            Progress(intent, r["state"], r["step"], steps, r["detail"], r["at"]) for r in rows
        )

    def begun(self, intent: str) -> tuple[int, ...]:
        """Numbers (from 1) of the steps of an intent that began; () when there is none."""
        said = {p.detail for p in self.log(intent)}
        steps = self.plan_of(intent).steps if said else ()
        return tuple(n for n, step in enumerate(steps, 1) if begins(step) in said)

    def unfinished(self, *, locking: bool = False) -> tuple[Running, ...]:
        """Intents that have not ended, oldest first; `locking`: those that hold a tier's lock."""
        newest = sa.select(sa.func.max(events.c.id)).group_by(events.c.intent)
        query = (
            sa.select(intents.c.id, intents.c.tier, intents.c.title, events.c.state)
            .join(events, events.c.intent == intents.c.id)
            .where(events.c.id.in_(newest), events.c.state.not_in(FINAL_STATES))
            .order_by(intents.c.at)
        )
        if locking:
            query = query.where(intents.c.id.in_(sa.select(locks.c.intent)))
        locked: dict[str, list[str]] = {}
        with self._engine.connect() as db:
            for tier, intent in db.execute(sa.select(locks.c.tier, locks.c.intent)):
                locked.setdefault(intent, []).append(tier)
            rows = db.execute(query).all()
        return tuple(Running(*row, locked=tuple(locked.get(row[0], ()))) for row in rows)

    def changes(self, since: datetime) -> tuple[Changed, ...]:
        """Intents that ended since then and had begun to change something, oldest first."""
        query = (
            sa.select(intents.c.tier, intents.c.title, events.c.at, events.c.state)
            .join(events, events.c.intent == intents.c.id)
            .where(events.c.at >= since, events.c.state.in_(FINAL_STATES), events.c.step > 0)
            .where(intents.c.action.not_in(NOTES))
            .order_by(events.c.id)
        )
        with self._engine.connect() as db:
            return tuple(Changed(*row) for row in db.execute(query))

    def durations_s(self, action: str, limit: int = 20) -> dict[str, Sequence[float]]:
        """Seconds that the latest succeeded intents of one step took, by the verb of that step."""
        found: dict[str, list[float]] = {}
        for entry in self.entries(action=action, state="succeeded", limit=limit):
            if entry.finished_at is not None and len(entry.steps) == 1:
                seconds = (entry.finished_at - entry.at).total_seconds()
                found.setdefault(entry.steps[0].verb, []).append(seconds)
        return dict(found)

    def annotations(
        self, start: datetime, end: datetime, tier: str | None = None
    ) -> tuple[Annotation, ...]:
        """What happened in [start, end) to that tier (None: to any) or to all, oldest first."""
        query = sa.select(annotation_rows).where(
            annotation_rows.c.at >= start, annotation_rows.c.at < end
        )
        if tier is not None:
            query = query.where(annotation_rows.c.tier.in_((tier, "")))
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(annotation_rows.c.at)).mappings().all()
        return tuple(
            Annotation(r["at"], r["tier"], r["text"], r["source"], r["link"]) for r in rows
        )

    def _one(self, intent: str) -> Any:
        with self._engine.connect() as db:
            query = sa.select(intents).where(intents.c.id == intent)
            row = db.execute(query).mappings().first()
        if row is None:
            raise KeyError(intent)
        return row

    def _entries(self, query: sa.Select[Any]) -> tuple[AuditEntry, ...]:
        with self._engine.connect() as db:
            rows = db.execute(query).mappings().all()
            wanted = [row["id"] for row in rows]
            found = db.execute(
                sa.select(events).where(events.c.intent.in_(wanted)).order_by(events.c.id)
            ).mappings()
            by_intent: dict[str, list[Any]] = {intent: [] for intent in wanted}
            for happened in found:
                by_intent[happened["intent"]].append(happened)
        return tuple(entry_of(row, by_intent[row["id"]]) for row in rows)
