"""Copies of the record elsewhere: each new row goes to Cloud Logging and a webhook, where set.

The chain is the queue: of each destination it is kept how far it has come, so that nothing is left
out after a failure or a restart. A row may arrive twice, under the same hash. Of several consoles
on the database one at a time copies. What was recorded before a destination was set stays here.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from control.audit_chain import CHAINED, plain_value, typed_key
from control.audit_rows import utc_now
from control.settings import Settings
from control.store import audit_copies as copies
from control.store import chain
from core.audit_record import AuditRecord
from core.errors import HeartwoodError
from services.audit_log import AuditLog
from services.clients import Clients
from services.webhook import Webhook

_log: Final = structlog.get_logger("audit")
_BATCH: Final = 50
_LOOK_S: Final = 2.0
_LONGEST_S: Final = 60.0  # between two tries while a destination fails
_AWAY: Final = (OperationalError, InterfaceError, NoConnection)  # what a database raises then
_HELD: Final = timedelta(seconds=90)  # longer than a try takes
_LEFT_OUT: Final = frozenset({"plan"})  # the whole plan is in the database; its digest is copied
_JSON: Final = frozenset({"verdicts", "consents", "approvals", "overrides"})


class Destination(Protocol):
    """Where records are copied to."""

    def write(self, records: Sequence[AuditRecord]) -> None:
        """Write them; raises HeartwoodError when that failed."""
        ...


@dataclass(frozen=True, slots=True)
class CopyState:
    """How far a copy has come.

    Attributes:
        destination: its name.
        behind: records that it does not have yet.
        problem: why the last try failed; "" when it did not.
        tried_at: when that was; None: nothing had to be copied yet.
        failing_since: when the first of the tries that failed was; None: the last did not.
    """

    destination: str
    behind: int
    problem: str
    tried_at: datetime | None
    failing_since: datetime | None = None


def destinations_of(settings: Settings, clients: Clients) -> Mapping[str, Destination]:
    """The destinations that are set, by name."""
    audit, found = settings.audit, dict[str, Destination]()
    if audit.cloud_log:
        found["Cloud Logging"] = AuditLog(clients, audit.cloud_log)
    url = audit.webhook_url.get_secret_value()
    if url:
        found["webhook"] = Webhook(url, audit.webhook_key.get_secret_value())
    return found


class AuditCopies:
    """Copies in the background. Safe for several processes."""

    def __init__(
        self,
        engine: sa.Engine,
        me: str,
        destinations: Mapping[str, Destination],
        look_s: float = _LOOK_S,
    ) -> None:
        """`me`: id of this console among those on the database."""
        self._engine, self._me, self._look_s = engine, me, look_s
        self._destinations = destinations
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Copy from now on, beginning where the last start left off."""
        self._stop.clear()
        for name in self._destinations:
            self._enrol(name)
            thread = threading.Thread(target=self._run, args=(name,), name="audit-copy")
            thread.daemon = True
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End, after one more try where the last did not fail; the rest waits for a start."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def states(self) -> tuple[CopyState, ...]:
        """Of each destination that is set."""
        if not self._destinations:
            return ()
        with self._engine.connect() as db:
            newest = _newest(db)
            rows = {row["destination"]: row for row in db.execute(sa.select(copies)).mappings()}
        return tuple(
            CopyState(
                name, newest - row["seq"], row["problem"], row["tried_at"], row["failing_since"]
            )
            for name in self._destinations
            if (row := rows.get(name)) is not None
        )

    def _run(self, name: str) -> None:
        pause_s, ended = self._look_s, False
        while not ended:
            ended = self._stop.wait(pause_s)
            if ended and pause_s > self._look_s:
                return
            try:
                while self.copy(name):
                    pass
                pause_s = self._look_s
            except _AWAY as error:
                pause_s = min(pause_s * 2, _LONGEST_S)
                why = type(error).__name__
                _log.warning("the database does not answer: nothing is copied", to=name, why=why)
            except (HeartwoodError, SQLAlchemyError) as error:
                pause_s = min(pause_s * 2, _LONGEST_S)
                _log.warning("the record could not be copied", to=name, why=str(error))
            except Exception as error:  # noqa: BLE001 - a thread that ends in silence copies nothing
                pause_s = min(pause_s * 2, _LONGEST_S)
                why = f"{type(error).__name__} at {_place(error)}"
                _log.error("a fault of ours kept the record from being copied", to=name, why=why)

    def copy(self, name: str) -> int:
        """Copy the next records; how many: 0 when there are none, or another console is at it.

        Raises:
            HeartwoodError: they did not arrive; the row says so, as of whatever else is raised.
            SQLAlchemyError: our own database did not answer: it is no fault of the destination,
                and there is no row to say it in.
        """
        done = self._hold(name)
        if done is None:
            return 0
        try:
            records = self._after(done)
            if not records:
                return 0
            self._destinations[name].write(records)
        except HeartwoodError as error:
            self._note(name, done, error.message)
            raise
        except _AWAY:
            raise
        except Exception as error:
            told = f"A fault of ours, {type(error).__name__} at {_place(error)}."
            self._note(name, done, told)
            raise
        self._note(name, records[-1].seq, "")
        return len(records)

    def _enrol(self, name: str) -> None:
        try:
            with self._engine.begin() as db:
                db.execute(copies.insert().values(destination=name, seq=_newest(db), problem=""))
        except IntegrityError:
            return  # it is known from an earlier start, or to another console

    def _hold(self, name: str) -> int | None:
        """How far the destination has come; None while another console is at it."""
        now = utc_now()
        free = sa.or_(
            copies.c.holder.is_(None), copies.c.holder == self._me, copies.c.held_until < now
        )
        with self._engine.begin() as db:
            taken = db.execute(
                copies.update()
                .where(copies.c.destination == name, free)
                .values(holder=self._me, held_until=now + _HELD)
            )
            if not taken.rowcount:
                return None
            query = sa.select(copies.c.seq).where(copies.c.destination == name)
            return int(db.execute(query).scalar_one())

    def _note(self, name: str, seq: int, problem: str) -> None:
        now = utc_now()
        since = sa.func.coalesce(copies.c.failing_since, now) if problem else None
        with self._engine.begin() as db:
            db.execute(
                copies.update()
                .where(copies.c.destination == name, copies.c.holder == self._me)
                .values(seq=seq, problem=problem, tried_at=now, failing_since=since)
            )

    def _after(self, seq: int) -> list[AuditRecord]:
        query = sa.select(chain).where(chain.c.seq > seq).order_by(chain.c.seq).limit(_BATCH)
        with self._engine.connect() as db:
            return [_record(db, dict(link)) for link in db.execute(query).mappings().all()]


def _place(error: Exception) -> str:
    """The line that raised it. Its message is not told: it may hold an address with a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown line"


def _newest(db: sa.Connection) -> int:
    return int(db.execute(sa.select(sa.func.max(chain.c.seq))).scalar() or 0)


def _record(db: sa.Connection, link: Mapping[str, Any]) -> AuditRecord:
    table = next(each for each in CHAINED if each.name == link["kind"])
    query = sa.select(table).where(table.c.id == typed_key(table, str(link["row"])))
    row: Any = db.execute(query).mappings().first()
    told = {
        name: json.loads(value) if name in _JSON else plain_value(value)
        for name, value in (row or {}).items()
        if value is not None and name not in _LEFT_OUT
    }
    place = {name: link[name] for name in ("seq", "hash", "kind")}
    text = json.dumps({**place, "row": told}, ensure_ascii=False, sort_keys=True)
    at = row["at"] if row is not None else utc_now()
    return AuditRecord(link["seq"], link["hash"], link["kind"], at, text)
