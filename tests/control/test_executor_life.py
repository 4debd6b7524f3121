"""An executor's life: starting, taking over, cancelling, resuming what was killed."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from control.access import Actor
from control.audit import utc_now
from core.errors import Conflict, Denied, Unavailable
from core.plans import Plan, Request
from tests.control.conftest import Spawn
from tests.control.console_parts import ACTOR, Parts, details, wait_for


def test_cancelling_after_the_first_change_is_too_late(parts: Parts) -> None:
    """Once started it is not cancelled; an unknown or ended intent neither."""
    parts.gke.set("hold")
    intent = parts.submit()
    parts.wait(intent, "running")
    assert not parts.executor.interventions.cancel(intent, ACTOR)
    parts.gke.clear("hold")
    parts.wait(intent, "succeeded")
    assert not parts.executor.interventions.cancel(intent, ACTOR)
    assert not parts.executor.interventions.cancel("nothing", ACTOR)


def test_cancelled_before_the_first_change_nothing_is_done(tmp_path: Path) -> None:
    """Recorded while no executor runs, cancelled, then started: nothing happens to GKE."""
    parts = Parts(tmp_path)
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    parts.audit.record_intent(
        "c1", judged.plan, judged.verdicts, (), actor="ada", origin="test", reason=""
    )
    with pytest.raises(Denied):
        parts.executor.interventions.cancel("c1", Actor("eve", "test", False, "read only"))
    assert parts.executor.interventions.cancel("c1", ACTOR)
    parts.executor.start()
    parts.executor.stop()
    assert parts.wait("c1", "cancelled") == "cancelled"
    assert "cancelled by ada" in details(parts, "c1")
    assert parts.gke.resizes == []


def test_an_intent_that_cannot_be_started_has_failed(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person gets an error of ours, the record says so, and the tier is free at once."""

    def broken(*_: object) -> None:
        raise RuntimeError("database is locked")

    with monkeypatch.context() as planted:
        planted.setattr(parts.executor, "_launch", broken)
        with pytest.raises(Unavailable, match="nothing changed"):
            parts.submit(intent="x1")
    assert parts.wait("x1", "failed") == "failed"
    assert parts.audit.unfinished() == ()
    plan = parts.audit.plan_of("x1")
    parts.executor._launch("x1", plan)  # as the engine does for what it had written down already
    time.sleep(0.5)
    assert parts.gke.resizes == []
    assert parts.wait(parts.submit(), "succeeded") == "succeeded"


def test_a_start_that_fails_leaves_nothing_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the directory's lock nor the process's one place: the next start succeeds."""
    parts = Parts(tmp_path)

    def broken() -> None:
        raise RuntimeError("database is locked")

    with monkeypatch.context() as planted:
        planted.setattr(parts.executor, "_open_engine", broken)
        with pytest.raises(RuntimeError, match="locked"):
            parts.executor.start()
    parts.executor.start()
    assert parts.wait(parts.submit(), "succeeded") == "succeeded"
    parts.executor.stop()


def test_what_expired_while_it_was_interrupted_is_refused(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prepared in time, killed, resumed an hour later: the checks of then count no more."""
    real = parts.executor._applying._prepare

    def prepare_then_sleep(intent: str) -> str:
        answer = real(intent)
        later = utc_now() + timedelta(hours=1)
        monkeypatch.setattr("control.applying.utc_now", lambda: later)
        return answer

    monkeypatch.setattr(parts.executor._applying, "_prepare", prepare_then_sleep)
    intent = parts.submit()
    assert parts.wait(intent, "refused", "succeeded", "failed") == "refused"
    assert "Expired" in details(parts, intent)
    assert parts.gke.resizes == []


