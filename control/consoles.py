"""Which console applies which intent, where several share one database.

Each has an id, kept in its data directory so that it outlives the process, and says every few
seconds that it lives. An intent belongs to the console that was asked; another one takes it over
only when that console has said nothing for a minute. Locks of tiers are `control/audit.py`'s.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from control.audit import utc_now
from control.store import consoles, intent_consoles

_log: Final = structlog.get_logger("executor")

BEAT_S: Final = 10.0
DEAD_S: Final = 60.0  # six beats missed


def console_id(directory: Path) -> str:
    """The id of the console of that data directory, made when it is asked for first."""
    file = directory / "console.id"
    directory.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.write_text(uuid.uuid4().hex, encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()


class Consoles:
    """This console among the others on its database. Safe for threads."""

    def __init__(
        self, engine: sa.Engine, me: str, beat_s: float = BEAT_S, dead_s: float = DEAD_S
    ) -> None:
        self._engine, self.me = engine, me
        self._beat_s, self._dead_s = beat_s, dead_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, look: Callable[[], None]) -> None:
        """Say from now on that this console lives, and `look` after each time."""
        self._stop.clear()
        self.beat()
        self._thread = threading.Thread(target=self._run, args=(look,), name="beat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say it no more: a minute later others take over what is unfinished."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, look: Callable[[], None]) -> None:
        while not self._stop.wait(self._beat_s):
            try:
                self.beat()
                look()
            except (SQLAlchemyError, OSError):  # tried again with the next beat
                _log.exception("could not say that this console lives")

    def beat(self) -> None:
        """Say once that it lives."""
        now = utc_now()
        with self._engine.begin() as db:
            found = db.execute(
                consoles.update().where(consoles.c.id == self.me).values(beat_at=now)
            )
            if not found.rowcount:
                db.execute(consoles.insert().values(id=self.me, beat_at=now))

    def claim(self, db: sa.Connection, intent: str) -> None:
        """Note in that transaction that the intent is this console's."""
        db.execute(intent_consoles.insert().values(intent=intent, console=self.me))

    def take(self, intents: Iterable[str]) -> tuple[str, ...]:
        """Those of these intents that this console has to go on with.

        Its own, and from now on those of consoles that live no more, or that nobody claimed.
        """
        return tuple(intent for intent in intents if self._take(intent))

    def _take(self, intent: str) -> bool:
        query = sa.select(intent_consoles.c.console).where(intent_consoles.c.intent == intent)
        with self._engine.connect() as db:
            owner = db.execute(query).scalar()
        if owner == self.me:
            return True
        try:
            with self._engine.begin() as db:
                if owner is None:
                    self.claim(db, intent)
                    return True
                if not self._is_dead(db, str(owner)):
                    return False
                changed = db.execute(
                    intent_consoles.update()
                    .where(intent_consoles.c.intent == intent, intent_consoles.c.console == owner)
                    .values(console=self.me)
                )
        except IntegrityError:  # another one claimed it at the same moment
            return False
        if changed.rowcount:
            _log.warning("takes over an intent of a console that is gone", intent=intent)
        return bool(changed.rowcount)

    def _is_dead(self, db: sa.Connection, console: str) -> bool:
        query = sa.select(consoles.c.beat_at).where(consoles.c.id == console)
        beat_at: datetime | None = db.execute(query).scalar()
        return beat_at is None or utc_now() - beat_at > timedelta(seconds=self._dead_s)
