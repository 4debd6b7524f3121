"""Applying plans: what is refused, what is done once, how a step ends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from control.access import Actor
from control.appliers import Appliers, Product, Report, TakenBack
from control.appliers.node_pools import ResizePool
from control.audit import utc_now
from core.errors import Blocked, Denied, Expired, Unavailable, Unconfirmed
from core.plans import Outcome, Request, Step, Verdict
from core.records import Source
from tests.control.console_parts import ACTOR, Parts, details, wait_for


def test_a_plan_is_applied_verified_and_recorded(parts: Parts) -> None:
    """One resize, its outcome verified, an annotation, and the sources are read again."""
    intent = parts.submit()
    assert parts.wait(intent, "succeeded", "failed", "refused") == "succeeded"
    assert parts.gke.resizes == [["hw-small-02", 15]]
    entry = parts.audit.entry(intent)
    assert entry is not None
    assert entry.outcome == "1 of 1 steps done and verified"
    assert entry.calls[0].startswith("gcloud container clusters resize hw-serving")
    assert "verified: hw-small-02 has 15 nodes" in details(parts, intent)
    now = utc_now()
    assert len(parts.audit.annotations(now - timedelta(minutes=1), now, "small")) == 1
    wait_for(lambda: Source.GKE in parts.refreshed)


def test_a_double_click_does_one_thing(parts: Parts) -> None:
    """The same intent submitted by many threads at once is applied once."""
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))

    def click(_: int) -> str:
        return parts.executor.submit(
            judged.plan, judged.verdicts, judged.consents_needed, ACTOR, intent="one"
        )

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(click, range(8))) == {"one"}
    parts.wait("one", "succeeded")
    assert len(parts.gke.resizes) == 1
    assert len(parts.audit.entries()) == 1


def test_a_stale_plan_is_refused(parts: Parts) -> None:
    """Somebody resized the pool after the plan was made: nothing is done, both values are told."""
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    parts.gke.set_size("hw-small-02", 20)
    intent = parts.executor.submit(judged.plan, judged.verdicts, judged.consents_needed, ACTOR)
    assert parts.wait(intent, "refused", "succeeded", "failed") == "refused"
    assert "Stale" in details(parts, intent)
    assert "was 16 and is 20" in details(parts, intent)
    assert parts.gke.resizes == []


def test_guards_are_judged_again(parts: Parts) -> None:
    """Passed when shown, blocked when applied: refused, with the guard named."""
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    assert all(v.outcome is not Outcome.BLOCK for v in judged.verdicts)
    parts.age(600)
    intent = parts.executor.submit(judged.plan, judged.verdicts, judged.consents_needed, ACTOR)
    assert parts.wait(intent, "refused", "succeeded", "failed") == "refused"
    assert "Blocked: stale_data" in details(parts, intent)
    assert parts.gke.resizes == []


def test_what_may_not_be_submitted_is_not_recorded(parts: Parts) -> None:
    """Blocked, unconfirmed, expired, or by somebody who may only look."""
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    submit = parts.executor.submit
    block = Verdict("x", Outcome.BLOCK, "no")
    with pytest.raises(Blocked):
        submit(judged.plan, (block,), (), ACTOR)
    with pytest.raises(Unconfirmed):
        submit(judged.plan, (replace(block, outcome=Outcome.CONSENT),), (), ACTOR)
    old = replace(judged.plan, expires_at=utc_now() - timedelta(seconds=1))
    with pytest.raises(Expired):
        submit(old, judged.verdicts, judged.consents_needed, ACTOR)
    with pytest.raises(Denied):
        submit(judged.plan, judged.verdicts, (), Actor("eve", "test", False, "read only"))
    assert parts.audit.entries() == ()


def test_a_failed_operation_is_a_failed_intent(parts: Parts) -> None:
    """GKE's reason is in the record, the chart marks it, and the tier is free again."""
    parts.gke.set("fail")
    intent = parts.submit()
    assert parts.wait(intent, "failed", "succeeded") == "failed"
    assert "no capacity left in the zone" in details(parts, intent)
    parts.gke.clear("fail")
    assert parts.wait(parts.submit(1), "succeeded", "refused") == "succeeded"


def test_of_two_at_the_same_instant_one_wins(parts: Parts) -> None:
    """What waits to be refused, since it has no lock, does not refuse the one that has it."""
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    shown = (judged.plan, judged.verdicts, judged.consents_needed)
    assert parts.audit.record_intent("other", *shown, actor="ada", origin="test", reason="")
    intent = parts.executor.submit(*shown, ACTOR)
    assert parts.wait(intent, "succeeded", "refused") == "succeeded"


