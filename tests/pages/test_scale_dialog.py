"""The scale dialog: it shows everything first, applies once, and "no" does nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from streamlit.testing.v1 import AppTest

from core.records import Source
from tests import make
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole


def opened(open_page: Open, way: str = "Remove") -> AppTest:
    """The dialog with a plan for one slice."""
    at = open_page("fleet")
    at.button(key="scale_small").click().run()
    at.segmented_control(key="plan_way").set_value(way).run()
    assert not at.exception
    return at


def agree(at: AppTest) -> None:
    """Tick every danger."""
    for box in [c for c in at.checkbox if c.key and c.key.startswith("tick_")]:
        at.checkbox(key=box.key).check()
    at.run()


def test_the_dialog_shows_the_plan_with_all_verdicts(open_page: Open) -> None:
    """What changes, dollars before and after, who it affects, every guard's word, the command."""
    text = all_text(opened(open_page))
    assert "Remove 1 host-slice of Small\\: 48 → 47" in text
    assert "3,072.00 → \\$3,024.00 per hour" in text
    assert "per day" in text
    assert "−\\$1,152.00" in text
    for guard in ("Stale data", "Legal size", "Capacity left", "Over budget", "Price known"):
        assert guard in text
    assert "gcloud container clusters resize hw-serving" in text
    assert "p95 demand of the last hour" in text


def test_apply_is_disabled_until_every_danger_is_ticked(
    console: FakeConsole, open_page: Open
) -> None:
    """With a consent open, Apply is disabled and the reason stands beside it."""
    at = opened(open_page, "Add")
    assert at.button(key="plan_apply").disabled, "more than configured must ask for consent"
    assert "above first" in all_text(at)
    agree(at)
    assert not at.button(key="plan_apply").disabled
    assert console.submitted == []


def test_two_clicks_are_one_intent(console: FakeConsole, open_page: Open) -> None:
    """Applying records one intent with its reason, however often the click comes through."""
    at = opened(open_page)
    agree(at)
    at.text_input(key="plan_reason").set_value("night load")
    at.button(key="plan_apply").click().run()
    at.run()
    entries = console.audit.entries()
    assert len(console.submitted) == 1
    assert len(entries) == 1
    assert entries[0].reason == "night load"
    assert entries[0].actor == "ada"
    assert "confirmed" in all_text(at)


def test_an_action_in_progress_is_stopped_after_a_second_question(
    console: FakeConsole, open_page: Open
) -> None:
    """The dialog and the Audit page offer it; only the second click stops it."""
    at = opened(open_page)
    agree(at)
    at.button(key="plan_apply").click().run()
    (intent,) = console.submitted
    assert console.cancelled == []
    audit = open_page("audit", intent=intent)
    assert [b.label for b in audit.button if b.key == f"stop_yes_{intent}"] == ["Yes, stop it"]
    audit.button(key=f"stop_yes_{intent}").click().run()
    assert not audit.exception
    assert console.cancelled == [intent]
    assert console.audit.entries()[0].state == "cancelled"
    again = open_page("audit", intent=intent)
    assert not [b for b in again.button if b.key == f"stop_yes_{intent}"]


def test_an_action_in_progress_is_paused_and_goes_on(console: FakeConsole, open_page: Open) -> None:
    """One click each; the state is told, and the record has both."""
    at = opened(open_page)
    agree(at)
    at.button(key="plan_apply").click().run()
    (intent,) = console.submitted
    key = f"pause_{intent}"
    audit = open_page("audit", intent=intent)
    assert audit.button(key=key).label == "Pause"
    audit.button(key=key).click().run()
    assert not audit.exception
    assert "no further step begins" in all_text(audit)
    assert audit.button(key=key).label == "Go on"
    assert [e.state for e in console.audit.entries(state="paused")] == ["paused"]
    audit.button(key=key).click().run()
    assert audit.button(key=key).label == "Pause"
    assert [p.state for p in console.audit.log(intent)] == ["confirmed", "paused", "confirmed"]


def test_who_applies_plans_is_said_when_it_is_not_this_console(
    console: FakeConsole, open_page: Open
) -> None:
    """Apply is disabled, with the other process named beside it."""
    console.not_applying = "another one on this data directory does (process 77 on box)"
    at = opened(open_page)
    assert at.button(key="plan_apply").disabled
    assert "process 77 on box" in all_text(at)


def test_cancel_does_nothing(console: FakeConsole, open_page: Open) -> None:
    """The way out leaves no trace: no intent, no dialog."""
    at = opened(open_page)
    at.button(key="plan_cancel").click().run()
    assert console.submitted == []
    assert console.audit.entries() == ()
    assert not [b for b in at.button if b.key == "plan_apply"]


def test_leaving_the_page_leaves_the_dialog(console: FakeConsole, open_page: Open) -> None:
    """By a link or the browser's Back: no dialog holds refreshing up, none waits for a return."""
    at = opened(open_page)
    del at.query_params["do"]
    at.run()
    assert "dialog" not in at.session_state
    assert not [b for b in at.button if b.key == "plan_apply"]
    at = opened(open_page)
    agree(at)
    at.button(key="plan_apply").click().run()
    del at.query_params["do"]
    at.switch_page("pages/audit.py").run()
    assert "dialog" not in at.session_state
    at.switch_page("pages/fleet.py").run()
    assert not at.exception
    assert not [b for b in at.button if b.key == "plan_close"]
    assert len(console.submitted) == 1


def test_a_blocked_plan_cannot_be_applied(console: FakeConsole, open_page: Open) -> None:
    """Data too old to plan on blocks, with the reason in words."""
    console.planted = make.make_failure(console.planted, Source.GKE, for_s=900)
    at = opened(open_page)
    assert at.button(key="plan_apply").disabled
    assert "Blocked" in all_text(at)


def test_a_reader_may_only_look(console: FakeConsole, open_page: Open) -> None:
    """In read-only mode the button is disabled and says why."""
    console.may_act = False
    at = open_page("fleet")
    button = at.button(key="scale_small")
    assert button.disabled
    assert "read-only" in (button.help or "")


def test_without_node_pools_the_reason_is_said(console: FakeConsole, open_page: Open) -> None:
    """What cannot be planned is explained, and nothing can be applied."""
    console.planted = make.make_snapshot("unread", datetime.now(UTC))
    at = open_page("fleet")
    buttons = [b for b in at.button if b.key == "scale_small"]
    assert buttons
    buttons[0].click().run()
    assert not at.exception
    assert "have not been read yet" in all_text(at)
    assert at.button(key="plan_apply").disabled
