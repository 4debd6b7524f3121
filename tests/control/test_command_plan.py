"""The command line's plans: how parameters are read, and what a plan's text tells."""

from __future__ import annotations

import pytest

from control.command_plan import FORMATS, parameters_of, plan_lines
from control.planning import Judged
from core.actions import PlanContext, make_plan
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