def test_an_outage_while_waiting_is_no_failure(parts: Parts) -> None:
    """The operation goes on in Google's hands; we wait until it can be seen again."""
    parts.gke.set("hold")
    intent = parts.submit()
    wait_for(lambda: "started as" in details(parts, intent))
    parts.gke.set("outage")
    deadline = time.monotonic() + 120
    while "cannot be read just now" not in details(parts, intent):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parts.gke.clear("outage", "hold")
    assert parts.wait(intent, "succeeded", "failed") == "succeeded"
    assert len(parts.gke.resizes) == 1


def test_one_action_per_tier_at_a_time(parts: Parts) -> None:
    """While one runs, another on the tier is blocked in its plan and refused at the lock."""
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": 1}))
    parts.gke.set("hold")
    first = parts.submit()
    parts.wait(first, "running")
    again = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    blocked = {v.guard for v in again.verdicts if v.outcome is Outcome.BLOCK}
    assert "action_in_progress" in blocked
    second = parts.executor.submit(judged.plan, judged.verdicts, judged.consents_needed, ACTOR)
    assert parts.wait(second, "refused", "succeeded") == "refused"
    parts.gke.clear("hold")
    parts.wait(first, "succeeded")
    assert len(parts.gke.resizes) == 1


def test_a_fault_of_ours_is_a_failed_intent(parts: Parts) -> None:
    """An applier that breaks: the intent ends as failed, says so, and frees the tier."""

    class Broken:
        def start(self, step: Step) -> str:
            raise ZeroDivisionError(step.title)

        wait = verify = start

    observe = parts.executor._applying._appliers._facts
    broken = Product({"gke.set_node_pool_size": Broken()}, observe)  # type: ignore[dict-item]
    parts.executor._applying._appliers = Appliers([broken])
    intent = parts.submit()
    assert parts.wait(intent, "failed", "succeeded") == "failed"
    assert "ZeroDivisionError" in details(parts, intent)
    assert parts.audit.unfinished() == ()


def test_what_takes_itself_back_is_told_so(parts: Parts) -> None:
    """A step that found harm and undid the ones before it: the intent failed, nothing stays."""

    class Harmed:
        """Finds harm at once."""

        def start(self, step: Step) -> str:
            return "watching"

        def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
            raise TakenBack("latency was missed; so it was written back")

        def verify(self, step: Step, stop: threading.Event) -> str:
            raise AssertionError("it never comes so far")

    observe = parts.executor._applying._appliers._facts
    verbs = {"gke.set_node_pool_size": ResizePool(parts.gke), "canary.watch": Harmed()}
    parts.executor._applying._appliers = Appliers([Product(verbs, observe)])  # type: ignore[dict-item]
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    (resize,) = judged.plan.steps
    watch = replace(resize, verb="canary.watch", title="Watch", before={}, after={})
    plan = replace(judged.plan, steps=(resize, watch, replace(watch, title="Go on")))
    agreed = (*judged.consents_needed, "permission_missing")  # asked since it has several steps
    intent = parts.executor.submit(plan, judged.verdicts, agreed, ACTOR)
    assert parts.wait(intent, "failed", "succeeded", "refused") == "failed"
    entry = parts.audit.entry(intent)
    assert entry is not None
    assert "written back; 1 of 3 steps were done, nothing of it stays" in entry.outcome


def test_a_resize_that_runs_already_is_waited_for(parts: Parts) -> None:
    """Resumed while GKE still works on it: that operation is followed, whatever size it shows."""
    step = parts.planning.plan(Request("scale_tier", "small", {"delta": -1})).plan.steps[0]
    applier = ResizePool(parts.gke)
    parts.gke.set("moving")
    assert applier.start(step).endswith("/operations/found")  # still shows the old size
    parts.gke.set_size("hw-small-02", 15)
    assert applier.start(step).endswith("/operations/found")  # shows the new one, far from done
    assert parts.gke.resizes == []


def test_a_lost_answer_is_no_failure_when_gke_has_begun(parts: Parts) -> None:
    """The operation is looked for; when it cannot be found the record says that nobody knows."""
    step = parts.planning.plan(Request("scale_tier", "small", {"delta": -1})).plan.steps[0]
    applier = ResizePool(parts.gke)
    parts.gke.set("lost")
    with pytest.raises(Unavailable, match="not known"):
        applier.start(step)
    parts.gke.set_size("hw-small-02", 16)
    found = parts.gke.find_resize
    parts.gke.find_resize = lambda pool: found(pool) or "op-7"  # type: ignore[method-assign]
    assert applier.start(step) == "op-7"
