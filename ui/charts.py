"""Charts over time and over days, all drawn alike: units on the axes, gaps as gaps, our own
actions marked, at most 2,000 points, and a zoom that survives refreshing.

Charts over time are `assets/time_chart.js` on uPlot; bars per day are plotly's.

Colours come from `ui/palette.py`, which series to draw from the pages. The heatmap of chips is
`ui/heatmap.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html import escape
from typing import Any, Final

# Whole before plotly, which Streamlit imports, looks at it: a reader may just be importing it.
import pandas as pandas
import streamlit as st

from core.series import Annotation, Series, Window
from ui import components, formats, palette

MAX_POINTS: Final = 2000
_TOLD: Final = 4  # things that happened on a day, in its bar's tooltip
_CONFIG: Final[dict[str, Any]] = {
    "displaylogo": False,
    "displayModeBar": False,
    "scrollZoom": False,
    "doubleClick": "reset+autosize",
}

_DASHES: Final[Mapping[str, list[int]]] = {"solid": [], "dash": [7, 4], "dot": [2, 3]}

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Unit:
    """How a signal's unit is drawn.

    Attributes:
        title: what stands beside the axis.
        factor: what values are multiplied by.
        kind: how the script writes a value: "number", "percent", "seconds" or "dollars".
        ticks, hover, suffix: the same for plotly, in d3's formats.
    """

    title: str
    factor: float = 1.0
    kind: str = "number"
    ticks: str = "~s"
    hover: str = ".3~s"
    suffix: str = ""


_UNITS: Final[Mapping[str, Unit]] = {
    "ratio": Unit("", 1.0, "percent", "~%", ".3~%"),
    "ms": Unit("", 1e-3, "seconds", "~s", ".3~s", "s"),
    "requests/s": Unit("requests/s"),
    "tokens/s": Unit("tokens/s"),
    "USD": Unit("USD", 1.0, "dollars", "$~s", "$,.0f"),
}
_WRITTEN: Final[Mapping[str, str]] = {"percent": "ratio", "seconds": "s"}


def unit_of(name: str) -> Unit:
    """How values of that unit are drawn."""
    return _UNITS.get(name, Unit(name))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    name: str
    times: Sequence[datetime]
    values: Values
    colour: str
    dash: str = "solid"
    width: float = 1.6


def line_of(series: Series, name: str, colour: str, dash: str = "solid") -> Line:
    """A line of that series in its own unit."""
    return Line(name, series.times, series.values, colour, dash)


def thin(
    times: Sequence[datetime], columns: Sequence[Values], limit: int
) -> tuple[list[datetime], list[list[float | None]]]:
    """At most `limit` moments of columns over the same times; no column's peak or gap is lost.

    Of each bucket stay, for every column, its least, its greatest and one gap.
    """
    if len(times) <= limit:
        return list(times), [list(column) for column in columns]
    per_bucket = 3 * max(1, len(columns))
    size = math.ceil(len(times) / max(1, limit // per_bucket))
    kept: list[int] = []
    for start in range(0, len(times), size):
        bucket = range(start, min(start + size, len(times)))
        kept += sorted({i for column in columns for i in _telling(column, bucket)})
    return [times[i] for i in kept], [[column[i] for i in kept] for column in columns]


def _telling(column: Values, bucket: range) -> set[int]:
    """Where the column's least, greatest and first missing value of the bucket stand."""
    known = [(v, i) for i in bucket if (v := column[i]) is not None]
    wanted = {min(known)[1], max(known)[1]} if known else set[int]()
    gap = next((i for i in bucket if column[i] is None), None)
    return wanted if gap is None else wanted | {gap}


def aligned(lines: Sequence[Line]) -> tuple[list[datetime], list[list[float | None]]]:
    """One time axis for all lines: every line's moments, None where a line has none."""
    if all(line.times == lines[0].times for line in lines[1:]):
        return list(lines[0].times) if lines else [], [list(line.values) for line in lines]
    times = sorted({moment for line in lines for moment in line.times})
    known = [dict(zip(line.times, line.values, strict=True)) for line in lines]
    return times, [[values.get(moment) for moment in times] for values in known]


def time_chart(
    lines: Sequence[Line],
    unit_name: str,
    window: Window,
    *,
    key: str,
    alt: str,
    annotations: Sequence[Annotation] = (),
    limit_line: tuple[float, str] | None = None,
    height: int = 210,
    near: bool = False,
) -> None:
    """Lines over time. `limit_line` is a value (in the unit) with its name, for an objective.

    `near`: the axis shows the values' own range; otherwise it begins at zero.
    """
    data = time_data(
        lines, unit_name, window, name=alt, annotations=annotations, limit_line=limit_line
    )
    shown = {**data, "file": key, "height": height, "near": near}
    components.time_chart(key=key, data=shown, height=height)