def test_a_second_console_on_the_directory_only_looks(parts: Parts, tmp_path: Path) -> None:
    """It starts, sees the record, and refuses to apply with the reason."""
    second = Parts(tmp_path)
    second.executor.start()
    with pytest.raises(Conflict, match=rf"another one .*\(process {os.getpid()} on .* UTC\)"):
        second.submit()
    assert parts.executor.why_not() == ""
    assert parts.wait(parts.submit(), "succeeded") == "succeeded"
    assert len(second.audit.entries()) == 1
    second.executor.stop()
    assert parts.wait(parts.submit(1), "succeeded") == "succeeded"


def test_it_takes_over_when_the_other_console_stops(tmp_path: Path) -> None:
    """The lock is tried again by itself, and what the other one left is resumed here."""
    first, second = Parts(tmp_path), Parts(tmp_path)
    first.executor.start()
    second.executor.start()
    first.gke.set("hold")
    intent = first.submit()
    wait_for(lambda: "started as" in details(first, intent))
    assert "takes over by itself" in second.executor.why_not()
    first.executor.stop()
    wait_for(lambda: second.executor.why_not() == "")
    second.gke.clear("hold")
    assert second.wait(intent, "succeeded", "failed") == "succeeded"
    assert len(second.gke.resizes) == 1
    second.executor.stop()


