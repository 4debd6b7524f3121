"""The whole product as three processes, and a headless browser that looks at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from control.audit import Audit, AuditEntry
from tests.console_process import ConsoleProcess, running_console
from tests.processes import EmulatorProcess, start_emulator
from tests.serving.server_process import ServerProcess, running_server

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SETTLED = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  return app && app.getAttribute('data-test-script-state') === 'notRunning'
    && !document.querySelector('[data-testid="stSkeleton"]');
}"""
Open = Callable[..., Page]

expect.set_options(timeout=60_000)  # what is waited for comes, however busy the machine is


@dataclass
class Stack:
    """What runs; the emulator may be ended and started again on the same ports."""

    console: ConsoleProcess
    server: ServerProcess
    emulator: EmulatorProcess

    def restart_emulator(self) -> None:
        """Start it anew where it was."""
        rest = self.emulator.rest_url.rpartition(":")[2].strip("/")
        grpc = self.emulator.grpc_target.rpartition(":")[2]
        self.emulator = start_emulator(
            environment={
                "HEARTWOOD_EMULATOR_PORT": rest,
                "HEARTWOOD_EMULATOR_GRPC_PORT": grpc,
                "HEARTWOOD_SERVING_PORT": str(self.server.port),
            }
        )


# The package's and no longer: an event loop of Playwright's runs in this thread until its end, and
# tests of other folders want to run their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium without a window; skips where there is none."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


@pytest.fixture(scope="package")
def stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Emulator, inference server and console; the browser first, so that a skip starts nothing."""
    folder = tmp_path_factory.mktemp("stack")
    with ExitStack() as ending:
        server = ending.enter_context(running_server(folder))
        emulator = start_emulator(environment={"HEARTWOOD_SERVING_PORT": str(server.port)})
        parts: list[Stack] = []  # the emulator may be another one at the end
        ending.callback(lambda: (parts[0].emulator if parts else emulator).stop())
        # Nobody is quick enough on a busy machine: what a click began waits until it is taken back.
        window = {"HEARTWOOD_GUARDS__CANCEL_WINDOW_S": "3600"}
        console = ending.enter_context(
            running_console(folder, emulator, server.port, variables=window)
        )
        parts.append(Stack(console, server, emulator))
        yield parts[0]


@pytest.fixture(scope="package")
def warm_profile(browser: Browser) -> Iterator[BrowserContext]:
    """Keeps the scripts of the pages: a new one fetches and compiles them, a third of a visit."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(90_000)
    yield context
    context.close()


@pytest.fixture
def profile(warm_profile: BrowserContext) -> Iterator[BrowserContext]:
    """A browser profile that is fresh but for those scripts: no pages, no cookies, nothing kept."""
    yield warm_profile
    for page in warm_profile.pages:
        page.evaluate("localStorage.clear()")
        page.close()
    warm_profile.clear_cookies()


@pytest.fixture
def open_page(profile: BrowserContext, stack: Stack) -> Open:
    """Opens a path and waits until it stands; fails on exceptions."""

    def opened(path: str = "", mode: str = "light", width: int = 1440) -> Page:
        page = profile.new_page()
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(color_scheme="dark" if mode == "dark" else "light")
        page.goto(f"{stack.console.url}/{path}")
        settle(page)
        return page

    return opened


def entries(console: ConsoleProcess, action: str) -> Sequence[AuditEntry]:
    """That action's intents, as the console's record has them."""
    engine = sa.create_engine(f"sqlite:///{console.log.parent / 'data' / 'heartwood.db'}")
    try:
        return Audit(engine).entries(action=action)
    finally:
        engine.dispose()


def recorded(stack: Stack, action: str) -> list[str]:
    """The states of that action's intents."""
    return [entry.state for entry in entries(stack.console, action)]


def settle(page: Page) -> None:
    """Wait until the script has run and no skeleton is left; no exception may be shown."""
    page.wait_for_function(SETTLED, timeout=180_000)
    assert page.get_by_test_id("stException").count() == 0, page.url
