"""Signing in with an OpenID Connect provider, in a real browser: act, expire, sign out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Stack, entries, settle
from tests.browser.test_consent import SHIFT, applicable, click_apply
from tests.console_process import ConsoleProcess, running_console
from tests.oidc_provider import Provider, running_provider

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PEOPLE = {
    "olga": {"email": "olga@example.com", "email_verified": True, "groups": ["sre"]},
    "vera": {"email": "vera@example.com", "email_verified": True, "groups": []},
    "nils": {"email": "nils@elsewhere.example", "email_verified": True, "groups": ["sales"]},
}
SETTINGS = {
    "HEARTWOOD_ACCESS__LOGIN": "oidc",
    "HEARTWOOD_GUARDS__CANCEL_WINDOW_S": "0",
    "HEARTWOOD_ACCESS__ROLES_CLAIM": "groups",
    "HEARTWOOD_ACCESS__OPERATORS": '["group:sre"]',
    "HEARTWOOD_ACCESS__VIEWERS": '["*@example.com"]',
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Knows the three."""
    with running_provider(PEOPLE) as found:
        yield found


@pytest.fixture(scope="module")
def console(
    stack: Stack, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConsoleProcess]:
    """A console on the stack's emulator that asks people to sign in."""
    folder = tmp_path_factory.mktemp("sign_in")
    secrets = folder / "secrets.toml"
    secrets.write_text(provider.secrets_toml(), encoding="utf-8")
    variables = {**SETTINGS, "STREAMLIT_SECRETS_FILES": str(secrets)}
    port = stack.server.port
    with running_console(folder, stack.emulator, port, variables=variables) as found:
        provider.return_to = f"{found.url}/oauth2callback"
        yield found


def sign_in(
    page: Page, console: ConsoleProcess, person: str, button: str = "Sign in", to: str = ""
) -> None:
    """Through the provider's page and back, to where they were going."""
    if not page.url.startswith(console.url):
        page.goto(console.url)
    page.get_by_role("button", name=button, exact=True).click()
    page.get_by_role("link", name=person, exact=True).click()
    page.wait_for_url(f"{console.url}/{to}")
    settle(page)


def door(page: Page, text: str) -> None:
    """The page lets nobody in, says so, and shows nothing of the fleet."""
    expect(page.get_by_text(text)).to_be_visible()
    expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
    expect(page.get_by_text("all sources fresh")).to_have_count(0)


def test_sign_in_act_and_sign_out(
    profile: BrowserContext, console: ConsoleProcess, provider: Provider
) -> None:
    """An operator by a group acts under their own name; signing out ends every tab."""
    page = profile.new_page()
    page.goto(f"{console.url}/traffic?tier=medium")
    door(page, "Sign in to see the tiers")
    sign_in(page, console, "olga", to="traffic?tier=medium")
    expect(page.get_by_text("olga@example.com · operator")).to_be_visible()
    page.goto(f"{console.url}/{SHIFT}")
    click_apply(applicable(page))
    page.get_by_test_id("stDialog").get_by_role("link", name="Open in Audit").wait_for()
    (entry,) = entries(console, "shift_traffic")
    assert entry.actor == "olga@example.com"
    other = profile.new_page()
    other.goto(console.url)
    expect(other.get_by_text("olga@example.com · operator")).to_be_visible()
    page.goto(console.url)
    with page.expect_response(lambda answer: answer.url.startswith(f"{provider.url}/logout")):
        page.get_by_role("button", name="Sign out").click()
    door(page, "Sign in to see the tiers")
    assert provider.signed_out == ["olga"]
    door(other, "olga@example.com has signed out in another tab")


def test_who_may_not_is_told_so(
    profile: BrowserContext, console: ConsoleProcess, provider: Provider
) -> None:
    """Without a role: not let in. A viewer: only looks. A forged token: nobody."""
    page = profile.new_page()
    sign_in(page, console, "nils")
    door(page, "nils@elsewhere.example has no role here")
    provider.forging = True
    try:
        sign_in(page, console, "olga", "Sign in again")
    finally:
        provider.forging = False
    door(page, "Sign in to see the tiers")
    sign_in(page, console, "vera")
    expect(page.get_by_text("Needs the role operator; vera@example.com is viewer.")).to_be_visible()


def test_a_sign_in_that_ends_shuts_an_open_page(
    profile: BrowserContext, console: ConsoleProcess, provider: Provider
) -> None:
    """Nobody has to click for it; signing in again opens it."""
    provider.life_s = 3.0
    page = profile.new_page()
    try:
        sign_in(page, console, "olga")
    finally:
        provider.life_s = 3600.0
    door(page, "The sign-in of olga@example.com has expired")
    sign_in(page, console, "olga", "Sign in again")
    expect(page.get_by_text("olga@example.com · operator")).to_be_visible()