def time_data(
    lines: Sequence[Line],
    unit_name: str,
    window: Window,
    *,
    name: str,
    annotations: Sequence[Annotation] = (),
    limit_line: tuple[float, str] | None = None,
) -> dict[str, Any]:
    """The chart as `assets/time_chart.js` takes it.

    An annotation after the window's end widens the axis, so that what was just done is seen.
    """
    unit = unit_of(unit_name)
    times, columns = thin(*aligned(lines), limit=MAX_POINTS)
    shown = [a for a in annotations if a.at >= window.start]
    end = max((window.end, *(a.at for a in shown)))
    return {
        "name": name,
        "unit": {
            "title": unit.title,
            "kind": unit.kind,
            "written": unit.title or _WRITTEN.get(unit.kind, ""),
        },
        "span": (window.end - window.start).total_seconds(),
        "range": [window.start.timestamp(), end.timestamp()],
        "x": [moment.timestamp() for moment in times],
        "lines": [_line(line, values, unit) for line, values in zip(lines, columns, strict=True)],
        "marks": [_mark(a) for a in shown],
        "limit": None if limit_line is None else _limit(limit_line, unit),
    }


def _line(line: Line, values: Values, unit: Unit) -> dict[str, Any]:
    return {
        "name": line.name,
        "colour": line.colour,
        "dash": _DASHES[line.dash],
        "width": line.width,
        "y": [None if v is None else float(f"{v * unit.factor:.5g}") for v in values],
    }


def _limit(limit_line: tuple[float, str], unit: Unit) -> dict[str, Any]:
    value, name = limit_line
    return {"value": value * unit.factor, "name": name, "colour": palette.current().warning}


def _mark(annotation: Annotation) -> dict[str, Any]:
    """A dotted line with what happened, for the tooltip."""
    colours = palette.current()
    ours = annotation.source == "heartwood"
    by = "by Heartwood" if ours else f"said by {annotation.source}"
    where = f"{annotation.tier}: " if annotation.tier else ""
    return {
        "at": annotation.at.timestamp(),
        "tint": colours.text if ours else colours.muted,
        "text": f"{where}{annotation.text} ({by}, {formats.clock(annotation.at)} UTC)",
    }


@dataclass(frozen=True, slots=True)
class Stack:
    """One colour of a stacked bar chart: a value per label of the x axis."""

    name: str
    values: Values
    colour: str
    faded: Sequence[bool] = ()  # bars whose figure may still grow


def stacked_bars(
    labels: Sequence[date],
    stacks: Sequence[Stack],
    unit_name: str,
    *,
    key: str,
    alt: str,
    annotations: Sequence[Annotation] = (),
    height: int = 280,
) -> None:
    """Bars stacked per day; bars that may still grow are drawn hatched.

    A day on which something happened has a mark above its bar, which tells what under the cursor.
    """
    unit = unit_of(unit_name)
    marks = _day_marks(labels, stacks, annotations, unit)
    layout = {
        "height": height,
        "barmode": "relative",
        "bargap": 0.25,
        "hovermode": "x unified",
        "margin": {"l": 4, "r": 8, "t": 26, "b": 4},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": None,
                   "font": {"size": 11}},
        "uirevision": key,
        "xaxis": {"automargin": True, "tickfont": {"size": 10.5}, "title": None,
                  "tickformat": "%d %b", "nticks": 8},
        "yaxis": {"tickformat": unit.ticks, "ticksuffix": unit.suffix, "automargin": True,
                  "tickfont": {"size": 10.5}, "nticks": 6, "fixedrange": True,
                  "title": {"text": unit.title, "font": {"size": 10.5}, "standoff": 4}},
    }  # fmt: skip
    bars = [_bar(labels, stack, unit) for stack in stacks]
    figure = {"data": bars + ([marks] if marks else []), "layout": layout}
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)


def _day_marks(
    labels: Sequence[date], stacks: Sequence[Stack], annotations: Sequence[Annotation], unit: Unit
) -> dict[str, Any] | None:
    """A triangle on top of every day's bar on which something happened, also after the last bar."""
    by_day: dict[date, list[str]] = {}
    for annotation in sorted(annotations, key=lambda a: a.at):
        day = annotation.at.astimezone(UTC).date()
        if labels and day >= labels[0]:
            by_day.setdefault(day, []).append(escape(_mark(annotation)["text"]))
    if not by_day:
        return None
    tops = {day: sum(max(0.0, s.values[i] or 0.0) for s in stacks) for i, day in enumerate(labels)}
    more = {day: len(told) - _TOLD for day, told in by_day.items() if len(told) > _TOLD}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "what happened",
        "x": [day.isoformat() for day in by_day],
        "y": [tops.get(day, 0.0) * unit.factor for day in by_day],
        "text": [
            "<br>".join(told[:_TOLD]) + (f"<br>and {more[day]} more" if day in more else "")
            for day, told in by_day.items()
        ],
        "marker": {"symbol": "triangle-down", "size": 9, "color": palette.current().text},
        "cliponaxis": False,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _bar(labels: Sequence[date], stack: Stack, unit: Unit) -> dict[str, Any]:
    hatch = ["/" if f else "" for f in stack.faded]
    return {
        "type": "bar",
        "x": [day.isoformat() for day in labels],
        "y": [None if v is None else v * unit.factor for v in stack.values],
        "name": stack.name,
        "marker": {
            "color": stack.colour,
            "line": {"width": 0},
            "pattern": {"shape": hatch, "size": 5, "solidity": 0.35},
        },
        "hovertemplate": f"%{{y:{unit.hover}}}{unit.suffix}",
    }
