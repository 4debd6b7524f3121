"""Taking back what an action did: from its page, after stopping it, and by a link."""

from __future__ import annotations

from dataclasses import replace

from core.plans import Plan, Request
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole


def scaled(console: FakeConsole, *, begun: bool = True) -> str:
    """An intent that took a slice of small away, its step begun; the world as it left it."""
    judged = console.plan(Request("scale_tier", "small", {"delta": -1}))
    intent = console.submit(judged, judged.consents_needed, intent="abc")
    if begun:
        step = judged.plan.steps[0]
        console.audit.open_gate(intent, "started")
        console.audit.record(intent, "running", 1, f"{step.title}: begins", call=step.command)
        write(console, judged.plan)
    return intent


def write(console: FakeConsole, plan: Plan) -> None:
    """Have the world be as the plan's first step writes it."""
    name, nodes = plan.steps[0].resource.rsplit("/", 1)[-1], plan.steps[0].after["node_count"]
    pools = [
        replace(p, node_count=nodes) if p.name == name else p  # type: ignore[arg-type]
        for p in console.planted.node_pools or ()
    ]
    console.planted = replace(console.planted, node_pools=tuple(pools))


def test_an_action_that_ended_is_taken_back_by_a_plan(
    console: FakeConsole, open_page: Open
) -> None:
    """The button on its page shows a plan and does nothing; applying it is one intent more."""
    intent = scaled(console)
    console.audit.finish(intent, "cancelled", 1, "stopped by ada")
    at = open_page("audit", intent=intent)
    at.button(key=f"take_back_{intent}").click().run()
    assert not at.exception
    text = all_text(at)
    assert "Take back “Remove 1 host-slice of Small" in text
    assert "ended as cancelled; 1 of its steps had begun" in text
    assert console.submitted == [intent]
    for box in at.checkbox:
        if box.key and box.key.startswith("tick_"):
            at.checkbox(key=box.key).check()
    at.run()
    at.button(key="plan_apply").click().run()
    newest = console.audit.entries(action="take_back")[0]
    assert newest.steps[0].after == console.audit.plan_of(intent).steps[0].before
    linked = open_page("fleet", do="take_back:small")
    assert linked.selectbox(key="plan_intent").value == intent
    assert "Take back “Remove 1 host-slice of Small" in all_text(linked)


def test_stopping_in_order_to_take_back_shows_the_plan_when_it_has_stopped(
    console: FakeConsole, open_page: Open
) -> None:
    """First it stops, then the plan is shown once; a person still has to confirm it."""
    intent = scaled(console)
    at = open_page("audit", intent=intent)
    assert not [b for b in at.button if b.key == f"take_back_{intent}"]
    console.audit.record(intent, "running", 1, "verified")
    at.button(key=f"stop_back_{intent}").click().run()
    assert console.cancelled == [intent]
    console.audit.finish(intent, "cancelled", 1, "stopped by ada")
    at.run()
    assert not at.exception
    assert "Take back “Remove 1 host-slice of Small" in all_text(at)
    assert console.submitted == [intent]


def test_nothing_left_to_take_back_is_told_on_the_page(
    console: FakeConsole, open_page: Open
) -> None:
    """Where all is as it was before, the button shows no plan and says so."""
    planted = console.planted
    intent = scaled(console)
    console.audit.finish(intent, "failed", 1, "no")
    console.planted = planted
    at = open_page("audit", intent=intent)
    at.button(key=f"take_back_{intent}").click().run()
    assert not at.exception
    assert "nothing to take back" in all_text(at)
    assert not [b for b in at.button if b.key == "plan_apply"]


def test_what_cannot_be_taken_back_says_why(console: FakeConsole, open_page: Open) -> None:
    """Before the first change there is nothing; who may only look is told so."""
    intent = scaled(console, begun=False)
    console.audit.finish(intent, "cancelled", 0, "cancelled before the first change")
    at = open_page("audit", intent=intent)
    assert at.button(key=f"take_back_{intent}").disabled
    assert "before its first change" in at.button(key=f"take_back_{intent}").help
    text = all_text(open_page("fleet", do="take_back:small"))
    assert "None of the newest 20 actions on Small can be taken back" in text
    other = "tail"
    judged = console.plan(Request("scale_tier", "small", {"delta": -1}))
    console.submit(judged, judged.consents_needed, intent=other)
    console.audit.record(other, "running", 1, f"{judged.plan.steps[0].title}: begins")
    console.audit.finish(other, "failed", 1, "no")
    console.may_act = False
    at = open_page("audit", intent=other)
    assert at.button(key=f"take_back_{other}").disabled
    assert "read-only" in at.button(key=f"take_back_{other}").help
