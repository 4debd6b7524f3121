"""What pages say of objectives and of tiers that are off or idle."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from core.records import Quantiles, TierLoad
from core.series import Signal
from tests import make
from tests.pages.conftest import Open
from tests.pages.fake_console import FakeConsole
from ui.derived import derive


def _burning(console: FakeConsole, error_ratio: float) -> None:
    window = make.make_window(6, step_s=60)
    requests = make.make_series("small", Signal.REQUESTS, window, 400.0)
    errors = make.make_series("small", Signal.ERRORS, window, error_ratio)
    console.burning = {"small": (requests, errors)}


def test_objectives_are_judged_by_the_burn_of_the_error_budget(
    console: FakeConsole, open_page: Open
) -> None:
    """A budget that burns 100 times too fast misses the objective, whatever the moment says."""
    _burning(console, 0.1)
    card = "".join(h.value for h in open_page("overview", tier="small").html)
    assert ">missed</span>" in card
    assert "fast burn " in card
    assert "over 5 min, alarm when both reach 14.4×" in card
    assert "slow burn " in card
    assert "over 30 min, alarm when both reach 6×" in card


def test_a_burn_that_is_not_known_yet_is_not_told(console: FakeConsole, open_page: Open) -> None:
    """Before the series were read, the card speaks of the present ratio alone."""
    card = "".join(h.value for h in open_page("overview", tier="small").html)
    assert "burn" not in card
    assert "objective 99" in card


def test_the_same_snapshot_is_derived_once_per_burn(console: FakeConsole) -> None:
    """Viewers share what follows; series read anew are judged anew."""
    _burning(console, 0.0)
    first = derive(console.planted, console.burning)
    assert derive(console.planted, dict(console.burning)) is first
    _burning(console, 0.1)
    assert derive(console.planted, console.burning) is not first


def test_off_and_idle_are_not_unknown(console: FakeConsole, open_page: Open) -> None:
    """On Traffic a tier that is off says so; an idle one has no quantiles for want of requests."""
    now = datetime.now(UTC)
    loads = dict(console.planted.loads or {})
    none = Quantiles(None, None, None)
    loads["large"] = TierLoad("large", now, 300)
    loads["dev"] = replace(
        loads["dev"], requests_per_s=0.0, error_ratio=None, ttft=none, latency=none
    )
    console.planted = replace(console.planted, loads=loads)
    shown = open_page("traffic").table[0].value.set_index("Tier")
    large, dev = shown.loc["Large"], shown.loc["Dev"]
    assert set(large.drop("Window")) == {"off"}
    assert dev["Requests/s"] == "0"
    assert {v for n, v in dev.items() if "p50" in str(n)} == {"no requests"}
    assert dev["Errors"] == "no requests"
