"""The chain over the record: what is changed behind our back does not fit any more."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from control.audit import Audit
from control.audit_chain import verify
from control.store import open_store
from tests.control.test_audit import POSTGRES, record

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A record with two intents, seven rows in all."""
    engine = open_store(f"sqlite:///{tmp_path}/heartwood.db")
    audit = Audit(engine)
    for intent in ("i1", "i2"):
        record(audit, intent)
        audit.finish(intent, "succeeded", 1, "done")
    audit.record("i2", "running", 1, "afterwards")
    engine.dispose()
    return tmp_path / "heartwood.db"


def heartwood(database: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m control audit` on that record."""
    return subprocess.run(
        [sys.executable, "-m", "control", "audit", *arguments],
        cwd=ROOT, text=True, capture_output=True, check=False,
        env={"HEARTWOOD_DATABASE_URL": f"sqlite:///{database}", "PATH": ""},
    )  # fmt: skip


def test_a_whole_record_verifies(database: Path) -> None:
    """Every row is in the chain; the last hash can be noted, and is known again later."""
    done = heartwood(database, "verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("7 records fit")
    head = done.stdout.split()[-1]
    assert heartwood(database, "verify", "--expect", head).returncode == 0
    engine = open_store(f"sqlite:///{database}")
    record(Audit(engine), "i3")
    assert verify(engine, head).broken == ""
    assert verify(engine, "f" * 64).broken.startswith("no record has the hash")


TAMPERED = {
    "UPDATE intents SET actor = 'mallory' WHERE id = 'i1'": "record 1: intents i1",
    "UPDATE intents SET at = '2020-01-01 00:00:00.000000' WHERE id = 'i2'": "record 4: intents i2",
    "UPDATE intent_events SET detail = 'nothing' WHERE id = 2": "record 3: intent_events 2 of"
    " intent i1",
    "DELETE FROM intent_events WHERE id = 3": "record 5: intent_events 3 was taken out",
    "DELETE FROM audit_chain WHERE seq = 2": "record 2 is missing",
    "INSERT INTO intent_events (intent, at, state, step, detail, call) SELECT intent, at, state,"
    " step, 'forged', call FROM intent_events WHERE id = 1": "intent_events 6 is in no record",
    "UPDATE audit_chain SET hash = 'x' WHERE seq = 4": "record 4: intents i2",
    "UPDATE audit_chain SET seq = 99 WHERE seq = 7": "record 7 is missing",
}


@pytest.mark.parametrize("statement", TAMPERED)
def test_a_change_behind_our_back_is_named(database: Path, statement: str) -> None:
    """Whatever is edited in the file: `verify` fails and names the first record that is wrong."""
    with sqlite3.connect(database) as db:
        db.execute(statement)
    found = verify(open_store(f"sqlite:///{database}"))
    assert TAMPERED[statement] in found.broken


def test_the_command_tells_what_is_broken(database: Path) -> None:
    """Status 1 and one line that names it."""
    with sqlite3.connect(database) as db:
        db.execute("UPDATE intent_events SET state = 'failed' WHERE id = 2")
    done = heartwood(database, "verify")
    assert done.returncode == 1
    assert "BROKEN after 2 good records: record 3: intent_events 2 of intent i1" in done.stdout


def test_the_end_that_was_cut_off_shows_against_a_noted_hash(database: Path) -> None:
    """The last event and its link gone: only the hash noted earlier tells."""
    engine = open_store(f"sqlite:///{database}")
    head = verify(engine).head
    with sqlite3.connect(database) as db:
        db.execute("DELETE FROM audit_chain WHERE seq = 7")
        db.execute("DELETE FROM intent_events WHERE id = 5")
    assert verify(engine).broken == ""
    assert "cut off" in verify(engine, head).broken


def test_the_record_is_exported_on_the_command_line(database: Path, tmp_path: Path) -> None:
    """JSON lines on the screen, CSV into a file, a line each in a list; filters hold."""
    lines = heartwood(database, "export", "--tier", "small").stdout.splitlines()
    assert [json.loads(line)["intent"] for line in lines] == ["i2", "i1"]
    out = tmp_path / "all.csv"
    assert heartwood(database, "export", "--format", "csv", "--out", str(out)).returncode == 0
    assert out.read_text().startswith("intent,at,")
    assert heartwood(database, "export", "--actor", "nobody").stdout == ""
    assert "[i1]" in heartwood(database, "list", "--limit", "5").stdout


def test_records_from_before_the_chain_are_linked(tmp_path: Path) -> None:
    """The migration takes up what is there, in its order, and the chain goes on from it."""
    url = f"sqlite:///{tmp_path}/old.db"
    engine = open_store(url)
    record(Audit(engine), "i1")
    Audit(engine).finish("i1", "succeeded", 1, "done")
    _migrate(engine, "0002", command.downgrade)
    assert not sa.inspect(engine).has_table("audit_chain")
    engine.dispose()
    engine = open_store(url)
    assert verify(engine).records == 3
    record(Audit(engine), "i2")
    found = verify(engine)
    assert (found.records, found.broken) == (5, "")


def _migrate(engine: sa.Engine, revision: str, move: Callable[..., None]) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "control" / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        move(config, revision)


def _write_from_many_threads(engine: sa.Engine) -> None:
    audit = Audit(engine)
    record(audit, "i1")
    with ThreadPoolExecutor(8) as pool:
        for n in range(40):
            pool.submit(audit.record, "i1", "running", 1, f"step {n}")
    found = verify(engine)
    assert (found.records, found.broken) == (42, "")


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    """Steps that run at the same time record at the same time: no fork, nothing lost."""
    _write_from_many_threads(open_store(f"sqlite:///{tmp_path}/heartwood.db"))


@pytest.mark.skipif(not POSTGRES, reason="HEARTWOOD_TEST_POSTGRES_URL is not set")
def test_many_writers_make_one_chain_in_postgres() -> None:
    """Likewise in PostgreSQL, where several write at once."""
    from control.store import metadata

    engine = open_store(POSTGRES)
    with engine.begin() as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(table.delete())
    _write_from_many_threads(engine)
