"""The record in SQLite: one per intent, append only, safe against races."""

from __future__ import annotations

import csv
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from control.audit import Audit, tag, utc_now
from control.audit_export import to_csv, to_json_lines
from control.store import metadata, open_store
from core.actions import PlanContext, make_plan
from core.plans import Outcome, Plan, Request, Verdict
from core.series import Annotation
from tests.make import make_snapshot

POSTGRES = os.environ.get("HEARTWOOD_TEST_POSTGRES_URL", "")


def make_small_plan(delta: int = -1) -> Plan:
    """The plan to change small."""
    request = Request("scale_tier", "small", {"delta": delta}, "quiet night")
    return make_plan(make_snapshot(), request, utc_now(), PlanContext("p"))


VERDICTS = (Verdict("capacity_left", Outcome.CONSENT, "unknown", "measure", ("1 + 1 = 2",)),)


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """An audit in a new SQLite file."""
    return Audit(open_store(f"sqlite:///{tmp_path}/deep/heartwood.db"))


def record(audit: Audit, intent: str = "i1", delta: int = -1, actor: str = "ada") -> bool:
    """Record one intent."""
    return audit.record_intent(
        intent,
        make_small_plan(delta),
        VERDICTS,
        ("capacity_left",),
        actor=actor,
        origin="test",
        reason="",
    )


def test_the_migrations_make_the_tables(tmp_path: Path) -> None:
    """The migrations build what the code's tables say; a second start changes nothing."""
    url = f"sqlite:///{tmp_path}/heartwood.db"
    engine = open_store(url)
    found = sa.inspect(engine)
    for table in metadata.sorted_tables:
        columns = {c["name"] for c in found.get_columns(table.name)}
        assert columns == {c.name for c in table.columns}
    with engine.connect() as db:
        assert db.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
    open_store(url)


def test_an_intent_comes_back_whole(audit: Audit) -> None:
    """Plan, verdicts, consents, cost and states survive the round trip."""
    plan = make_small_plan()
    assert record(audit)
    assert audit.plan_of("i1").digest == plan.digest
    assert audit.consents_of("i1") == ("capacity_left",)
    audit.record("i1", "running", 1, "begins", call="gcloud …")
    audit.finish("i1", "succeeded", 1, "done")
    entry = audit.entry("i1")
    assert entry is not None
    assert (entry.state, entry.outcome, entry.actor) == ("succeeded", "done", "ada")
    assert entry.verdicts == VERDICTS
    assert entry.steps == plan.steps
    assert entry.reason == "quiet night"
    assert entry.cost == plan.cost
    assert entry.calls == ("gcloud …",)
    assert entry.tags == ("tier:scale:confirmed", "tier:scale:running", "tier:scale:applied")
    assert entry.finished_at is not None
    assert [p.state for p in audit.log("i1")] == ["confirmed", "running", "succeeded"]


def test_a_second_click_records_nothing(audit: Audit) -> None:
    """The same intent again is not recorded, also by eight threads at once."""
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: record(audit), range(8)))
    assert results.count(True) == 1
    assert len(audit.entries()) == 1
    assert len(audit.log("i1")) == 1


def test_cancelled_and_started_exclude_each_other(audit: Audit) -> None:
    """Whoever opens the gate first decides, and everybody is told the same."""
    record(audit)
    with ThreadPoolExecutor(8) as pool:
        wanted = ["started", "cancelled"] * 4
        decided = set(pool.map(lambda g: audit.open_gate("i1", g), wanted))
    assert len(decided) == 1
    progress = audit.progress("i1")
    assert progress is not None
    assert (progress.state == "cancelled") == (decided == {"cancelled"})


def test_one_lock_per_tier(audit: Audit) -> None:
    """The second intent is told who has the lock; the holder may ask again; the end frees it."""
    record(audit, "i1")
    record(audit, "i2", 1)
    assert audit.lock_tier("small", "i1") == "i1"
    assert audit.lock_tier("small", "i2") == "i1"
    assert audit.lock_tier("small", "i1") == "i1"
    audit.finish("i1", "failed", 1, "broke")
    assert audit.lock_tier("small", "i2") == "i2"


def test_a_cancelled_intent_frees_its_lock(audit: Audit) -> None:
    """Cancelled while it held the lock: finishing it frees the lock and changes nothing."""
    record(audit)
    audit.lock_tier("small", "i1")
    audit.open_gate("i1", "cancelled")
    audit.finish("i1", "cancelled", 0, "again")
    record(audit, "i2", 1)
    assert audit.lock_tier("small", "i2") == "i2"
    assert len(audit.log("i1")) == 2


