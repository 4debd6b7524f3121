"""The chain over the record: each row's hash covers the row and the hash before it.

A row that is changed, taken out or slipped in later no longer fits, and `verify` names the first
that does not. What no chain shows by itself is that its newest end was cut off: whoever must be
sure of that keeps the last hash elsewhere and gives it to `verify`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from control.store import approval_events, chain, events, intents

CHAINED: Final = (intents, events, approval_events)  # rows of these are only ever added, by `add`
FIRST: Final = "0" * 64  # what stands before the first record
_LOCK: Final = 0x48656172  # PostgreSQL: one writer of the chain at a time
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found.

    Attributes:
        records: how many fit, from the first on.
        head: hash of the last that fits.
        broken: which is the first that does not, and how; "" when all fit.
    """

    records: int
    head: str
    broken: str = ""


def add(db: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> None:
    """Add a row and its link, in the transaction of `db`, which has written before or does now."""
    result = db.execute(table.insert().values(dict(values)))
    key = result.inserted_primary_key
    assert key is not None  # every chained table has one
    link(db, table, str(key[0]))


def link(db: sa.Connection, table: sa.Table, key: str) -> None:
    """Add the link of a row that is there."""
    if db.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    newest = sa.select(chain.c.seq, chain.c.hash).order_by(chain.c.seq.desc()).limit(1)
    last = db.execute(newest).first()
    seq, previous = (0, FIRST) if last is None else (int(last[0]), str(last[1]))
    row = db.execute(sa.select(table).where(table.c.id == typed_key(table, key))).mappings().one()
    db.execute(
        chain.insert().values(
            seq=seq + 1,
            kind=table.name,
            row=key,
            previous=previous,
            hash=_hash(previous, table.name, key, dict(row)),
        )
    )


def verify(engine: sa.Engine, expected_head: str = "") -> Verification:
    """Go through the whole chain and all rows.

    Args:
        engine: of the database.
        expected_head: a hash noted earlier, which must be among those of the chain; "": none.
    """
    tables = {table.name: table for table in CHAINED}
    records, head, seen = 0, FIRST, not expected_head
    linked: dict[str, set[str]] = {name: set() for name in tables}
    with engine.connect() as db:
        # Read before the chain, so that what is written meanwhile is not taken for slipped in.
        there = {name: _keys(db, table) for name, table in tables.items()}
        for found in _links(db):
            broken = _break_of(db, found, records, head, tables)
            if broken:
                return Verification(records, head, broken)
            records, head = records + 1, str(found["hash"])
            linked[found["kind"]].add(str(found["row"]))
            seen = seen or head == expected_head
    for name, keys in there.items():
        strange = [key for key in keys if key not in linked[name]]
        if strange:
            return Verification(records, head, f"{name} {strange[0]} is in no record: slipped in")
    if not seen:
        why = f"no record has the hash {expected_head}: records after it were cut off or rewritten"
        return Verification(records, head, why)
    return Verification(records, head)


def _keys(db: sa.Connection, table: sa.Table) -> tuple[str, ...]:
    return tuple(
        str(key) for key in db.execute(sa.select(table.c.id).order_by(table.c.id)).scalars()
    )


def _links(db: sa.Connection) -> Iterator[Mapping[str, Any]]:
    after = 0
    while True:
        query = sa.select(chain).where(chain.c.seq > after).order_by(chain.c.seq).limit(_PAGE)
        page = db.execute(query).mappings().all()
        if not page:
            return
        for found in page:
            yield dict(found)
        after = int(page[-1]["seq"])


def _break_of(
    db: sa.Connection,
    found: Mapping[str, Any],
    records: int,
    head: str,
    tables: Mapping[str, sa.Table],
) -> str:
    """How a link does not fit; "" when it does."""
    number = records + 1
    if found["seq"] != number:
        return f"record {number} is missing: the next one is {found['seq']}"
    if found["previous"] != head:
        return f"record {number} ({found['kind']} {found['row']}) does not follow the one before it"
    table = tables.get(str(found["kind"]))
    if table is None:
        return f"record {number} is of {found['kind']}, which is no part of the record"
    query = sa.select(table).where(table.c.id == typed_key(table, str(found["row"])))
    row = db.execute(query).mappings().first()
    if row is None:
        return f"record {number}: {found['kind']} {found['row']} was taken out"
    if found["hash"] != _hash(head, table.name, str(found["row"]), dict(row)):
        return f"record {number}: {_name(table.name, dict(row))} was changed after it was written"
    return ""


def _hash(previous: str, kind: str, key: str, row: Mapping[str, Any]) -> str:
    """SHA-256 over all of it; empty columns are left out, so that later ones may be added."""
    values = {name: plain_value(value) for name, value in row.items() if value is not None}
    body = json.dumps(
        [previous, kind, key, values], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(body.encode()).hexdigest()


def plain_value(value: Any) -> Any:
    """A column's value as JSON can hold it; times in ISO 8601, UTC."""
    if isinstance(value, datetime):
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return aware.isoformat(timespec="microseconds")
    return value


def typed_key(table: sa.Table, key: str) -> Any:
    """A row's key, kept as text in the chain, as its table has it."""
    return int(key) if isinstance(table.c.id.type, sa.Integer) else key


def _name(kind: str, row: Mapping[str, Any]) -> str:
    """The row in words."""
    of = f" of intent {row['intent']}" if row.get("intent") else ""
    at = row.get("at")
    when = f", {plain_value(at)}" if at is not None else ""
    return f"{kind} {row['id']}{of}{when}"
