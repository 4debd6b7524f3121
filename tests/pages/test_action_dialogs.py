"""Actions from a tier's menu: links, forms, consent in proportion, and reasons why not."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole


def tick_all(at: AppTest) -> None:
    """Agree to every danger."""
    for box in at.checkbox:
        if box.key and box.key.startswith("tick_"):
            at.checkbox(key=box.key).check()
    at.run()


def test_a_link_opens_the_dialog_and_closing_takes_it_away(open_page: Open) -> None:
    """The address names action and tier; "no" leaves neither a dialog nor a trace."""
    at = open_page("traffic", do="shift_traffic:small")
    assert [s.key for s in at.selectbox if s.key == "plan_place"]
    text = all_text(at)
    assert "Send 10% of hw-map llm any other to hw-medium" in text
    assert "requests/s" in text
    assert "url-maps import hw-map" in text
    at.button(key="plan_cancel").click().run()
    assert not [b for b in at.button if b.key == "plan_apply"]
    assert "do" not in at.query_params


def test_a_link_to_nothing_opens_nothing(open_page: Open) -> None:
    """An unknown action or tier in the address is no error."""
    for wrong in ("explode:small", "drain_tier:nobody"):
        at = open_page("cost", do=wrong)
        assert not [b for b in at.button if b.key == "plan_apply"]


def test_changing_the_form_makes_another_plan(open_page: Open) -> None:
    """The plan shown is always that of the values shown."""
    at = open_page("traffic", do="shift_traffic:small")
    at.number_input(key="plan_percent").set_value(35).run()
    assert "Send 35% of hw-map llm any other to hw-medium" in all_text(at)
    at.selectbox(key="plan_place").set_value("hw-map * any other").run()
    assert r"Send 35% of hw-map \* any other to hw-medium" in all_text(at)


@pytest.mark.parametrize("wrong", [-5, 0, 65, 99_999_999_999_999])
def test_a_wrong_number_gives_no_plan(open_page: Open, wrong: int) -> None:
    """It is told what is allowed, and the plan of the number before is there no more."""
    at = open_page("fleet", do="scale_tier:small")
    assert not at.button(key="plan_apply").disabled or at.checkbox
    at.number_input(key="plan_amount").set_value(wrong).run()
    text = all_text(at)
    assert "is not within 1 to 64" in text
    assert "Add 1 host" not in text
    assert at.button(key="plan_apply").disabled
    at.number_input(key="plan_amount").set_value(2).run()
    assert "is not within" not in all_text(at)


def test_red_asks_for_the_tiers_name(console: FakeConsole, open_page: Open) -> None:
    """Moving all users of a tier: Apply stays disabled until its name is typed exactly."""
    at = open_page("fleet")
    at.button(key="fail_over_small").click().run()
    tick_all(at)
    assert at.button(key="plan_apply").disabled
    assert "Type small above first" in all_text(at)
    (typed,) = [t for t in at.text_input if t.key and t.key.startswith("typed_")]
    typed.set_value("smal").run()
    assert at.button(key="plan_apply").disabled
    at.text_input(key=typed.key).set_value("small").run()
    assert not at.button(key="plan_apply").disabled
    at.button(key="plan_apply").click().run()
    assert len(console.submitted) == 1
    assert console.audit.entries()[0].action == "fail_over"


def test_a_drain_that_would_leave_paths_without_an_answer_is_blocked(open_page: Open) -> None:
    """Whatever is ticked or typed; the way out is named."""
    at = open_page("fleet")
    at.button(key="drain_small").click().run()
    text = all_text(at)
    assert "would have no healthy backend" in text
    assert "fail over" in text
    tick_all(at)
    assert at.button(key="plan_apply").disabled


def test_a_permission_that_lacks_is_named_where_apply_is_disabled(
    console: FakeConsole, open_page: Open
) -> None:
    """Beside the button, and with the guard that says so."""
    console.lacking = ("billing.budgets.update",)
    at = open_page("cost", do="change_budget:small")
    at.number_input(key="plan_amount_usd").set_value(2.5e6).run()
    assert at.button(key="plan_apply").disabled
    said = [m.value for m in at.markdown if "Blocked" in m.value]
    assert len(said) == 1
    assert "lacks billing.budgets.update" in said[0]


def test_a_budget_is_changed_from_the_cost_page(console: FakeConsole, open_page: Open) -> None:
    """The form starts with what is there; nothing can be applied before something differs."""
    at = open_page("cost")
    at.button(key="change_budget_small").click().run()
    assert at.number_input(key="plan_amount_usd").value == 2.3e6
    assert at.text_input(key="plan_thresholds").value == "50%, 90%, 100%"
    assert "Change the amount or the thresholds" in all_text(at)
    assert at.button(key="plan_apply").disabled
    at.number_input(key="plan_amount_usd").set_value(2.5e6).run()
    assert "stops no spending" in all_text(at)
    tick_all(at)
    at.button(key="plan_apply").click().run()
    assert console.audit.entries()[0].steps[0].after["amount_usd"] == 2.5e6


def test_menus_say_why_not(console: FakeConsole, open_page: Open) -> None:
    """What makes no sense on a tier, and what a reader may not do, is disabled with the reason."""
    at = open_page("fleet")
    assert at.button(key="restore_small").disabled
    assert at.button(key="restore_small").help == "Nothing is drained"
    assert "behind the load balancer" in (at.button(key="fail_over_dev").help or "")
    assert not at.button(key="shift_traffic_medium").disabled
    console.may_act = False
    at = open_page("traffic")
    assert at.button(key="shift_traffic_small").disabled
    assert "read-only" in (at.button(key="shift_traffic_small").help or "")


def test_a_target_becomes_slices_with_the_arithmetic(open_page: Open) -> None:
    """Dollars an hour or a p95 of latency: how it was counted, and the plan that follows."""
    at = open_page("cost", do="scale_tier:small")
    at.segmented_control(key="plan_way").set_value("To $/h").run()
    assert "Nothing to change" in all_text(at)
    at.number_input(key="plan_usd").set_value(2_900.0).run()
    text = all_text(at)
    assert "rounded down" in text
    assert "Remove 4 host-slices of Small" in text
    at.segmented_control(key="plan_way").set_value("To p95").run()
    at.number_input(key="plan_p95").set_value(100.0).run()
    assert "no faster than" in all_text(at)
    assert at.button(key="plan_apply").disabled
