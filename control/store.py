"""Our own tables: intents with their events and the chain over both, plans, annotations, locks.

SQLite in the data directory by default, PostgreSQL by URL. Intents and events are only ever added.
What they mean is `control/audit.py`'s; durable workflows keep tables of their own (`dbos`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.types import TypeDecorator

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_MS: Final = 5000

metadata: Final = sa.MetaData()


class UtcTime(TypeDecorator[datetime]):
    """A UTC time; SQLite forgets the zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To the database; a time without a zone is a mistake of ours."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """From the database."""
        found = cast(datetime | None, value)
        if found is None:
            return None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


intents: Final = sa.Table(
    "intents",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("at", UtcTime, nullable=False, index=True),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("origin", sa.String(256), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("tier", sa.String(64), nullable=False, index=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("verdicts", sa.Text, nullable=False),
    sa.Column("consents", sa.Text, nullable=False),
    sa.Column("approvals", sa.Text, nullable=True),  # names of who approved; empty: nobody
    sa.Column("overrides", sa.Text, nullable=True),  # guard → reason; empty: none
)

events: Final = sa.Table(
    "intent_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), nullable=False, index=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # state of the intent from here on
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("call", sa.Text, nullable=False),  # the call that was made; "" when none
)

# What was asked of a second person, what they decided, which intent used it: each once.
approval_events: Final = sa.Table(
    "approval_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("request", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),  # asked, decided, used
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("origin", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("answer", sa.String(16), nullable=True),  # of "decided": approved, declined
    sa.Column("expires_at", UtcTime, nullable=True),  # of "asked", as the two below
    sa.Column("intent", sa.String(64), nullable=True),  # of "used"
    sa.Column("plan", sa.Text, nullable=True),
    sa.Column("verdicts", sa.Text, nullable=True),
    sa.UniqueConstraint("request", "kind", name="approval_once"),
)

# One row per row of the record, each with a hash over it and the hash before.
chain: Final = sa.Table(
    "audit_chain",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("row", sa.String(64), nullable=False),
    sa.Column("previous", sa.String(64), nullable=False, unique=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
)

# What was decided first for an intent: "started" or "cancelled". The primary key decides a race.
gates: Final = sa.Table(
    "intent_gates",
    metadata,
    sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), primary_key=True),
    sa.Column("gate", sa.String(16), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

# Who asked a begun intent to stop. The primary key makes it once.
stops: Final = sa.Table(
    "intent_stops",
    metadata,
    sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), primary_key=True),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

# Who paused an intent or let it go on; the newest row of an intent counts.
pauses: Final = sa.Table(
    "intent_pauses",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), nullable=False, index=True),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

# One action per tier at a time, across all consoles on the same database.
locks: Final = sa.Table(
    "tier_locks",
    metadata,
    sa.Column("tier", sa.String(64), primary_key=True),
    sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

# Consoles on this database, and which intent is whose (`control/consoles.py`).
consoles: Final = sa.Table(
    "consoles",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("beat_at", UtcTime, nullable=False),
)

intent_consoles: Final = sa.Table(
    "intent_consoles",
    metadata,
    sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), primary_key=True),
    sa.Column("console", sa.String(64), nullable=False),
)

# How far each copy of the record has come, and which console is at it (`control/audit_copies.py`).
audit_copies: Final = sa.Table(
    "audit_copies",
    metadata,
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),  # of the chain: the last that arrived
    sa.Column("holder", sa.String(64), nullable=True),
    sa.Column("held_until", UtcTime, nullable=True),
    sa.Column("problem", sa.Text, nullable=False),  # why the last try failed; "" when it did not
    sa.Column("tried_at", UtcTime, nullable=True),
    sa.Column("failing_since", UtcTime, nullable=True),  # of tries in a row
)

# Sign-ins that were ended by their owners, by a hash of what tells them apart.
ended_sign_ins: Final = sa.Table(
    "ended_sign_ins",
    metadata,
    sa.Column("sign_in", sa.String(64), primary_key=True),
    sa.Column("at", UtcTime, nullable=False, index=True),
)

plans: Final = sa.Table(
    "plans",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("saved_at", UtcTime, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

annotation_rows: Final = sa.Table(
    "annotations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", UtcTime, nullable=False, index=True),
    sa.Column("tier", sa.String(64), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("link", sa.Text, nullable=False),
)


def open_store(url: str) -> sa.Engine:
    """An engine on the database, with all migrations applied; the directory is made if missing."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(parsed, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
    migrate(engine)
    return engine


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # an intent is on the disk before it is done
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def migrate(engine: sa.Engine) -> None:
    """Bring the tables to the newest version."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
