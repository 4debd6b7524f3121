"""How the console's benchmark watches a page: when did the last visible change happen?

A page counts as settled once its script is no longer running, no skeleton is on it, and nothing in
the document has changed for `QUIET_MS`. The time reported is that of the last change, so that the
quiet period itself is not counted. A page that has settled once counts as settled: what a live
part redraws later is no part of it. A switch of pages is counted from the click event itself, not
from when the browser's driver began to look for what to click.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import Page, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = "/usr/bin/chromium"
QUIET_MS = 700
LIMIT_MS = 60_000

_WATCH = """
() => {
  window.__changed = performance.now();
  window.__clicked = null;
  document.addEventListener('click', () => {
    window.__clicked = window.__changed = performance.now();
  }, {capture: true});
  const seen = () => { window.__changed = performance.now(); };
  const what = {childList: true, subtree: true, characterData: true};
  new MutationObserver(seen).observe(document, what);
}
"""
_SETTLED = f"""
() => {{
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app || app.getAttribute('data-test-script-state') === 'running') return false;
  if (app.getAttribute('data-test-script-state') === 'initial') return false;
  if (document.querySelector('[data-testid="stSkeleton"]')) return false;
  if (performance.now() - window.__changed <= {QUIET_MS}) return false;
  window.__settled = window.__changed;
  return true;
}}
"""


@contextmanager
def page(width: int = 1440, height: int = 900) -> Iterator[Page]:
    """A fresh headless browser with an empty profile and one page that watches its own changes."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        context = browser.new_context(viewport={"width": width, "height": height})
        context.add_init_script(f"({_WATCH.strip()})()")
        try:
            yield context.new_page()
        finally:
            browser.close()


def open_and_settle(page: Page, url: str) -> float:
    """Milliseconds from the start of navigation to the last change on the page."""
    page.goto(url, wait_until="commit")
    page.wait_for_function(_SETTLED, timeout=LIMIT_MS, polling=50)
    return float(page.evaluate("window.__settled"))


def open_until(page: Page, url: str, selector: str) -> float:
    """Milliseconds from the start of navigation until something that fits stands on the page."""
    page.goto(url, wait_until="commit")
    page.locator(selector).first.wait_for(state="attached", timeout=LIMIT_MS)
    return float(page.evaluate("performance.now()"))


def click_and_settle(page: Page, selector: str) -> float:
    """Milliseconds from a click to the last change that follows it."""
    page.evaluate("window.__clicked = null")
    page.click(selector)
    page.wait_for_function("window.__clicked !== null", timeout=LIMIT_MS, polling=10)
    page.wait_for_function(_SETTLED, timeout=LIMIT_MS, polling=50)
    return float(page.evaluate("window.__settled - window.__clicked"))
