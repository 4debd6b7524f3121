"""Several consoles on one database: whose an intent is, and when another one takes it over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from control.audit import Audit
from control.consoles import Consoles, console_id
from control.store import open_store
from core.actions import PlanContext, make_plan
from core.plans import Request
from tests.make import NOW, make_snapshot


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """A record of its own."""
    return Audit(open_store(f"sqlite:///{tmp_path / 'shared.db'}"))


def record(audit: Audit, intent: str, owner: Consoles | None) -> None:
    """An intent, of that console or of nobody."""
    request = Request("scale_tier", "small", {"delta": -1})
    plan = make_plan(make_snapshot(), request, NOW, PlanContext("p"))
    claim = None if owner is None else lambda db: owner.claim(db, intent)
    assert audit.record_intent(
        intent, plan, (), (), actor="ada", origin="test", reason="", also=claim
    )


def test_an_intent_is_its_consoles_until_that_is_gone(audit: Audit) -> None:
    """While it beats nobody else takes it; then one does, and it is not given back."""
    first, second = Consoles(audit.engine, "first"), Consoles(audit.engine, "second")
    first.beat()
    record(audit, "a", first)
    assert first.take(("a",)) == ("a",)
    assert second.take(("a",)) == ()
    late = Consoles(audit.engine, "second", dead_s=-1.0)  # as if the beat were long ago
    late.beat()
    assert late.take(("a",)) == ("a",)
    assert first.take(("a",)) == ()


def test_what_nobody_claimed_is_taken_by_one(audit: Audit) -> None:
    """Intents from before there were owners, wanted by many at the same moment."""
    record(audit, "old", None)
    every = [Consoles(audit.engine, f"console {n}") for n in range(6)]
    for console in every:
        console.beat()
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda c: c.take(("old",)), every))
    assert sorted(taken) == [()] * 5 + [("old",)]


def test_a_console_keeps_its_id(tmp_path: Path) -> None:
    """As long as its data directory is there."""
    assert console_id(tmp_path / "new") == console_id(tmp_path / "new")
    assert console_id(tmp_path / "other") != console_id(tmp_path / "new")
