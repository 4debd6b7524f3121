"""Charts keep peaks and gaps, the heatmap keeps unknown apart from zero, files are safe."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.fleet import assemble_fleet
from core.records import ChipReading
from core.series import Annotation, Signal
from tests import make
from ui import charts, heatmap, sparkline, tables

T0 = datetime(2026, 11, 20, tzinfo=UTC)
Value = float | None
maybe = st.one_of(st.none(), st.floats(0, 1e6))


@given(st.lists(st.tuples(maybe, maybe), min_size=1, max_size=2000))
def test_thinning_keeps_peaks_gaps_and_the_limit(rows: list[tuple[Value, Value]]) -> None:
    """However long, at most the limit is drawn, each line's extremes stay, a gap stays a gap."""
    times = [T0 + timedelta(minutes=i) for i in range(len(rows))]
    columns = list(zip(*rows, strict=True))
    kept_times, kept = charts.thin(times, columns, 300)
    assert len(kept_times) <= 300
    assert kept_times == sorted(kept_times)
    for column, kept_column in zip(columns, kept, strict=True):
        known = [v for v in column if v is not None]
        kept_known = [v for v in kept_column if v is not None]
        if known:
            assert max(known) == max(kept_known)
            assert min(known) == min(kept_known)
        assert (None in column) == (None in kept_column)


def test_lines_of_different_moments_share_one_axis() -> None:
    """Where a line has no point of its own, it has a gap and no guess."""
    early = charts.Line("a", [T0, T0 + timedelta(minutes=1)], [1.0, 2.0], "#111111")
    late = charts.Line("b", [T0 + timedelta(minutes=1)], [5.0], "#222222")
    times, columns = charts.aligned([early, late])
    assert times == early.times
    assert columns == [[1.0, 2.0], [None, 5.0]]


def test_the_whole_fleet_is_one_picture() -> None:
    """Each of the 10,504 chips has exactly one cell; unknown ones are told from zero."""
    fleet = assemble_fleet(make.make_snapshot("full-fleet"))
    picture = heatmap.draw_picture(fleet.tiers, heatmap.Metric.TENSORCORE)
    assert picture.known + picture.unknown == 10_504
    assert picture.unknown > 0
    assert [name.split(" ")[0] for _, name in picture.labels] == ["Small", "Medium", "Large", "Dev"]


def test_zero_is_a_figure_and_none_is_not() -> None:
    """A chip at 0% lies on the scale, a silent one below it."""
    zero = heatmap.reading_value(ChipReading("h", "0", 0.0, 0.0, 10.0), heatmap.Metric.TENSORCORE)
    silent = heatmap.reading_value(ChipReading("h", "0", None, None, None), heatmap.Metric.HBM)
    assert zero == 0.0
    assert silent is None


def test_an_empty_fleet_draws_nothing() -> None:
    """No slice, no cell."""
    fleet = assemble_fleet(make.make_snapshot("empty"))
    assert heatmap.draw_picture(fleet.tiers, heatmap.Metric.HBM).z.size == 0


def test_cells_without_a_chip_are_no_chips() -> None:
    """The gaps between tiles are not counted as unknown."""
    fleet = assemble_fleet(make.make_snapshot("normal"))
    picture = heatmap.draw_picture(fleet.tiers, heatmap.Metric.HBM)
    assert np.isnan(picture.z).any()
    assert picture.known + picture.unknown == 1288


def test_a_sparkline_breaks_at_gaps() -> None:
    """Two runs of points are two lines."""
    import base64
    import re

    image = sparkline.sparkline([1.0, 2.0, None, 3.0, 4.0], "#123456")
    found = re.search(r"base64,([^\"]+)", image)
    assert found
    assert base64.b64decode(found[1]).decode().count("<polyline") == 2


def test_csv_keeps_unknown_empty_and_formulas_harmless() -> None:
    """Unknown is an empty cell; a cell that a spreadsheet would run is quoted."""
    text = tables.to_csv([{"a": None, "b": "=1+1", "c": 3.5}])
    assert text.splitlines() == ["a,b,c", ",'=1+1,3.5"]


def test_significant_digits() -> None:
    """Three of them, and None stays None."""
    assert tables.significant(1884.4) == 1880
    assert tables.significant(None) is None
    assert math.isclose(tables.significant(0.014612) or 0, 0.0146)


def test_a_time_chart_keeps_gaps_and_our_actions() -> None:
    """Gaps are gaps, what we did is marked even past the end, the axis says its unit."""
    window = make.make_window(6, step_s=60)
    series = make.make_series("small", Signal.REQUESTS, window, gap=(100, 160))
    done = Annotation(window.end + timedelta(seconds=40), "small", "scaled", "heartwood")
    lines = [charts.line_of(series, "Small", "#2862C9")]
    data = charts.time_data(lines, "requests/s", window, name="Requests", annotations=[done])
    assert data["lines"][0]["y"].count(None) == 60
    assert "scaled" in data["marks"][0]["text"]
    assert data["range"][1] == data["marks"][0]["at"]
    assert data["span"] == 6 * 3600
    assert data["unit"]["title"] == "requests/s"


def test_an_objective_is_a_line_in_the_charts_own_unit() -> None:
    """300 ms stand at 0.3 on an axis that is drawn in seconds."""
    window = make.make_window(1, step_s=60)
    data = charts.time_data([], "ms", window, name="TTFT", limit_line=(300.0, "objective"))
    assert data["limit"]["value"] == 0.3


def test_the_chip_map_tells_unknown_from_zero_and_from_no_chip() -> None:
    """Every cell of the picture is a figure, unknown, or no chip at all; every chip has a host."""
    fleet = assemble_fleet(make.make_snapshot("normal"))
    picture = heatmap.draw_picture(fleet.tiers, heatmap.Metric.TENSORCORE)
    data = heatmap.map_data(picture, heatmap.Metric.TENSORCORE)
    values = data["values"]
    assert len(values) == data["rows"] * data["columns"]
    assert sum(v >= 0 for v in values) == picture.known
    assert values.count(-1) == picture.unknown
    assert sum(tile["chips"] for tile in data["tiles"]) == picture.known + picture.unknown
