"""Two persons and overrides: who may approve what, once, for how long, and what the audit keeps."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from control.access import Actor, Role
from control.approvals import APPROVED, DECLINED, EXPIRED, USED, WAITING, Approvals
from control.audit import utc_now
from control.audit_chain import verify
from control.planning import Judged
from core.errors import Blocked, Conflict, Denied, Expired, PlanError, Unconfirmed
from core.plans import Outcome, Request, Verdict
from tests.control.console_parts import Parts, details

ADA = Actor("ada", "test")
BEN = Actor("ben", "test", role=Role.APPROVER)
CLEO = Actor("cleo", "test", role=Role.ADMIN)
VIC = Actor("vic", "test", False, "", Role.VIEWER)


@pytest.fixture
def approvals(parts: Parts) -> Approvals:
    """Over the same database as the executor."""
    return Approvals(parts.audit.engine)


def large(parts: Parts) -> Judged:
    """A plan that takes away a large share of a production tier: a second person's matter."""
    limits = parts.settings.guards.model_copy(update={"large_change_ratio": 0.01})
    parts.planning._settings = parts.settings.model_copy(update={"guards": limits})  # pyright: ignore[reportPrivateUsage] - limits of its own
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    assert [v.guard for v in judged.verdicts if v.outcome is Outcome.APPROVAL] == [
        "alone_in_production"
    ]
    assert not [v for v in judged.verdicts if v.outcome is Outcome.BLOCK], judged.verdicts
    return judged


def apply(parts: Parts, judged: Judged, actor: Actor = ADA, intent: str = "") -> str:
    """Submit with all that a single person can agree to."""
    return parts.executor.submit(
        judged.plan, judged.verdicts, judged.consents_needed, actor, intent=intent
    )


def test_a_second_person_approves_and_the_first_applies(parts: Parts, approvals: Approvals) -> None:
    """Alone it is blocked; approved by another it is applied, once, and the record names both."""
    judged = large(parts)
    with pytest.raises(Blocked, match="alone_in_production"):
        apply(parts, judged)
    old = replace(judged.plan, expires_at=judged.plan.made_at)
    with pytest.raises(Expired):
        approvals.ask(old, judged.verdicts, ADA)
    asked = approvals.ask(judged.plan, judged.verdicts, ADA, "the night is quiet")
    assert (asked.state, asked.plan.digest) == (WAITING, judged.plan.digest)
    assert approvals.ask(judged.plan, judged.verdicts, ADA).id == asked.id
    with pytest.raises(Blocked):
        apply(parts, judged)
    given = approvals.decide(asked.id, BEN, approve=True, reason="agreed")
    assert (given.state, given.decided_by) == (APPROVED, "ben")
    intent = apply(parts, Judged(given.plan, judged.verdicts))
    assert parts.wait(intent, "succeeded", "refused", "failed") == "succeeded"
    entry = parts.audit.entry(intent)
    assert entry is not None
    assert (entry.actor, entry.approvals, entry.digest) == ("ada", ("ben",), judged.plan.digest)
    used = approvals.get(asked.id)
    assert (used.state, used.intent) == (USED, intent)
    with pytest.raises(Blocked):
        apply(parts, judged)  # a second use needs a second word
    assert verify(parts.audit.engine).broken == ""


def test_who_may_not_approve(parts: Parts, approvals: Approvals) -> None:
    """Not who asked, under whatever role; not an operator; not somebody whose sign-in has ended."""
    judged = large(parts)
    chief = replace(CLEO, name="Ada")
    asked = approvals.ask(judged.plan, judged.verdicts, ADA)
    with pytest.raises(Denied, match="second person"):
        approvals.decide(asked.id, chief, approve=True)
    with pytest.raises(Denied, match="Needs the role approver"):
        approvals.decide(asked.id, Actor("eve", "test"), approve=True)
    late = replace(BEN, expires_at=utc_now() - timedelta(seconds=1))
    with pytest.raises(Denied, match="expired"):
        approvals.decide(asked.id, late, approve=True)
    with pytest.raises(Denied):
        approvals.ask(judged.plan, judged.verdicts, VIC)
    assert approvals.get(asked.id).state == WAITING


def test_an_approver_cannot_apply_on_their_own_word(parts: Parts, approvals: Approvals) -> None:
    """Who approved is not a second person to themselves."""
    judged = large(parts)
    asked = approvals.ask(judged.plan, judged.verdicts, ADA)
    approvals.decide(asked.id, BEN, approve=True)
    with pytest.raises(Blocked):
        apply(parts, judged, BEN)


