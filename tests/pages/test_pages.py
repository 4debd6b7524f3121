"""Every page over every state of the world: it draws, and says what is the matter."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.records import Problem, Source
from core.series import Annotation
from tests import make
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole

PAGES = ("overview", "fleet", "traffic", "cost", "playground", "heartbeat", "audit", "connections")
NOT_LIVE = ("playground", "heartbeat", "audit")


@pytest.mark.parametrize("scenario", ["normal", "full-fleet", "empty", "unread"])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_in_every_world(
    page: str, scenario: str, console: FakeConsole, open_page: Open
) -> None:
    """No page raises, be the fleet large, empty or not read yet."""
    console.planted = make.make_snapshot(scenario, datetime.now(UTC))
    console.past.empty = scenario in ("empty", "unread")
    open_page(page)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_while_all_sources_fail(
    page: str, keep: bool, console: FakeConsole, open_page: Open
) -> None:
    """With every source failing, with or without old data, each page draws and tells so."""
    for source in Source:
        console.planted = make.make_failure(console.planted, source, keep=keep)
    console.past.problem = Problem("Unavailable", "monitoring: no connection", hint="Start it")
    at = open_page(page)
    assert f"{len(Source)} sources not refreshing" in all_text(at)


@pytest.mark.parametrize("page", [p for p in PAGES if p not in NOT_LIVE])
def test_data_of_a_failing_source_is_marked(
    page: str, console: FakeConsole, open_page: Open
) -> None:
    """Old data stays on the page, with a mark that it is not refreshed any more."""
    for source in Source:
        console.planted = make.make_failure(console.planted, source, for_s=240)
    text = all_text(open_page(page))
    assert ("not refreshing" in text and "4 min" in text) or "failing" in text


def test_the_first_second_is_loading_and_not_empty(console: FakeConsole, open_page: Open) -> None:
    """Before the first read, pages say that they read, never that nothing is there."""
    console.planted = make.make_snapshot("unread", datetime.now(UTC))
    console.past.empty = True
    text = all_text(open_page("overview"))
    assert "Not everything has been read yet" in text
    assert "Nothing is known to be wrong" not in text
    assert "unknown" in text


def test_an_empty_project_is_empty_and_not_failing(console: FakeConsole, open_page: Open) -> None:
    """A project without anything says so, without an error."""
    console.planted = make.make_snapshot("empty", datetime.now(UTC))
    console.past.empty = True
    at = open_page("fleet")
    assert "No TPU chip runs here" in all_text(at)
    assert not at.error


def test_an_unknown_range_or_tier_in_the_address_falls_back(open_page: Open) -> None:
    """A broken link still opens, with the defaults, and says so."""
    at = open_page("overview", range="99y", tier="nobody", refresh="1ms")
    assert at.segmented_control(key="range").value == "6h"
    (told,) = [w.value for w in at.warning]
    assert "There is no time range '99y'" in told
    assert "There is no tier 'nobody'" in told
    assert not open_page("overview", range="1h", tier="small", refresh="off").warning


def test_the_simulated_tiers_are_named(open_page: Open) -> None:
    """While the emulator is the cloud, every page says which tiers are simulated."""
    text = all_text(open_page("overview"))
    assert "Small, Medium, Large, Dev" in text
    assert "simulated" in text
    assert "**Local** is measured" in text


def test_unpriced_is_said_and_never_zero(open_page: Open) -> None:
    """The local tier has no price: it says so."""
    cards = "".join(h.value for h in open_page("overview", tier="local").html)
    assert "not priced" in cards
    assert "$0" not in cards


def test_the_tier_in_the_address_filters(open_page: Open) -> None:
    """?tier=small shows that tier alone."""
    at = open_page("overview", tier="small")
    cards = "".join(h.value for h in at.html)
    assert cards.count("Requests/s") == 1


def month_figures(at: AppTest) -> dict[str, str]:
    """Labels (up to the basis) of the Cost page's totals → what is shown."""
    return {m.label.split(" :gray")[0]: m.value for m in at.metric}


def test_a_part_of_the_month_does_not_pass_for_the_whole(
    console: FakeConsole, open_page: Open
) -> None:
    """With one tier's rows missing, the month's sums are unknown and not the others' sum."""
    whole = month_figures(open_page("cost"))
    assert whole["This month"].startswith("$")
    snapshot = console.planted
    rows = tuple(row for row in snapshot.costs or () if row.tier != "medium")
    console.planted = replace(snapshot, costs=rows)
    part = month_figures(open_page("cost"))
    assert part["This month"] == "unknown"


def test_what_no_bill_has_is_not_called_free(console: FakeConsole, open_page: Open) -> None:
    """Local is not priced; a tier whose rows of today are not there yet has none, and not $0."""
    at = open_page("cost", tier="local")
    assert set(month_figures(at).values()) == {"not priced"}
    assert not [m.label for m in at.metric if "·" in m.label]  # no basis of no figure
    rows = tuple(c for c in console.planted.costs or () if c.day < datetime.now(UTC).date())
    console.planted = replace(console.planted, costs=rows)
    assert month_figures(open_page("cost", tier="small"))["Today so far"] == "no rows yet"
    assert month_figures(open_page("cost"))["Today so far"] == "no rows yet"


def test_the_bill_shows_what_was_done(console: FakeConsole, open_page: Open) -> None:
    """A mark with its words stands above the bar of the day, for the chosen tiers alone."""
    at = datetime.now(UTC) - timedelta(days=2)
    console.notes = (Annotation(at, "small", "Remove <b>1</b> host-slice", "heartwood"),)

    def marks(page: AppTest) -> list[dict[str, Any]]:
        (chart,) = page.get("plotly_chart")
        data = json.loads(chart.proto.spec)["data"]
        return [trace for trace in data if trace["name"] == "what happened"]

    (found,) = marks(open_page("cost"))
    assert found["x"] == [at.date().isoformat()]
    assert "Remove &lt;b&gt;1&lt;/b&gt; host-slice (by Heartwood" in found["text"][0]
    assert found["y"][0] > 0
    assert marks(open_page("cost", tier="medium")) == []


@pytest.mark.parametrize(
    ("page", "query", "is_used"),
    [
        ("overview", {}, True),
        ("fleet", {}, False),
        ("fleet", {"details": "Events"}, True),
        ("cost", {}, False),
        ("connections", {}, False),
    ],
)
def test_the_range_is_offered_where_it_counts(
    page: str, query: dict[str, str], is_used: bool, open_page: Open
) -> None:
    """Where the time range changes nothing it is disabled, and its choice is kept."""
    control = open_page(page, range="1h", **query).segmented_control(key="range")
    assert control.proto.disabled is not is_used
    assert control.value == "1h"
