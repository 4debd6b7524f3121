"""What clicks lead to in a real browser: nothing, or exactly one change; who else has to agree."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Open, Stack, recorded, settle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SHIFT = "traffic?do=shift_traffic:small&refresh=off"  # no guard has a word against it
ENDED = re.compile("succeeded|refused|failed|cancelled")


def applicable(page: Page) -> Locator:
    """The dialog, once its plan may be applied; all that it asks for is agreed to."""
    dialog = page.get_by_test_id("stDialog")
    dialog.get_by_text("per hour").first.wait_for(timeout=60_000)
    settle(page)
    for box in dialog.get_by_role("checkbox", name=re.compile("I accept")).all():
        box.check(force=True)
        settle(page)
    apply = dialog.get_by_role("button", name="Apply", exact=True)
    expect(apply, dialog.inner_text()).to_be_enabled(timeout=60_000)
    return dialog


def click_apply(dialog: Locator) -> None:
    """Twice, as people do."""
    dialog.get_by_role("button", name="Apply", exact=True).dblclick()


def test_no_means_no(open_page: Open, stack: Stack) -> None:
    """Taken back; left by a reload, which ends the session as closing the tab does; Escape."""
    page = open_page(SHIFT)
    dialog = applicable(page)
    click_apply(dialog)
    dialog.get_by_role("button", name="Do not apply").click()
    click_apply(applicable(page))
    dialog.get_by_role("button", name="Do not apply").wait_for()
    page.reload()
    click_apply(applicable(page))  # the new session knows of no click
    dialog.get_by_role("button", name="Do not apply").wait_for()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert recorded(stack, "shift_traffic") == []


def test_two_tabs_make_one_change(open_page: Open, stack: Stack) -> None:
    """A double click in each: one is applied, the other told that its plan no longer holds."""
    tabs = [open_page("fleet?do=restart_slice:medium&refresh=off") for _ in range(2)]
    for dialog in [applicable(tab) for tab in tabs]:
        click_apply(dialog)
    for tab in tabs:
        log = tab.get_by_test_id("stDialog").get_by_test_id("stCode").filter(has_text=ENDED)
        expect(log.or_(tab.get_by_text("It was not applied")).first).to_be_visible(timeout=120_000)
    states = recorded(stack, "restart_slice")
    assert states.count("succeeded") == 1, states
    assert len(states) <= len(tabs)


def test_a_second_person_approves_in_a_session_of_their_own(
    browser: Browser, open_page: Open, stack: Stack
) -> None:
    """Critical: who asked waits; another named user approves the same digest; then it can go."""
    page = open_page("fleet?do=provision_tier:large&refresh=off")
    dialog = page.get_by_test_id("stDialog")
    dialog.get_by_role("button", name="Ask a second person").click(timeout=60_000)
    dialog.get_by_text("Waiting.").wait_for(timeout=30_000)
    expect(dialog.get_by_role("button", name="Apply", exact=True)).to_be_disabled()
    context = browser.new_context()
    context.add_cookies([{"name": "heartwood_user", "value": "ben", "url": stack.console.url}])
    try:
        theirs = context.new_page()
        theirs.goto(f"{stack.console.url}/audit")
        expect(theirs.get_by_text("Provision Large").first).to_be_visible(timeout=60_000)
        theirs.get_by_role("button", name="Approve").click()
        expect(dialog.get_by_text("by ben")).to_be_visible(timeout=60_000)
    finally:
        context.close()
