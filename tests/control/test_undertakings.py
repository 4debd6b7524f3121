"""What the record tells of an action that is to be taken back."""

from __future__ import annotations

from pathlib import Path

from control.command_plan import parameters_of
from control.undertakings import undertaking
from core.plans import Plan, Request
from tests.control.console_parts import Parts


def begin(parts: Parts, intent: str, plan: Plan) -> None:
    """Record that its first step began, and that it then failed."""
    parts.audit.record_intent(intent, plan, (), (), actor="ada", origin="test", reason="")
    parts.audit.record(intent, "running", 1, f"{plan.steps[0].title}: begins")
    parts.audit.finish(intent, "failed", 1, "no")


def test_what_began_and_what_was_changed_since(tmp_path: Path) -> None:
    """Steps that began count, whatever came of them; later changes of the same are named, but not
    those that take this very action back."""
    parts = Parts(tmp_path)
    assert undertaking(parts.audit, "first") is None
    plan = parts.planning.plan(Request("scale_tier", "small", {"delta": -2})).plan
    begin(parts, "first", plan)
    found = undertaking(parts.audit, "first")
    assert found is not None
    assert (found.state, found.begun, dict(found.later)) == ("failed", (1,), {})
    name = plan.steps[0].resource
    parts.gke.set_size(name.rsplit("/", 1)[-1], int(str(plan.steps[0].after["node_count"])))
    back = parts.planning.plan(Request("take_back", "small", {"intent": "first"})).plan
    assert [step.resource for step in back.steps] == [name]
    begin(parts, "second", back)
    found = undertaking(parts.audit, "first")
    assert found is not None
    assert dict(found.later) == {}
    other = undertaking(parts.audit, "second")
    assert other is not None
    assert other.begun == (1,)
    begin(parts, "third", plan)
    found = undertaking(parts.audit, "first")
    assert found is not None
    assert dict(found.later) == {name: plan.title}


def test_an_intents_id_stays_a_text() -> None:
    """Also one that looks like a number."""
    assert parameters_of(["intent=123456", "slices=2"]) == {"intent": "123456", "slices": 2}
