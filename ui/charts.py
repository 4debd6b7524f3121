"""Charts over time and over days, all drawn alike: units on the axes, gaps as gaps, our own
actions marked, SVG, at most 2,000 points, and a zoom that survives refreshing.

Colours come from `ui/palette.py`, which series to draw from the pages. The heatmap of chips is
`ui/heatmap.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

# Whole before plotly, which Streamlit imports, looks at it: a reader may just be importing it.
import pandas as pandas
import streamlit as st

from core.series import Annotation, Series, Window
from ui import formats, palette

MAX_POINTS: Final = 2000
_CONFIG: Final[dict[str, Any]] = {
    "displaylogo": False,
    "displayModeBar": False,
    "scrollZoom": False,
    "doubleClick": "reset+autosize",
}

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Unit:
    """How a signal's unit is drawn: values × `factor`, ticks in d3's format with a suffix."""

    title: str
    factor: float = 1.0
    ticks: str = "~s"
    hover: str = ".3~s"
    suffix: str = ""


_UNITS: Final[Mapping[str, Unit]] = {
    "ratio": Unit("", 1.0, "~%", ".3~%"),
    "ms": Unit("", 1e-3, "~s", ".3~s", "s"),
    "requests/s": Unit("requests/s"),
    "tokens/s": Unit("tokens/s"),
    "USD": Unit("USD", 1.0, "$~s", "$,.0f"),
}


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
    times: Sequence[datetime], values: Values, limit: int
) -> tuple[list[datetime], list[float | None]]:
    """At most `limit` points: of each bucket the least and the greatest, so no peak is lost.

    A bucket with a gap keeps one None, so that a gap stays a gap.
    """
    if len(times) <= limit:
        return list(times), list(values)
    size = math.ceil(len(times) / max(1, limit // 3))
    kept_times: list[datetime] = []
    kept: list[float | None] = []
    for start in range(0, len(times), size):
        bucket = range(start, min(start + size, len(times)))
        known = [(v, i) for i in bucket if (v := values[i]) is not None]
        wanted = {min(known)[1], max(known)[1]} if known else set[int]()
        gap = next((i for i in bucket if values[i] is None), None)
        for i in sorted(wanted | ({gap} if gap is not None else set())):
            kept_times.append(times[i])
            kept.append(values[i])
    return kept_times, kept


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
) -> None:
    """Lines over time. `limit_line` is a value (in the unit) with its name, for an objective."""
    figure = time_figure(
        lines,
        unit_name,
        window,
        revision=f"{key}:{(window.end - window.start).total_seconds():.0f}",
        annotations=annotations,
        limit_line=limit_line,
        height=height,
    )
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)


def time_figure(
    lines: Sequence[Line],
    unit_name: str,
    window: Window,
    *,
    revision: str,
    annotations: Sequence[Annotation] = (),
    limit_line: tuple[float, str] | None = None,
    height: int = 210,
) -> dict[str, Any]:
    """The chart as plotly's own dictionary, which is much cheaper to build than its objects.

    An annotation after the window's end widens the axis, so that what was just done is seen.
    """
    unit = unit_of(unit_name)
    per_line = max(60, MAX_POINTS // max(1, len(lines)))
    window = replace(window, end=max((window.end, *(a.at for a in annotations))))
    shown = [a for a in annotations if a.at >= window.start]
    layout = _layout(window, unit, revision, height, len(lines) > 1)
    data = [_trace(line, *thin(line.times, line.values, per_line), unit) for line in lines]
    if limit_line is not None:
        _draw_limit(layout, limit_line[0] * unit.factor, limit_line[1])
    if shown:
        data.append(_draw_annotations(layout, shown))
    return {"data": data, "layout": layout}


def _trace(
    line: Line, times: list[datetime], values: list[float | None], unit: Unit
) -> dict[str, Any]:
    alone = sum(v is not None for v in values) < 3
    return {
        "type": "scatter",
        "x": [_moment(t) for t in times],
        "y": [None if v is None else v * unit.factor for v in values],
        "name": line.name,
        "mode": "lines+markers" if alone else "lines",
        "connectgaps": False,
        "line": {"color": line.colour, "width": line.width, "dash": line.dash},
        "marker": {"size": 5},
        "hovertemplate": f"%{{y:{unit.hover}}}{unit.suffix}",
    }


def _moment(moment: datetime) -> str:
    """UTC as plotly reads it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _draw_limit(layout: dict[str, Any], value: float, name: str) -> None:
    colour = palette.current().warning
    across = {"xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value}
    layout["shapes"].append(
        {"type": "line", **across, "line": {"color": colour, "width": 1, "dash": "dash"}}
    )
    layout["annotations"].append(
        {
            "text": name, "xref": "paper", "x": 0, "y": value, "xanchor": "left",
            "yanchor": "bottom", "showarrow": False, "font": {"size": 10, "color": colour},
        }
    )  # fmt: skip


def _draw_annotations(layout: dict[str, Any], shown: Sequence[Annotation]) -> dict[str, Any]:
    """A dotted line for each; returns the marks on top, in whose hover stands what happened."""
    colours = palette.current()
    tints = [colours.text if a.source == "heartwood" else colours.muted for a in shown]
    moments = [_moment(a.at) for a in shown]
    layout["shapes"] += [
        {
            "type": "line", "x0": moment, "x1": moment, "y0": 0, "y1": 1, "yref": "paper",
            "line": {"color": tint, "width": 1, "dash": "dot"}, "opacity": 0.55, "layer": "below",
        }
        for moment, tint in zip(moments, tints, strict=True)
    ]  # fmt: skip
    layout["yaxis2"] = {
        "overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True,
    }  # fmt: skip
    return {
        "type": "scatter",
        "x": moments,
        "y": [1.0] * len(shown),
        "yaxis": "y2",
        "mode": "markers",
        "marker": {"symbol": "triangle-down", "size": 9, "color": tints},
        "text": [_annotation_text(a) for a in shown],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "cliponaxis": False,
    }


def _annotation_text(annotation: Annotation) -> str:
    by = "by Heartwood" if annotation.source == "heartwood" else f"said by {annotation.source}"
    where = f"{annotation.tier}: " if annotation.tier else ""
    return f"<b>{where}{annotation.text}</b><br>{by}, {formats.clock(annotation.at)} UTC"


def _layout(window: Window, unit: Unit, revision: str, height: int, legend: bool) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 4, "r": 8, "t": 26 if legend else 10, "b": 4},
        "hovermode": "x unified",
        "hoverlabel": {"font": {"size": 12}},
        "showlegend": legend,
        "shapes": [],
        "annotations": [],
        "legend": {
            "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": None,
            "font": {"size": 11}, "itemwidth": 30,
        },
        "uirevision": revision,
        "xaxis": {
            "type": "date", "range": [_moment(window.start), _moment(window.end)], "title": None,
            "automargin": True, "tickfont": {"size": 10.5}, "nticks": 7,
            "hoverformat": "%a %d %b %H:%M UTC",
            "tickformatstops": [
                {"dtickrange": [None, 86_400_000 - 1], "value": "%H:%M"},
                {"dtickrange": [86_400_000, None], "value": "%d %b"},
            ],
        },
        "yaxis": {
            "title": {"text": unit.title or None, "font": {"size": 10.5}, "standoff": 4},
            "tickformat": unit.ticks, "ticksuffix": unit.suffix, "automargin": True,
            "tickfont": {"size": 10.5}, "nticks": 5, "fixedrange": True,
            "rangemode": "tozero",
        },
    }  # fmt: skip


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
    height: int = 280,
) -> None:
    """Bars stacked per day; bars that may still grow are drawn hatched."""
    unit = unit_of(unit_name)
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
    figure = {"data": [_bar(labels, stack, unit) for stack in stacks], "layout": layout}
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)


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