def test_what_is_under_way_is_not_launched_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workflow engine resumes its own; only what never began is launched at the start."""
    parts = Parts(tmp_path)
    parts.gke.set("hold")
    parts.executor.start()
    intent = parts.submit()
    wait_for(lambda: "started as" in details(parts, intent))
    parts.executor.stop()
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": 1}))
    parts.audit.record_intent(
        "never-begun", judged.plan, judged.verdicts, (), actor="ada", origin="test", reason=""
    )
    launched: list[str] = []
    real = parts.executor._launch

    def launch(which: str, plan: Plan) -> None:
        launched.append(which)
        real(which, plan)

    monkeypatch.setattr(parts.executor, "_launch", launch)
    parts.gke.clear("hold")
    parts.executor.start()
    assert parts.wait(intent, "succeeded", "failed") == "succeeded"
    parts.wait("never-begun", "succeeded", "failed", "refused")
    parts.executor.stop()
    assert launched == ["never-begun"]


def test_stopped_between_steps_the_rest_is_left_out(parts: Parts) -> None:
    """The step that has begun is finished, the others stay undone; asked twice is once."""
    parts.gke.set("hold")
    intent = parts.submit(-3)
    wait_for(lambda: "started as" in details(parts, intent))
    assert parts.executor.interventions.cancel(intent, ACTOR)
    assert parts.executor.interventions.cancel(intent, ACTOR)
    parts.gke.clear("hold")
    assert parts.wait(intent, "cancelled", "succeeded", "failed") == "cancelled"
    assert parts.executor.interventions.cancel(intent, ACTOR)
    assert len(parts.gke.resizes) == 1
    text = details(parts, intent)
    assert text.count("ada asked to stop") == 1
    assert "stopped by ada: 1 of 3 steps were done and stay" in text
    now = utc_now()
    (note,) = parts.audit.annotations(now - timedelta(minutes=1), now, "small")
    assert note.text.startswith("STOPPED: ")
    assert parts.wait(parts.submit(1), "succeeded") == "succeeded"


def test_two_cancels_before_the_first_change_are_one(tmp_path: Path) -> None:
    """The second one finds it cancelled, and the record has it once."""
    parts = Parts(tmp_path)
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    parts.audit.record_intent(
        "c2", judged.plan, judged.verdicts, (), actor="ada", origin="test", reason=""
    )
    assert [parts.executor.interventions.cancel("c2", ACTOR) for _ in range(2)] == [True, True]
    assert details(parts, "c2").count("cancelled by ada") == 1


@pytest.mark.parametrize(
    ("flag", "seen"), [("hold", "started as"), ("hang", "begins")], ids=["waiting", "starting"]
)
def test_killed_inside_a_step_it_resumes(
    tmp_path: Path, spawn: Spawn, flag: str, seen: str
) -> None:
    """kill −9 while it waits, or after GKE acted but before we knew: one resize, then success."""
    parts = Parts(tmp_path)
    parts.gke.set(flag)
    child = spawn("submit", "k1")
    wait_for(lambda: bool(parts.gke.resizes) and seen in details(parts, "k1"))
    child.send_signal(signal.SIGKILL)
    child.wait()
    progress = parts.audit.progress("k1")
    assert progress is not None
    assert progress.state == "running"
    parts.gke.clear(flag)
    assert spawn().wait(timeout=240) == 0
    entry = parts.audit.entry("k1")
    assert entry is not None
    assert entry.state == "succeeded"
    assert parts.gke.resizes == [["hw-small-02", 15]]


def test_stopped_politely_it_resumes_too(tmp_path: Path, spawn: Spawn) -> None:
    """A stop in the middle leaves the intent running in the record; the next start ends it."""
    parts = Parts(tmp_path)
    parts.gke.set("hold")
    parts.executor.start()
    intent = parts.submit()
    wait_for(lambda: "started as" in details(parts, intent))
    parts.executor.stop()
    progress = parts.audit.progress(intent)
    assert progress is not None
    assert progress.state == "running"
    parts.gke.clear("hold")
    assert spawn().wait(timeout=240) == 0
    entry = parts.audit.entry(intent)
    assert entry is not None
    assert entry.state == "succeeded"
    assert len(parts.gke.resizes) == 1


def test_a_plan_for_what_all_share_waits_for_every_tier(parts: Parts) -> None:
    """While any tier is being changed it is refused, and leaves nothing locked behind."""
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    shared = replace(judged.plan, request=replace(judged.plan.request, tier="platform"))
    parts.gke.set("hold")
    first = parts.submit()
    parts.wait(first, "running")
    intent = parts.executor.submit(shared, judged.verdicts, judged.consents_needed, ACTOR)
    assert parts.wait(intent, "refused", "failed", "succeeded") == "refused"
    assert f"another action on small is in progress ({first})" in details(parts, intent)
    parts.gke.clear("hold")
    parts.wait(first, "succeeded")
    assert parts.wait(parts.submit(1), "succeeded", "refused") == "succeeded"


def test_paused_it_begins_no_further_step_until_it_may_go_on(parts: Parts) -> None:
    """The begun step ends, a restart changes nothing, somebody else may resume; twice is once."""
    parts.gke.set("hold")
    intent, people = parts.submit(-3), parts.executor.interventions
    wait_for(lambda: "started as" in details(parts, intent))
    with pytest.raises(Denied):
        people.pause(intent, Actor("eve", "test", False, "read only"))
    assert [people.pause(intent, ACTOR) for _ in range(2)] == [True, True]
    parts.gke.clear("hold")
    wait_for(lambda: "verified: " in details(parts, intent))
    parts.executor.stop()
    parts.executor.start()
    assert parts.wait(intent, "paused") == "paused"
    assert parts.audit.lock_tier("small", "another") == intent
    assert len(parts.gke.resizes) == 1
    assert [people.resume(intent, Actor("bob", "test")) for _ in range(2)] == [True, True]
    assert parts.wait(intent, "succeeded", "failed") == "succeeded"
    assert len(parts.gke.resizes) == 3
    assert not people.pause(intent, ACTOR)
    assert not people.resume(intent, ACTOR)
    text = details(parts, intent)
    assert (text.count("paused by ada"), text.count("bob let it go on")) == (1, 1)


def test_a_paused_intent_can_be_stopped(parts: Parts) -> None:
    """What has not begun is left out; nobody has to resume it first."""
    parts.gke.set("hold")
    intent, people = parts.submit(-3), parts.executor.interventions
    wait_for(lambda: "started as" in details(parts, intent))
    assert people.pause(intent, ACTOR)
    parts.gke.clear("hold")
    assert people.cancel(intent, ACTOR)
    assert parts.wait(intent, "cancelled", "succeeded", "failed") == "cancelled"
    assert len(parts.gke.resizes) == 1
