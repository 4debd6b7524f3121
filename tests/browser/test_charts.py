"""What the charts' own scripts do: shared zoom and hidden lines, figures, file, the chips' map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def overview(open_page: Open) -> Page:
    """The Overview, once its charts have points."""
    page = open_page("?refresh=off")
    expect(charts(page).last).to_have_attribute("data-points", re.compile("^[1-9]"))
    return page


def charts(page: Page) -> Locator:
    """All charts over time of the page."""
    return page.get_by_test_id("time-chart")


def drag(page: Page, chart: Locator) -> None:
    """Mark the middle of a chart from left to right."""
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=4)
    page.mouse.up()


def test_a_zoom_is_shared_outlives_new_figures_and_ends_with_escape(overview: Page) -> None:
    """Dragging on one chart zooms all; other tiers' figures keep it; Escape shows all again."""
    drag(overview, charts(overview).first)
    resets = overview.get_by_role("button", name="Reset zoom")
    expect(resets).to_have_count(charts(overview).count())
    overview.locator(".st-key-tier input").click()
    overview.get_by_role("option", name="medium").click()
    expect(charts(overview).first.get_by_role("button", name="Small")).to_have_count(0)
    expect(resets).to_have_count(charts(overview).count())
    charts(overview).last.get_by_role("figure").press("Escape")
    expect(resets).to_have_count(0)


def test_a_line_hidden_on_one_chart_is_hidden_on_all(overview: Page) -> None:
    """A tier that somebody took out of the picture is out of the whole picture."""
    charts(overview).first.get_by_role("button", name="Medium").click()
    for entry in charts(overview).get_by_role("button", name="Medium").all():
        expect(entry).to_have_attribute("aria-pressed", "false")
    charts(overview).first.get_by_role("button", name="Small").click(modifiers=["Alt"])
    for entry in charts(overview).get_by_role("button", name="Large").all():
        expect(entry).to_have_attribute("aria-pressed", "false")


def test_the_cursor_tells_figures_by_mouse_and_by_keys(overview: Page) -> None:
    """Under the cursor stand the time in UTC and every line's figure; arrows move it."""
    chart = charts(overview).first
    chart.locator(".u-over").hover()
    tip = chart.get_by_role("status")
    expect(tip).to_contain_text("UTC")
    expect(tip).to_contain_text("Small")
    before = tip.inner_text()
    body = chart.get_by_role("figure")
    body.focus()
    body.press("PageUp")
    expect(tip).not_to_have_text(before)


def test_a_chart_gives_its_figures_as_a_file(overview: Page, tmp_path: Path) -> None:
    """A CSV with a column per line and a row per moment."""
    chart = charts(overview).first
    chart.hover()
    with overview.expect_download() as download:
        chart.get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "chart.csv")
    head, *rows = (tmp_path / "chart.csv").read_text(encoding="utf-8").splitlines()
    assert head.startswith("time (UTC),")
    assert '"Small (requests/s)"' in head
    assert len(rows) == int(chart.get_attribute("data-points") or 0)


def test_the_chips_map_tells_whose_chip_is_under_the_cursor(open_page: Open) -> None:
    """Host, chip and figure, by mouse and by arrow keys; a cell per chip of the fleet."""
    page = open_page("fleet?refresh=off")
    chips = page.get_by_test_id("chip-map")
    expect(chips).to_have_attribute("data-cells", "1288", timeout=30_000)
    picture = chips.get_by_role("img")
    picture.focus()
    picture.press("ArrowRight")
    tip = chips.get_by_role("status")
    expect(tip).to_contain_text("chip 0")
    picture.press("ArrowRight")
    expect(tip).to_contain_text("chip 1")
    expect(tip).to_contain_text("TensorCore")


def test_titles_of_the_chips_map_cover_no_chip_on_a_telephone(open_page: Open) -> None:
    """Each block's title has room of its own above the block, however narrow the window."""
    page = open_page("fleet?refresh=off", width=420)
    chips = page.get_by_test_id("chip-map")
    expect(chips).to_have_attribute("data-cells", "1288", timeout=30_000)
    tip = chips.get_by_role("status")
    picture = chips.get_by_role("img")
    picture.hover(position={"x": 3, "y": 17})
    expect(tip).to_be_hidden()
    picture.hover(position={"x": 3, "y": 21})
    expect(tip).to_contain_text(" chip ")
