"""A tier's whole life in a browser, from an empty project to nothing but the record; run by hand.

    .venv/bin/python -m tests.browser.whole_life FOLDER [TIER]

Starts an emulator of the scenario empty-project (operations 3000 times as fast) and a console on
free ports. One person provisions TIER (small unless told otherwise), adds a slice, provisions
another one, shifts some of its traffic there and tears everything down; a second one, in a session
of their own, approves what is critical. Each step is a picture in FOLDER, with what Overview, Fleet
and Cost say after it. No test of the suite; clicks and approvals are held by `test_consent.py`,
shifts of traffic by `tests/control/test_traffic_over_wire.py`, the chain by `test_chain.py` there.
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM, SETTLED
from tests.console_process import running_console
from tests.processes import start_emulator

_WAIT_MS: Final = 240_000
_CLOSED: Final = 1  # a port that refuses: no inference server is needed here


@dataclass
class Life:
    """Two persons before one console, and where the pictures go."""

    url: str
    page: Page
    second: Page
    folder: Path
    taken: int = 0

    def picture(self, name: str) -> None:
        """The window as it is, as high as what is in it."""
        dialog = self.page.get_by_test_id("stDialog").get_by_role("dialog")
        shown = dialog if dialog.count() else self.page.get_by_test_id("stMain")
        height = min(3000, 120 + int(shown.evaluate("e => e.scrollHeight")))
        self.page.set_viewport_size({"width": 1440, "height": max(900, height)})
        self.taken += 1
        self.page.screenshot(path=self.folder / f"{self.taken:02}-{name}.png")
        self.page.set_viewport_size({"width": 1440, "height": 1000})

    def open(self, path: str) -> None:
        """A page, once it stands."""
        self.page.goto(f"{self.url}/{path}")
        self.page.wait_for_function(SETTLED, timeout=_WAIT_MS)

    def act(self, action: str, tier: str, fields: dict[str, str]) -> None:
        """Plan it with these values, agree to all that is asked for, apply, wait for its end."""
        self.open(f"fleet?do={action}:{tier}&refresh=5s")
        dialog = self.page.get_by_test_id("stDialog")
        for key, value in fields.items():
            field = self.page.locator(f".st-key-{key} input")
            if field.input_value() == value:
                continue
            planned = dialog.inner_text()
            field.fill(value)
            field.press("Enter")
            # The page may stand still for a moment before it begins to plan anew.
            expect(dialog).not_to_have_text(planned, use_inner_text=True, timeout=_WAIT_MS)
            self.page.wait_for_function(SETTLED, timeout=_WAIT_MS)
        dialog.get_by_text("per hour").first.wait_for()
        self.picture(f"{action}-plan")
        ask = dialog.get_by_role("button", name="Ask a second person")
        if ask.count():
            ask.click()
            dialog.get_by_text("Waiting.").wait_for()
            self._approve()
            expect(dialog.get_by_text("by ben")).to_be_visible(timeout=_WAIT_MS)
        self._agree(tier)
        dialog.get_by_role("button", name="Apply", exact=True).click()
        expect(dialog).to_contain_text("steps done and verified", timeout=_WAIT_MS)
        self.picture(f"{action}-done")
        for path in ("", "fleet", "cost"):
            self.open(f"{path}?refresh=5s&range=1h")
            self.picture(f"{action}-{path or 'overview'}")

    def _agree(self, tier: str) -> None:
        dialog = self.page.get_by_test_id("stDialog")
        for box in dialog.get_by_role("checkbox", name=re.compile("I accept")).all():
            box.check(force=True)
            self.page.wait_for_function(SETTLED, timeout=_WAIT_MS)
        typed = dialog.get_by_role("textbox", name=re.compile("to confirm"))
        if typed.count():
            typed.fill(tier)
        apply = dialog.get_by_role("button", name="Apply", exact=True)
        expect(apply, dialog.inner_text()).to_be_enabled(timeout=_WAIT_MS)

    def _approve(self) -> None:
        self.second.goto(f"{self.url}/audit")
        self.second.get_by_role("button", name="Approve").click()


def open_as(browser: Browser, url: str, name: str) -> Page:
    """A browser of that named user."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.add_cookies([{"name": "heartwood_user", "value": name, "url": url}])
    context.set_default_timeout(_WAIT_MS)
    return context.new_page()


def live(life: Life, tier: str) -> None:
    """From nothing to nothing."""
    life.open("?refresh=off")
    life.picture("empty")
    other = "small" if tier == "medium" else "medium"  # so that there is somebody to shift to
    on_vertex = {"plan_replicas": "0"} if tier == "small" else {}
    life.act("provision_tier", tier, {"plan_slices": "2", **on_vertex})
    life.act("scale_tier", tier, {"plan_amount": "1"})
    life.act("provision_tier", other, {"plan_slices": "1"})
    life.act("shift_traffic", tier, {"plan_percent": "20"})
    life.act("tear_down_all", "platform", {})
    life.open("audit?range=1h&refresh=off")
    expect(life.page.get_by_text("5 rows", exact=True)).to_be_visible()
    life.picture("audit")


def main() -> None:
    """See the module's docstring."""
    folder, tier = Path(sys.argv[1]), (sys.argv[2:] or ["small"])[0]
    folder.mkdir(parents=True, exist_ok=True)
    emulator = start_emulator("empty-project", speed=3000)
    try:
        with (
            tempfile.TemporaryDirectory() as data,
            running_console(Path(data), emulator, _CLOSED) as console,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            me, ben = (open_as(browser, console.url, name) for name in ("", "ben"))
            live(Life(console.url, me, ben, folder), tier)
            browser.close()
    finally:
        emulator.stop()


if __name__ == "__main__":
    main()
