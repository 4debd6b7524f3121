"""Plans from the dialog: the cancel window, saved under a link, as a file, made again; refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from streamlit.testing.v1 import AppTest

from control.plan_export import to_json, to_markdown
from core.alerts import Alert
from core.cloud_resources import PLATFORM
from core.plans import Request
from tests import make
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole
from tests.pages.test_action_dialogs import tick_all


def green(open_page: Open) -> AppTest:
    """The dialog with a plan that no guard has a word against."""
    at = open_page("cost", do="change_budget:small")
    at.number_input(key="plan_amount_usd").set_value(2.5e6).run()
    tick_all(at)
    return at


def keys(at: AppTest) -> set[str]:
    """Of all buttons."""
    return {b.key for b in at.button if b.key}


def test_a_click_can_be_taken_back_for_some_seconds(console: FakeConsole, open_page: Open) -> None:
    """Within the window nothing is applied; taken back nothing ever is; after it, once."""
    console.set_window(3600)
    at = green(open_page)
    at.button(key="plan_apply").click().run()
    assert "plan_apply" not in keys(at)
    at.run()
    assert console.submitted == []
    at.button(key="plan_undo").click().run()
    assert "plan_undo" not in keys(at)
    assert not at.button(key="plan_apply").disabled
    assert console.submitted == []
    console.set_window(0)
    at.button(key="plan_apply").click().run()
    at.run()
    assert len(console.submitted) == 1


def test_another_wish_within_the_window_applies_nothing(
    console: FakeConsole, open_page: Open
) -> None:
    """What was clicked was another plan; and a window that nobody watched to its end is void."""
    console.set_window(3600)
    at = green(open_page)
    at.button(key="plan_apply").click().run()
    at.number_input(key="plan_amount_usd").set_value(2.6e6).run()
    assert "plan_undo" not in keys(at)
    at.button(key="plan_apply").click().run()
    shown = at.session_state["shown_plan"]
    shown.applies_at -= timedelta(hours=2)
    at.run()
    assert "plan_apply" in keys(at)
    assert console.submitted == []


def test_a_saved_plan_opens_by_its_link_as_it_was(console: FakeConsole, open_page: Open) -> None:
    """In another session, with its own figures; made again, what differs is told."""
    at = green(open_page)
    at.button(key="plan_save").click().run()
    digest = "".join(at.query_params["plan"])
    assert f"do=change_budget:small&plan={digest}" in all_text(at)
    other = open_page("cost", do="change_budget:small", plan=digest)
    assert "2,500,000.00" in all_text(other)
    assert not other.number_input
    console.planted = replace(console.planted, budgets=())
    other.button(key="plan_again").click().run()
    assert other.error
    budgets = (replace(b, amount_usd=2.4e6) for b in make.make_budgets())
    console.planted = replace(console.planted, budgets=tuple(budgets))
    other.button(key="plan_again").click().run()
    assert "amount usd 2300000.0 → 2400000.0" in all_text(other)


def test_links_to_what_is_not_there_say_so(open_page: Open) -> None:
    """An unknown plan, action or tier in the address: a sentence, and the page goes on."""
    at = open_page("cost", do="change_budget:small", plan="0" * 64)
    assert "cannot be shown: no plan of that name" in all_text(at)
    assert at.number_input(key="plan_amount_usd")
    for wrong in ("explode:small", "drain_tier:nobody", "tear_down_all:small", "x"):
        at = open_page("fleet", do=wrong)
        assert "nothing was opened" in all_text(at)


def test_a_plan_as_a_file_holds_all_of_it(console: FakeConsole) -> None:
    """Markdown for people, JSON for scripts: digest, steps, cost, verdicts, commands."""
    judged = console.plan(Request("scale_tier", "small", {"delta": -1}))
    plan = judged.plan
    found = json.loads(to_json(judged))
    assert found["digest"] == plan.digest
    assert len(found["verdicts"]) == len(judged.verdicts)
    text = to_markdown(judged)
    for part in (plan.digest, plan.steps[0].command, "$3,072.00/h → $3,024.00/h", "`over_budget`"):
        assert part in text


def test_tiers_are_made_and_deleted_from_the_menus(open_page: Open) -> None:
    """Each where somebody would look for it; what cannot be made from here says why not."""
    at = open_page("fleet")
    assert {"provision_small", "tear_down_small", f"tear_down_all_{PLATFORM}"} <= keys(at)
    assert f"clean_up_orphans_{PLATFORM}" in keys(open_page("cost"))
    assert not any(key.endswith("_local") for key in keys(at))
    assert not at.button(key="tear_down_dev").disabled
    at.button(key=f"tear_down_all_{PLATFORM}").click().run()
    assert not at.exception
    assert "nothing" in all_text(at)  # the project of these tests is empty
    at = open_page("fleet", do="provision_tier:small")
    at.text_input(key="plan_host").set_value("not a host!").run()
    assert "is no host name" in all_text(at)
    assert (
        "of a reservation"
        not in open_page("fleet", do="provision_tier:dev").selectbox(key="plan_terms").options
    )
    at = open_page("fleet", do="provision_tier:medium")
    at.selectbox(key="plan_terms").set_value("of a reservation").run()
    assert "Tell the reservation's name" in all_text(at)
    assert at.button(key="plan_apply").disabled
    assert at.button(key="plan_apply").disabled


def test_an_alert_is_acknowledged_from_the_overview(console: FakeConsole, open_page: Open) -> None:
    """It stands there with its age and tier; its button opens the plan for that very alert."""
    assert "Open alerts" not in all_text(open_page("overview"))
    opened = console.planted.taken_at
    alerts = tuple(
        Alert(f"projects/p/alerts/{n}", f"Errors {n}", "", "CRITICAL", tier, {}, opened)
        for n, tier in ((1, "small"), (2, "small"), (3, ""))
    )
    console.planted = replace(console.planted, alerts=alerts)
    at = open_page("overview")
    assert "Errors 3" in all_text(at)
    at.button(key="ack_projects/p/alerts/2").click().run()
    assert not at.exception
    assert "Acknowledge Errors 2" in all_text(at)
    at = open_page("overview", do=f"acknowledge_incident:{PLATFORM}")
    assert "Acknowledge Errors 3" in all_text(at)


def test_forms_tell_a_wrong_wish_and_lose_nothing(open_page: Open) -> None:
    """A canary beyond its end, weights that are nowhere, thresholds that are no figures."""
    at = open_page("traffic", do="shift_traffic:small")
    at.checkbox(key="plan_canary").check().run()
    at.number_input(key="plan_canary_percent").set_value(50).run()
    assert "does not lie between" in all_text(at)
    assert at.number_input(key="plan_canary_percent").value == 50
    assert at.button(key="plan_apply").disabled
    at = open_page("playground")
    at.text_input(key="p_stop").set_value("a¦b¦c¦d¦e").run()
    assert "5 stop strings" in all_text(at)
    at = open_page("fleet", do="deploy_model:small")
    assert "where the weights are" in all_text(at)
    at.text_input(key="plan_weights").set_value("/local/folder").run()
    assert at.error
    assert at.text_input(key="plan_weights").value == "/local/folder"
    at = open_page("cost", do="change_budget:small")
    at.text_input(key="plan_thresholds").set_value("half").run()
    assert at.error
    assert at.text_input(key="plan_thresholds").value == "half"


def test_a_form_before_the_first_read_follows_when_it_is_done(
    console: FakeConsole, open_page: Open
) -> None:
    """A dialog that was opened too early says so, and offers what there is afterwards."""
    whole = console.planted
    console.planted = make.make_snapshot("unread", whole.taken_at)
    at = open_page("fleet", do="restart_slice:medium")
    assert "Not everything has been read yet" in all_text(at)
    console.planted = whole
    at.run()
    assert "Restart" in all_text(at)
    assert "this form follows" not in all_text(at)
