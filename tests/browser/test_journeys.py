"""What a person does, in a real browser against the real three processes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open, Stack, recorded, settle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PAGES = ("Overview", "Fleet", "Traffic", "Cost", "Playground", "Audit", "Connections")
CHART = "[data-testid=time-chart]"


def go(page: Page, name: str) -> None:
    """To a page by the sidebar."""
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    settle(page)


def open_scaling(page: Page) -> None:
    """The dialog that scales the tier Small, by its menu on the Fleet page."""
    page.locator(".st-key-act_small button").click()
    page.locator(".st-key-scale_small button").first.click()


def agree(page: Page, dialog: Locator) -> None:
    """Tick all that the plan asks for, once the one before it has left the dialog."""
    settle(page)
    for box in dialog.get_by_role("checkbox").all():
        box.check(force=True)
        settle(page)


def test_every_page_draws(open_page: Open) -> None:
    """Each page stands without an exception, under one heading, and the charts have lines."""
    page = open_page()
    expect(page.locator(CHART).first).to_have_attribute("data-points", re.compile(r"^[1-9]"))
    for name in PAGES:
        go(page, name)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)


def test_in_the_dark_a_narrow_window_does_not_scroll_sideways(
    open_page: Open, stack: Stack
) -> None:
    """On a telephone's width every page fits; all of them draw in the dark as well."""
    page = open_page(mode="dark", width=420)
    for path in ("", "fleet", "traffic", "cost", "playground", "audit", "connections"):
        page.goto(f"{stack.console.url}/{path}")
        settle(page)
        if not path:  # the range, of which one is chosen: in the words' colour, not in dark green
            chosen = page.locator('[data-variant="segmented_control"][data-selected="true"]')
            expect(chosen.first).to_have_css("color", "rgb(228, 231, 226)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 420, path
        wide = page.get_by_test_id("stMainBlockContainer").evaluate(
            "e => e.scrollWidth - e.clientWidth"
        )
        assert wide <= 1, path


def test_the_address_carries_the_view(open_page: Open) -> None:
    """Range and tier come from the address and go along to other pages."""
    page = open_page("fleet?tier=small&range=1h")
    expect(page.locator(".st-key-tier input")).to_have_value("small")
    go(page, "Traffic")
    assert "tier=small" in page.url
    assert "range=1h" in page.url


def test_a_first_visit_by_deep_link_has_the_navigation(open_page: Open) -> None:
    """A page opened by its address runs inside the app, not alone."""
    page = open_page("connections")
    expect(page.get_by_test_id("stSidebarNav").get_by_role("link", name="Overview")).to_be_visible()
    expect(page.get_by_role("heading", name="Connections", exact=True)).to_be_visible()


def test_a_prompt_streams_an_answer(open_page: Open, stack: Stack) -> None:
    """The real model answers, with its figures; nothing is priced that nobody priced."""
    stack.server.wait_ready()
    page = open_page("playground")
    # Auto is chosen; who answers then depends on how this machine's server does just now.
    page.get_by_role("button", name="Local", exact=True).click()
    settle(page)
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill("What is the capital of France?")
    box.press("Enter")
    foot = page.get_by_text("tokens/s").first
    foot.wait_for(timeout=90_000)
    expect(page.get_by_test_id("stChatMessage").last).to_contain_text("not priced")
    expect(foot).to_contain_text("TTFT")


def test_back_leaves_the_dialog_and_pages_go_on_refreshing(open_page: Open) -> None:
    """The browser's Back closes the dialog; ages move again, and no return reopens it."""
    page = open_page("?refresh=5s")
    go(page, "Fleet")
    open_scaling(page)
    page.get_by_test_id("stDialog").get_by_text("per hour").wait_for()
    page.go_back()
    expect(page.get_by_test_id("stDialog")).to_have_count(0)
    go(page, "Overview")
    age = page.get_by_text(re.compile("6 sources · ")).first
    expect(age).not_to_have_text(age.inner_text(), timeout=20_000)
    go(page, "Fleet")
    expect(page.get_by_test_id("stDialog")).to_have_count(0)


def test_scaling_from_the_plan_to_the_annotation(open_page: Open, stack: Stack) -> None:
    """Plan, double click on Apply, progress in Audit to its end, one row, a mark on the charts."""
    page = open_page("fleet?tier=small&range=1h")
    open_scaling(page)
    dialog = page.get_by_test_id("stDialog")
    dialog.get_by_role("radio", name="Remove").click()
    dialog.get_by_text("Remove 1 host-slice").first.wait_for()
    expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)  # the menu covers nothing
    agree(page, dialog)
    apply = dialog.get_by_role("button", name="Apply")
    expect(apply, dialog.inner_text()).to_be_enabled(timeout=30_000)
    apply.dblclick()
    link = dialog.get_by_role("link", name="Open in Audit")
    link.wait_for()
    settle(page)  # a link that is clicked while the page is drawn loses what it names
    link.click()
    expect(dialog).to_have_count(0)
    title = page.get_by_role("heading", name=re.compile("Remove 1 host-slice"))
    expect(title).to_contain_text("succeeded", timeout=90_000)
    go(page, "Fleet")
    expect(dialog).to_have_count(0)
    assert recorded(stack, "scale_tier") == ["succeeded"]
    go(page, "Overview")
    marked = re.compile("Remove 1 host-slice")
    expect(page.locator(CHART).first).to_have_attribute("data-marks", marked, timeout=60_000)


def test_without_the_emulator_pages_stand_and_recover(open_page: Open, stack: Stack) -> None:
    """Killed: every page draws with age and reason. Back: it recovers by itself."""
    page = open_page("?refresh=5s")
    stack.emulator.process.kill()
    stack.emulator.stop()
    expect(page.get_by_text("not refreshing").first).to_be_visible(timeout=90_000)
    for name in PAGES:
        go(page, name)
    expect(page.get_by_text("failing for").first).to_be_visible(timeout=30_000)
    stack.restart_emulator()
    expect(page.get_by_text("failing for")).to_have_count(0, timeout=90_000)
    go(page, "Overview")
    expect(page.get_by_text("TPU chips").first).to_be_visible()
