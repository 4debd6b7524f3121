"""The Cost page's panel of what Google finds idle."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from core.recommendations import Recommendation
from core.records import Problem, Source
from tests import make
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole

COMPUTE = "//compute.googleapis.com/projects/p"


def found(
    name: str, owner: str | None = None, saving_usd: float | None = None, *, known: bool = True
) -> Recommendation:
    """An idle address."""
    return Recommendation(
        f"projects/1/{name}", f"{COMPUTE}/global/addresses/{name}", "global", "DELETE_ADDRESS",
        f"Save cost by deleting idle IP address '{name}'.", "ACTIVE", saving_usd,
        datetime.now(UTC), owner, known,
    )  # fmt: skip


def plant(console: FakeConsole, *recommendations: Recommendation) -> None:
    """What Recommender says."""
    console.planted = replace(console.planted, recommendations=recommendations)


def test_what_is_idle_and_whose_it_is(console: FakeConsole, open_page: Open) -> None:
    """Each row tells its saving, or that it is unknown, and whose it is; the file has them all."""
    plant(
        console, found("dear", saving_usd=7.0), found("left", owner="gone"),
        found("ours", owner="small"), found("shared", owner="platform"), found("odd", known=False),
    )  # fmt: skip
    at = open_page("cost")
    (table,) = (d for d in at.dataframe if "Saves a month" in d.value)
    rows = table.value.to_dict("records")
    assert {r["Resource"]: r["Belongs to"] for r in rows} == {
        "dear": "not made from here", "left": "gone: an orphan", "ours": "Small",
        "shared": "all tiers", "odd": "unknown",
    }  # fmt: skip
    assert rows[0]["Saves a month"] == 7.0
    assert all(r["Saves a month"] != r["Saves a month"] for r in rows[1:]), "unknown, never zero"
    assert rows[1]["Full name"] == f"{COMPUTE}/global/addresses/left"
    assert (rows[0]["Kind"], rows[0]["Where"]) == ("compute addresses", "global")
    assert "Left over of what was made from here: 1 resource" in all_text(at)
    small = open_page("cost", tier="small")
    (table,) = (d for d in small.dataframe if "Saves a month" in d.value)
    assert list(table.value["Resource"]) == ["ours"]


def test_what_is_left_over_leads_to_its_plan(console: FakeConsole, open_page: Open) -> None:
    """The button opens the clean-up's dialog; without the right it says why and opens nothing."""
    plant(console, found("left", owner="gone"))
    console.may_act = False
    (button,) = (b for b in open_page("cost").button if b.key == "idle_clean_up")
    assert button.disabled
    console.may_act = True
    at = open_page("cost")
    (button,) = (b for b in at.button if b.key == "idle_clean_up")
    button.click().run()
    assert not at.exception
    assert at.query_params["do"] in ("clean_up_orphans:platform", ["clean_up_orphans:platform"])


def test_nobody_is_called_orphaned_while_the_fleet_is_unknown(
    console: FakeConsole, open_page: Open
) -> None:
    """Before the inventory was read, a tier without pools is not known to have none."""
    plant(console, found("left", owner="gone"))
    console.planted = make.make_failure(console.planted, Source.GKE, keep=False)
    at = open_page("cost")
    assert "an orphan" not in all_text(at)
    assert not [b for b in at.button if b.key == "idle_clean_up"]


def test_nothing_is_not_unread(console: FakeConsole, open_page: Open) -> None:
    """Nothing idle, a refusal, and a part that may not be read look different."""
    assert "Google finds nothing idle" in all_text(open_page("cost"))
    whole = console.planted
    state = whole.sources[Source.RECOMMENDER]
    problem = Problem("Denied", "no", hint="Grant roles/recommender.viewer")
    in_part = replace(state, problem=problem, failing_since=state.read_at)
    console.planted = replace(whole, sources={**whole.sources, Source.RECOMMENDER: in_part})
    text = all_text(open_page("cost"))
    assert "Nothing in what was read" in text
    assert "Grant roles/recommender.viewer" in text
    assert "finds nothing idle" not in text
    never = replace(in_part, read_at=None)
    console.planted = replace(
        whole, recommendations=None, sources={**whole.sources, Source.RECOMMENDER: never}
    )
    at = open_page("cost")
    assert any("roles/recommender.viewer" in e.value for e in at.error)
    assert "Nothing in what was read" not in all_text(at)
