"""Charts over time and over days, all drawn alike: units on the axes, gaps as gaps, our own
actions marked, SVG, at most 2,000 points, and a zoom that survives refreshing.

Colours come from `ui/palette.py`, which series to draw from the pages. The heatmap of chips is
`ui/heatmap.py`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pandas  # noqa: F401  # whole before plotly looks at it: a reader's thread may be importing it
import plotly.graph_objects as go
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
    shown: bool = True  # False: only after a click on the legend


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


def thin_values(values: Values, limit: int) -> list[float | None]:
    """Every n-th value, so that at most `limit` stay; for sparklines, where peaks matter less."""
    step = max(1, math.ceil(len(values) / limit))
    return list(values[::step])


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
    from_zero: bool = True,
    legend: bool = True,
) -> None:
    """Lines over time. `limit_line` is a value (in the unit) with its name, for an objective."""
    unit = unit_of(unit_name)
    figure = go.Figure()
    per_line = max(60, MAX_POINTS // max(1, len(lines)))
    for line in lines:
        times, values = thin(line.times, line.values, per_line)
        figure.add_trace(_trace(line, times, values, unit))
    if limit_line is not None:
        _draw_limit(figure, limit_line[0] * unit.factor, limit_line[1])
    _draw_annotations(figure, annotations, window)
    figure.update_layout(**_layout(window, unit, key, height, legend, len(lines)))
    if from_zero:
        figure.update_yaxes(rangemode="tozero")
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)


def _trace(line: Line, times: list[datetime], values: list[float | None], unit: Unit) -> go.Scatter:
    alone = sum(v is not None for v in values) < 3
    return go.Scatter(
        x=times,
        y=[None if v is None else v * unit.factor for v in values],
        name=line.name,
        mode="lines+markers" if alone else "lines",
        connectgaps=False,
        line={"color": line.colour, "width": line.width, "dash": line.dash},
        marker={"size": 5},
        visible=True if line.shown else "legendonly",
        hovertemplate=f"%{{y:{unit.hover}}}{unit.suffix}",
    )


def _draw_limit(figure: go.Figure, value: float, name: str) -> None:
    colour = palette.current().warning
    figure.add_hline(
        y=value,
        line={"color": colour, "width": 1, "dash": "dash"},
        annotation={"text": name, "font": {"size": 10, "color": colour}, "yshift": -1},
        annotation_position="top left",
    )


def _draw_annotations(figure: go.Figure, annotations: Sequence[Annotation], window: Window) -> None:
    """A dotted line and a mark on top for each; what happened stands in the mark's hover."""
    shown = [a for a in annotations if window.start <= a.at <= window.end]
    if not shown:
        return
    colours = palette.current()
    tints = [colours.text if a.source == "heartwood" else colours.muted for a in shown]
    for annotation, tint in zip(shown, tints, strict=True):
        figure.add_shape(
            type="line", x0=annotation.at, x1=annotation.at, y0=0, y1=1, yref="paper",
            line={"color": tint, "width": 1, "dash": "dot"}, opacity=0.55, layer="below",
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[a.at for a in shown],
            y=[1.0] * len(shown),
            yaxis="y2",
            mode="markers",
            marker={"symbol": "triangle-down", "size": 9, "color": tints},
            text=[_annotation_text(a) for a in shown],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            cliponaxis=False,
        )
    )
    figure.update_layout(
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    )


def _annotation_text(annotation: Annotation) -> str:
    by = "by Heartwood" if annotation.source == "heartwood" else f"said by {annotation.source}"
    where = f"{annotation.tier}: " if annotation.tier else ""
    return f"<b>{where}{annotation.text}</b><br>{by}, {formats.clock(annotation.at)} UTC"


def _layout(
    window: Window, unit: Unit, key: str, height: int, legend: bool, lines: int
) -> dict[str, Any]:
    span_s = (window.end - window.start).total_seconds()
    return {
        "height": height,
        "margin": {"l": 4, "r": 8, "t": 26 if legend and lines > 1 else 10, "b": 4},
        "hovermode": "x unified",
        "hoverlabel": {"font": {"size": 12}},
        "showlegend": legend and lines > 1,
        "legend": {
            "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": None,
            "font": {"size": 11}, "itemwidth": 30,
        },
        "uirevision": f"{key}:{span_s:.0f}",
        "xaxis": {
            "type": "date", "range": [window.start, window.end], "title": None,
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
    labels: Sequence[Any],
    stacks: Sequence[Stack],
    unit_name: str,
    *,
    key: str,
    alt: str,
    height: int = 280,
) -> None:
    """Bars stacked per label; bars that may still grow are drawn hatched."""
    unit = unit_of(unit_name)
    figure = go.Figure()
    for stack in stacks:
        hatch = ["/" if f else "" for f in stack.faded] or None
        figure.add_trace(
            go.Bar(
                x=list(labels),
                y=[None if v is None else v * unit.factor for v in stack.values],
                name=stack.name,
                marker={
                    "color": stack.colour,
                    "line": {"width": 0},
                    "pattern": {"shape": hatch, "size": 5, "solidity": 0.35},
                },
                hovertemplate=f"%{{y:{unit.hover}}}{unit.suffix}",
            )
        )
    figure.update_layout(
        height=height,
        barmode="relative",
        bargap=0.25,
        hovermode="x unified",
        margin={"l": 4, "r": 8, "t": 26, "b": 4},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": None,
                "font": {"size": 11}},
        uirevision=key,
        xaxis={"automargin": True, "tickfont": {"size": 10.5}, "title": None},
        yaxis={"tickformat": unit.ticks, "ticksuffix": unit.suffix, "automargin": True,
               "tickfont": {"size": 10.5}, "nticks": 6, "fixedrange": True,
               "title": {"text": unit.title, "font": {"size": 10.5}, "standoff": 4}},
    )  # fmt: skip
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)


def sparkline(values: Values, colour: str, width: int = 200, height: int = 30) -> str:
    """An <img> of a small line; gaps break it, and without any point it is a dashed base line.

    An image and not an inline SVG, because Streamlit's sanitiser removes the latter.
    """
    known = [v for v in values if v is not None]
    base = height - 1.5
    if not known:
        drawn = (
            f'<line x1="0" x2="{width}" y1="{base}" y2="{base}" stroke="{colour}" '
            f'stroke-opacity="0.45" stroke-dasharray="2 4"/>'
        )
    else:
        drawn = "".join(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" '
            f'stroke-width="1.4" vector-effect="non-scaling-stroke" stroke-linejoin="round"/>'
            for points in _paths(values, width, base, height - 4, max(known) or 1.0)
            if len(points) > 1
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'preserveAspectRatio="none">{drawn}</svg>'
    )
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<img alt="" src="data:image/svg+xml;base64,{data}" '
        f'style="width:100%;height:{height}px;display:block">'
    )


def _paths(values: Values, width: int, base: float, room: float, top: float) -> list[list[str]]:
    step = width / max(1, len(values) - 1)
    paths: list[list[str]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            paths.append([])
        else:
            paths[-1].append(f"{i * step:.1f},{base - value / top * room:.1f}")
    return paths
