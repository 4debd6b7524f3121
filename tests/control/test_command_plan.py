"""The command line's plans: how parameters are read, and what a plan's text tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.__main__ import main
from control.access import Actor
from control.approvals import APPROVED, DECLINED, WAITING, Approvals
from control.audit import utc_now
from control.command_plan import FORMATS, check_guards, overrides_of, parameters_of, plan_lines
from control.planning import Judged
from control.store import open_store
from core.actions import PlanContext, make_plan
from core.errors import Invalid
from core.plans import Outcome, Request, Verdict
from tests.make import NOW, make_snapshot


def test_parameters_are_what_they_look_like() -> None:
    """Whole numbers, numbers, truth, words; a word without = is refused by name."""
    found = parameters_of(["slices=2", "usd=1.5", "force=true", "host=a.example.com", "x=1=2"])
    assert found == {
        "slices": 2, "usd": 1.5, "force": True, "host": "a.example.com", "x": "1=2"
    }  # fmt: skip
    with pytest.raises(ValueError, match="'slices' is not"):
        parameters_of(["slices"])


def test_a_plan_is_told_whole() -> None:
    """Steps, cost, verdicts with what lifts them, commands, permissions and the digest."""
    request = Request("scale_tier", "small", {"delta": -1})
    plan = make_plan(make_snapshot(), request, NOW, PlanContext("demo"))
    verdict = Verdict("capacity_left", Outcome.BLOCK, "too little", "add slices")
    text = "\n".join(plan_lines(Judged(plan, (verdict,)), make_snapshot()))
    for part in (plan.title, plan.digest, plan.steps[0].command, "STOP capacity_left: too little",
                 "Lifted by: add slices", "container.clusters.update", "$3,072.00/h",
                 "Per million tokens at the load of now: $"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(("name", "word"), [
    ("text", "Digest: "), ("json", '"digest":'), ("markdown", "## Guards"),
    ("terraform", "set node_count to"),
])  # fmt: skip
def test_a_plan_is_told_in_every_format(name: str, word: str) -> None:
    """As `--format` names them."""
    plan = make_plan(
        make_snapshot(), Request("scale_tier", "small", {"delta": -1}), NOW, PlanContext("demo")
    )
    assert word in FORMATS[name](Judged(plan, ()), make_snapshot())


def test_an_override_needs_its_reason() -> None:
    """The guard and why, both; nothing is overridden by half a word."""
    assert overrides_of(["not_drained=nobody calls it = sure"]) == {
        "not_drained": "nobody calls it = sure"
    }
    for word in ("not_drained", "not_drained= "):
        with pytest.raises(Invalid, match="GUARD=REASON"):
            overrides_of([word])


def test_a_guard_that_there_is_not_is_refused() -> None:
    """Misspelt, nobody would read it; those that there are are named."""
    snapshot = make_snapshot()
    request = Request("scale_tier", "small", {"delta": 1})
    plan = make_plan(snapshot, request, utc_now(), PlanContext("demo"))
    judged = Judged(plan, (Verdict("over_budget", Outcome.CONSENT, "soon"),))
    check_guards(judged, ("over_budget",))
    with pytest.raises(Invalid, match="no guard 'over_bugdet'"):
        check_guards(judged, ("over_bugdet", "over_budget"))


def test_a_second_person_decides_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listed with who asked; neither who asked nor who lacks the role may; once for all."""
    monkeypatch.setenv("HEARTWOOD_DATA_DIR", str(tmp_path))
    approvals = Approvals(open_store(f"sqlite:///{tmp_path}/heartwood.db"))
    needs = Verdict("over_ceiling", Outcome.APPROVAL, "much", "a second person")
    made = [
        make_plan(make_snapshot(), Request("scale_tier", "small", {"delta": d}), utc_now(),
                  PlanContext("demo"))
        for d in (1, 2)
    ]  # fmt: skip
    asker = Actor("ben", "test")
    first, second = (approvals.ask(plan, (needs,), asker, "more users").id for plan in made)
    assert main(["approvals", "list", "--open"]) == 0
    told = capsys.readouterr().out
    assert f"{first}  waiting, until" in told
    assert "asked by ben: more users" in told
    for person, why in (("ben", "a second person"), ("vic", "Needs the role approver")):
        assert main(["approvals", "approve", first[:8], "--as", person]) == 1
        assert why in capsys.readouterr().err
    assert main(["approvals", "approve", first, "--as", "nobody"]) == 1
    assert "There is no local user 'nobody'" in capsys.readouterr().err
    assert approvals.get(first).state == WAITING
    assert main(["approvals", "approve", first[:8], "--as", "cleo", "--reason", "agreed"]) == 0
    assert main(["approvals", "decline", second, "--as", "cleo"]) == 0
    found = approvals.get(first)
    assert (found.state, found.decided_by, found.decided_reason) == (APPROVED, "cleo", "agreed")
    assert approvals.get(second).state == DECLINED