def test_a_decision_is_one(parts: Parts, approvals: Approvals) -> None:
    """Of many who decide at once one does; a declined plan is not applied."""
    judged = large(parts)
    asked = approvals.ask(judged.plan, judged.verdicts, ADA)

    def decide(n: int) -> bool:
        try:
            approvals.decide(asked.id, replace(BEN, name=f"ben{n}"), approve=False)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(decide, range(6))) == 1
    assert approvals.get(asked.id).state == DECLINED
    with pytest.raises(Blocked):
        apply(parts, judged)


def test_an_approval_ends(parts: Parts) -> None:
    """After its time it can be neither given nor used."""
    short = Approvals(parts.audit.engine, life_s=-1.0)
    judged = large(parts)
    asked = short.ask(judged.plan, judged.verdicts, ADA)
    assert asked.state == EXPIRED
    with pytest.raises(Expired):
        short.decide(asked.id, BEN, approve=True)
    assert short.given_for(judged.plan.digest, ADA) is None


def test_another_plan_needs_another_approval(parts: Parts, approvals: Approvals) -> None:
    """It is bound to the digest: one slice more is another plan."""
    judged = large(parts)
    approvals.decide(approvals.ask(judged.plan, judged.verdicts, ADA).id, BEN, approve=True)
    other = parts.planning.plan(Request("scale_tier", "small", {"delta": -2}))
    with pytest.raises(Blocked):
        apply(parts, other)


def test_a_plan_changed_in_the_database_is_not_approved(
    parts: Parts, approvals: Approvals, tmp_path: Path
) -> None:
    """The stored plan must still have the digest that was asked for."""
    judged = large(parts)
    asked = approvals.ask(judged.plan, judged.verdicts, ADA)
    with sqlite3.connect(tmp_path / "heartwood.db") as db:
        db.execute("UPDATE approval_events SET plan = replace(plan, 'Remove 1', 'Remove 9')")
    with pytest.raises(Conflict, match="not the one"):
        approvals.decide(asked.id, BEN, approve=True)
    assert "approval_events" in verify(parts.audit.engine).broken


def test_only_what_needs_a_second_person_is_asked_for(parts: Parts, approvals: Approvals) -> None:
    """A plan that one person may apply, and one that is blocked, are not asked for."""
    judged = large(parts)
    with pytest.raises(PlanError, match="needs no approval"):
        approvals.ask(judged.plan, (Verdict("a", Outcome.PASS, "fine"),), ADA)
    with pytest.raises(PlanError, match="cannot be approved"):
        approvals.ask(judged.plan, (*judged.verdicts, Verdict("a", Outcome.BLOCK, "no")), ADA)


def frozen(parts: Parts, guard: str = "freeze_window") -> Judged:
    """A plan for one slice that a guard blocks, now and again when it is applied."""
    judge = parts.planning.judge

    def blocking(*given: object, **named: object) -> tuple[Verdict, ...]:
        verdicts = judge(*given, **named)  # type: ignore[arg-type]
        return (*(v for v in verdicts if v.guard != guard), Verdict(guard, Outcome.BLOCK, "no"))

    parts.planning.judge = blocking  # type: ignore[method-assign]
    return parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))


def test_an_admin_overrides_a_block_with_a_reason(parts: Parts) -> None:
    """It is applied, and the record keeps which guard and why."""
    judged = frozen(parts)
    intent = parts.executor.submit(
        judged.plan, judged.verdicts, judged.consents_needed, CLEO,
        overrides={"freeze_window": "the building burns"},
    )  # fmt: skip
    assert parts.wait(intent, "succeeded", "refused", "failed") == "succeeded", details(
        parts, intent
    )
    entry = parts.audit.entry(intent)
    assert entry is not None
    assert entry.overrides == {"freeze_window": "the building burns"}


def test_what_may_not_be_overridden(parts: Parts) -> None:
    """Not without the role, not without a reason, and not what could not work anyway."""
    judged = frozen(parts)
    submit, ticks = parts.executor.submit, judged.consents_needed
    why = {"freeze_window": "because"}
    with pytest.raises(Denied, match="Needs the role admin"):
        submit(judged.plan, judged.verdicts, ticks, BEN, overrides=why)
    with pytest.raises(Unconfirmed, match="reason"):
        submit(judged.plan, judged.verdicts, ticks, CLEO, overrides={"freeze_window": " "})
    with pytest.raises(Blocked):
        submit(judged.plan, judged.verdicts, ticks, CLEO)
    other = frozen(parts, "action_in_progress")
    with pytest.raises(Blocked, match="action_in_progress"):
        submit(
            other.plan, other.verdicts, ticks, CLEO,
            overrides={**why, "action_in_progress": "because"},
        )  # fmt: skip
    assert parts.audit.entries() == ()
