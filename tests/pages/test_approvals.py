"""Two persons and one plan: asked in the dialog, approved on the Audit page, applied from there."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from control.access import Actor, Role
from control.people import People
from control.settings import load_settings
from core.records import Source
from tests import make
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole

ADA = Actor("ada", "console")
BEN = Actor("ben", "console", role=Role.APPROVER)
CLEO = Actor("cleo", "console", role=Role.ADMIN)
VIC = Actor("vic", "console", False, "Needs the role operator; vic is viewer.", Role.VIEWER)


@pytest.fixture
def strict(console: FakeConsole) -> FakeConsole:
    """A console in which taking one slice of production needs a second person."""
    limits = console.settings.guards.model_copy(update={"large_change_ratio": 0.01})
    console.planning._settings = console.settings.model_copy(  # pyright: ignore[reportPrivateUsage]
        update={"guards": limits}
    )
    return console


def dialog(open_page: Open) -> AppTest:
    """The dialog with the plan to take one slice of small."""
    at = open_page("fleet")
    at.button(key="scale_small").click().run()
    at.segmented_control(key="plan_way").set_value("Remove").run()
    assert not at.exception
    return at


def tick_all(at: AppTest) -> None:
    """Agree to every danger that asks."""
    for box in [c for c in at.checkbox if c.key and c.key.startswith("tick_")]:
        at.checkbox(key=box.key or "").check()
    at.run()


def key_of(at: AppTest, start: str) -> str:
    """Key of the button that begins like this."""
    return next(b.key for b in at.button if b.key and b.key.startswith(start))


def test_one_asks_another_approves_the_first_applies(strict: FakeConsole, open_page: Open) -> None:
    """Each in a session of their own; nobody alone; the record names both."""
    strict.person = ADA
    at = dialog(open_page)
    tick_all(at)
    assert at.button(key="plan_apply").disabled
    at.button(key=key_of(at, "ask_")).click().run()
    assert "waiting" in all_text(at)
    mine = open_page("audit")
    assert mine.button(key=key_of(mine, "approve_")).disabled
    assert "a second person approves" in all_text(mine)
    strict.person = VIC
    guest = open_page("audit")
    assert guest.button(key=key_of(guest, "approve_")).disabled
    strict.person = BEN
    theirs = open_page("audit")
    assert "Remove 1 host-slice of Small" in all_text(theirs)
    theirs.button(key=key_of(theirs, "approve_")).click().run()
    assert not theirs.exception
    assert theirs.button(key=key_of(theirs, "apply_")).disabled  # not on their own word
    strict.person = ADA
    last = open_page("audit")
    last.button(key=key_of(last, "apply_")).click().run()
    tick_all(last)
    last.button(key="plan_apply").click().run()
    (entry,) = strict.audit.entries()
    assert (entry.actor, entry.approvals) == ("ada", ("ben",))


def test_what_was_declined_may_be_asked_for_again(strict: FakeConsole, open_page: Open) -> None:
    """The word and who said it stand there, and the way to ask anew beside it."""
    strict.person = ADA
    at = dialog(open_page)
    at.button(key=key_of(at, "ask_")).click().run()
    (request,) = strict.approvals.recent()
    strict.approvals.decide(request.id, BEN, approve=False, reason="not before noon")
    again = dialog(open_page)
    assert "not before noon" in all_text(again)
    again.button(key=key_of(again, "ask_")).click().run()
    assert not again.exception
    assert [a.state for a in strict.approvals.recent()] == ["waiting", "declined"]


def test_an_admin_overrides_in_the_dialog_with_a_reason(
    console: FakeConsole, open_page: Open
) -> None:
    """Others are told who may; without a reason it stays blocked."""
    console.planted = make.make_failure(console.planted, Source.GKE, for_s=900)
    console.person = ADA
    at = dialog(open_page)
    assert "can be overridden by an admin" in all_text(at)
    console.person = CLEO
    at = dialog(open_page)
    box = next(c.key for c in at.checkbox if c.key and c.key.startswith("override_stale_data"))
    at.checkbox(key=box).check().run()
    tick_all(at)
    assert at.button(key="plan_apply").disabled
    why = next(t.key for t in at.text_input if t.key and t.key.startswith("why_stale_data"))
    at.text_input(key=why).set_value("the API is down, the zone burns").run()
    at.button(key="plan_apply").click().run()
    (entry,) = console.audit.entries()
    assert entry.overrides == {"stale_data": "the API is down, the zone burns"}
    assert "the zone burns" in all_text(open_page("audit", intent=entry.intent))
    assert "1 row" in all_text(open_page("audit"))


def test_without_a_role_nothing_is_shown(console: FakeConsole, open_page: Open) -> None:
    """Somebody who has no role sees why, and no page; with a sign-in, the way to it."""
    console.person = Actor("nobody", "console", False, "Nobody has signed in.", None)
    settings = load_settings(environ={"HEARTWOOD_ACCESS__LOGIN": "oidc"})
    console.people = People(settings)
    at = open_page("overview")
    assert "knows no identity provider" in all_text(at)
    assert not at.button
    at.secrets["auth"] = {"client_id": "here", "keycloak": {"client_id": "there"}}
    at.run()
    assert [b.label for b in at.button] == ["Sign in", "Sign in with Keycloak"]
    at.button(key="sign_in_").click().run()  # where to is not in the secrets
    assert "need to configure credentials" in all_text(at)
    assert not at.metric


def test_the_record_is_verified_on_the_page(console: FakeConsole, open_page: Open) -> None:
    """One button goes through the chain and says what it found."""
    at = open_page("audit")
    at.button(key="audit_verify").click().run()
    assert not at.exception
    assert any("0 records fit" in s.value for s in at.success)
