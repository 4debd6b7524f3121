"""The record of who wanted what and what came of it, with annotations for charts.

One intent, one record; its states are events that are only ever added. The tables are
`control/store.py`'s; doing things is `control/executor.py`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.exc import IntegrityError

from control.store import annotation_rows, events, gates, intents, locks, plans
from core.guards.context import Running
from core.plans import AuditEntry, Plan, Progress, Verdict
from core.series import Annotation

FINAL_STATES: Final = ("succeeded", "failed", "refused", "cancelled")
TAG_STATES: Final = {"succeeded": "applied"}

_PLAN: Final = TypeAdapter(Plan)
_VERDICTS: Final = TypeAdapter(tuple[Verdict, ...])
_NAMES: Final = TypeAdapter(tuple[str, ...])


def utc_now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def tag(action: str, state: str) -> str:
    """The audit tag of an action's state: scale_tier, succeeded → "tier:scale:applied"."""
    verb, _, noun = action.partition("_")
    return f"{noun}:{verb}:{TAG_STATES.get(state, state)}"


class Audit:
    """Reads and writes the record. Safe for threads and for several processes."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

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
    ) -> bool:
        """Add the intent as confirmed; False: it is there already (a second click)."""
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
            "plan": _PLAN.dump_json(plan).decode(),
            "verdicts": _VERDICTS.dump_json(tuple(verdicts)).decode(),
            "consents": _NAMES.dump_json(tuple(sorted(consents))).decode(),
        }
        try:
            with self._engine.begin() as db:
                db.execute(intents.insert().values(row))
                db.execute(_event(intent, "confirmed", 0, f"confirmed by {actor}", at=now))
        except IntegrityError:
            return False
        return True

    def record(self, intent: str, state: str, step: int, detail: str, *, call: str = "") -> None:
        """Add one event: the intent is in that state from now on."""
        with self._engine.begin() as db:
            db.execute(_event(intent, state, step, detail, call=call))

    def open_gate(self, intent: str, gate: str, detail: str = "") -> str:
        """Decide once for all whether an intent is "started" or not; what was decided.

        `detail` of a "cancelled" one is recorded; an intent that has ended stays as it ended.
        """
        try:
            with self._engine.begin() as db:
                db.execute(gates.insert().values(intent=intent, gate=gate, at=utc_now()))
                if gate == "cancelled":
                    last = str(db.execute(_last_state(intent)).scalar())
                    if last in FINAL_STATES:
                        return last
                    db.execute(_event(intent, "cancelled", 0, detail))
        except IntegrityError:
            with self._engine.connect() as db:
                found = db.execute(sa.select(gates.c.gate).where(gates.c.intent == intent))
                return str(found.scalar_one())
        return gate

    def lock_tier(self, tier: str, intent: str) -> str:
        """Take the tier's lock; the intent that holds it afterwards (another one: it was taken)."""
        try:
            with self._engine.begin() as db:
                db.execute(locks.insert().values(tier=tier, intent=intent, at=utc_now()))
        except IntegrityError:
            with self._engine.connect() as db:
                found = db.execute(sa.select(locks.c.intent).where(locks.c.tier == tier)).scalar()
            # Released between the two statements: the caller may try again later.
            return "" if found is None else str(found)
        return intent

    def finish(self, intent: str, state: str, step: int, detail: str) -> None:
        """Add the final state, its annotation and release the lock, in one transaction; once."""
        with self._engine.begin() as db:
            db.execute(locks.delete().where(locks.c.intent == intent))
            last = db.execute(_last_state(intent)).scalar()
            if last in FINAL_STATES:
                return
            row = db.execute(sa.select(intents).where(intents.c.id == intent)).mappings().one()
            now = utc_now()
            db.execute(_event(intent, state, step, detail, at=now))
            if state in ("succeeded", "failed"):
                text = row["title"] if state == "succeeded" else f"FAILED: {row['title']}"
                db.execute(
                    annotation_rows.insert().values(
                        at=now,
                        tier=row["tier"],
                        text=text,
                        source="heartwood",
                        link=f"audit?intent={intent}",
                    )
                )

    def annotate(self, annotation: Annotation) -> None:
        """Add something that happened, for the charts."""
        with self._engine.begin() as db:
            db.execute(
                annotation_rows.insert().values(
                    at=annotation.at,
                    tier=annotation.tier,
                    text=annotation.text,
                    source=annotation.source,
                    link=annotation.link,
                )
            )

    def save_plan(self, plan: Plan, actor: str) -> str:
        """Keep a plan under its digest, which is returned."""
        with self._engine.begin() as db:
            db.execute(
                plans.insert().values(
                    digest=plan.digest,
                    saved_at=utc_now(),
                    actor=actor,
                    body=_PLAN.dump_json(plan).decode(),
                )
            )
        return plan.digest

    # --- reading ---------------------------------------------------------------------------------

    def plan_of(self, intent: str) -> Plan:
        """The plan of an intent.

        Raises:
            KeyError: there is no such intent.
        """
        return _PLAN.validate_json(self._one(intent)["plan"])

    def consents_of(self, intent: str) -> tuple[str, ...]:
        """What was agreed to; KeyError when there is no such intent."""
        return _NAMES.validate_json(self._one(intent)["consents"])

    def saved_plan(self, digest: str) -> Plan | None:
        """The plan last saved under that digest."""
        query = sa.select(plans.c.body).where(plans.c.digest == digest).order_by(plans.c.id.desc())
        with self._engine.connect() as db:
            body = db.execute(query.limit(1)).scalar()
        return None if body is None else _PLAN.validate_json(body)

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
        """Records that fit all given filters, newest first."""
        query = sa.select(intents).order_by(intents.c.at.desc(), intents.c.id)
        pairs = ((intents.c.tier, tier), (intents.c.action, action), (intents.c.actor, actor))
        for column, value in pairs:
            if value is not None:
                query = query.where(column == value)
        if since is not None:
            query = query.where(intents.c.at >= since)
        if state is not None:
            newest = sa.select(sa.func.max(events.c.id)).group_by(events.c.intent)
            fits = sa.select(events.c.intent).where(events.c.id.in_(newest))
            query = query.where(intents.c.id.in_(fits.where(events.c.state == state)))
        return self._entries(query.limit(limit))

    def progress(self, intent: str) -> Progress | None:
        """Where an intent stands; None: there is no such intent."""
        query = sa.select(events).where(events.c.intent == intent).order_by(events.c.id.desc())
        with self._engine.connect() as db:
            row = db.execute(query.limit(1)).mappings().first()
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

    def unfinished(self) -> tuple[Running, ...]:
        """Intents that have not ended, oldest first."""
        newest = sa.select(sa.func.max(events.c.id)).group_by(events.c.intent)
        query = (
            sa.select(intents.c.id, intents.c.tier, intents.c.title, events.c.state)
            .join(events, events.c.intent == intents.c.id)
            .where(events.c.id.in_(newest), events.c.state.not_in(FINAL_STATES))
            .order_by(intents.c.at)
        )
        with self._engine.connect() as db:
            return tuple(Running(*row) for row in db.execute(query))

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
        return tuple(_entry(row, by_intent[row["id"]]) for row in rows)


def _entry(row: Any, happened: Sequence[Any]) -> AuditEntry:
    plan = _PLAN.validate_json(row["plan"])
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
        verdicts=_VERDICTS.validate_json(row["verdicts"]),
        steps=plan.steps,
        cost=plan.cost,
        finished_at=last["at"] if final else None,
        calls=tuple(e["call"] for e in happened if e["call"]),
        tags=tuple(tag(row["action"], state) for state in states),
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _event(
    intent: str,
    state: str,
    step: int,
    detail: str,
    *,
    call: str = "",
    at: datetime | None = None,
) -> sa.Insert:
    return events.insert().values(
        intent=intent, at=at or utc_now(), state=state, step=step, detail=detail, call=call
    )


def _last_state(intent: str) -> sa.Select[str]:
    query = sa.select(events.c.state).where(events.c.intent == intent)
    return query.order_by(events.c.id.desc()).limit(1)
