"""Traffic and Overview on how good answers are: the chart, what got worse, and no evaluation."""

from __future__ import annotations

from dataclasses import replace

from core.series import Signal
from tests import make
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole


def test_worse_answers_are_told_with_the_way_back(console: FakeConsole, open_page: Open) -> None:
    """The Overview names them; Traffic has the chart, and a button to the plan that rolls back."""
    newest = make.make_series("small", Signal.SOLVED, make.make_window(6, step_s=60))
    before = make.make_series("small", Signal.SOLVED, make.make_window(168, step_s=1800))
    console.solved = {
        "small": (
            replace(newest, values=(0.6,) * len(newest.values)),
            replace(before, values=(0.75,) * len(before.values)),
        )
    }
    said = "answers solve 60.0% of an evaluation's tasks, usually 75.0%"
    assert said in all_text(open_page("overview"))
    assert said not in all_text(open_page("overview", tier="medium"))
    page = open_page("traffic", tier="small")
    text = all_text(page)
    assert "**Tasks solved**" in text
    assert "60.0% of the tasks, usually 75.0%" in text
    assert "No evaluation writes this metric" not in text
    page.button(key="worse_roll_back_small").click().run()
    assert "roll_back:small" in page.query_params["do"]
    assert not page.exception


def test_without_an_evaluation_nothing_is_made_up(console: FakeConsole, open_page: Open) -> None:
    """Traffic says calmly that there is none; no figure, no finding."""
    console.past.empty = True
    text = all_text(open_page("traffic"))
    assert "No evaluation writes this metric" in text
    assert "of the tasks" not in text
    assert "answers solve" not in all_text(open_page("overview"))