def test_the_end_is_written_once(audit: Audit) -> None:
    """A resumed last step adds no second end and no second annotation."""
    record(audit)
    audit.finish("i1", "succeeded", 1, "done")
    audit.finish("i1", "succeeded", 1, "done")
    now = utc_now()
    found = audit.annotations(now - timedelta(minutes=1), now + timedelta(minutes=1))
    assert len(found) == 1
    assert (found[0].tier, found[0].source, found[0].link) == (
        "small",
        "heartwood",
        "audit?intent=i1",
    )


def test_filters(audit: Audit) -> None:
    """By tier, actor, state and time, newest first."""
    record(audit, "i1", actor="ada")
    record(audit, "i2", 1, actor="bob")
    audit.finish("i1", "refused", 0, "stale")
    assert [e.intent for e in audit.entries()] == ["i2", "i1"]
    assert [e.intent for e in audit.entries(actor="ada")] == ["i1"]
    assert [e.intent for e in audit.entries(state="refused")] == ["i1"]
    assert [e.intent for e in audit.entries(state="confirmed")] == ["i2"]
    assert audit.entries(tier="medium") == ()
    assert audit.entries(since=utc_now() + timedelta(minutes=1)) == ()
    assert [r.intent for r in audit.unfinished()] == ["i2"]


def test_a_refused_intent_is_no_annotation(audit: Audit) -> None:
    """Charts show what happened, not what was refused; a failure is marked as one."""
    record(audit, "i1")
    audit.finish("i1", "refused", 0, "stale")
    record(audit, "i2", 1)
    audit.finish("i2", "failed", 1, "broke")
    start = utc_now() - timedelta(minutes=1)
    found = audit.annotations(start, utc_now() + timedelta(minutes=1))
    assert [a.text.startswith("FAILED") for a in found] == [True]


def test_annotations_of_a_tier_include_those_of_all(audit: Audit) -> None:
    """Tier "" concerns all; another tier's do not show; the end is exclusive."""
    now = utc_now()
    for tier in ("small", "medium", ""):
        audit.annotate(Annotation(now, tier, f"of {tier}", "cloud"))
    end = now + timedelta(seconds=1)
    assert {a.tier for a in audit.annotations(now, end, "small")} == {"small", ""}
    assert len(audit.annotations(now, end)) == 3
    assert audit.annotations(now - timedelta(hours=1), now) == ()


def test_plans_are_kept_by_digest(audit: Audit) -> None:
    """A saved plan comes back; an unknown digest is None."""
    plan = make_small_plan()
    assert audit.saved_plan(audit.save_plan(plan, "ada")) == plan
    assert audit.saved_plan("nothing") is None


def test_durations_of_earlier_intents(audit: Audit) -> None:
    """Succeeded intents of one step tell how long their verb takes."""
    record(audit)
    audit.finish("i1", "succeeded", 1, "done")
    found = audit.durations_s("scale_tier")
    assert list(found) == ["gke.set_node_pool_size"]
    assert found["gke.set_node_pool_size"][0] >= 0


def test_tags_read_noun_verb_state() -> None:
    """scale_tier that succeeded reads tier:scale:applied."""
    assert tag("scale_tier", "succeeded") == "tier:scale:applied"
    assert tag("scale_tier", "refused") == "tier:scale:refused"


@pytest.mark.skipif(not POSTGRES, reason="HEARTWOOD_TEST_POSTGRES_URL is not set")
def test_postgres_works_alike() -> None:
    """The same round trip on PostgreSQL."""
    engine = open_store(POSTGRES)
    with engine.begin() as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(table.delete())
    audit = Audit(engine)
    assert record(audit)
    assert not record(audit)
    audit.finish("i1", "succeeded", 1, "done")
    assert audit.entries(state="succeeded")[0].intent == "i1"


def test_export_is_flat_and_harmless(audit: Audit) -> None:
    """A row per intent; unknown is empty; a reason like a formula is not run by a spreadsheet."""
    audit.record_intent(
        "i1", make_small_plan(), VERDICTS, (), actor="ada", origin="test", reason="=1+1",
        approvals=("ben",), overrides={"stale_data": "the API is down"},
    )  # fmt: skip
    entries = audit.entries()
    (row,) = csv.DictReader(io.StringIO(to_csv(entries)))
    assert (row["reason"], row["finished_at"], row["state"]) == ("'=1+1", "", "confirmed")
    assert (row["approvals"], row["overrides"]) == ("ben", "stale_data: the API is down")
    assert (row["usd_per_hour_before"], row["usd_per_hour_after"]) == ("3072.0", "3024.0")
    line = json.loads(to_json_lines(entries))
    assert (line["reason"], line["duration_s"]) == ("=1+1", None)
    assert to_csv(()) == ""
