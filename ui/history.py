"""Charts over the chosen time range: read through the shared cache, drawn, or explained.

The cache itself is `control/history.py`'s; how a chart looks is `ui/charts.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from control.history import Reading
from core.records import Problem
from core.series import UNITS, Annotation, Signal, Window
from ui import access, charts, formats, palette, states, view

_NO_POINTS: Final = (
    "No points in this time range",
    "No chosen tier sent this signal then, which is not the same as zero.",
)
DASHES: Sequence[str] = ("solid", "dash", "dot")
SHORT_NAMES: Mapping[Signal, str] = {
    Signal.TTFT_P50: "p50",
    Signal.TTFT_P95: "p95",
    Signal.TTFT_P99: "p99",
    Signal.LATENCY_P50: "p50",
    Signal.LATENCY_P95: "p95",
    Signal.LATENCY_P99: "p99",
    Signal.PROMPT_TOKENS: "prompt",
    Signal.GENERATION_TOKENS: "generated",
    Signal.RUNNING: "running",
    Signal.WAITING: "waiting",
}


def read(signal: Signal) -> Reading:
    """That signal over the chosen range; a failure comes back as the reading's problem."""
    return access.console().history(signal, view.current().range)


def values(reading: Reading, tier: str) -> charts.Values:
    """The tier's values; none: it has no such series."""
    found = reading.series.get(tier)
    return found.values if found is not None else ()


def tier_chart(
    title: str,
    signals: Sequence[Signal],
    *,
    key: str,
    note: str = "",
    height: int = 210,
    limit_line: tuple[float, str] | None = None,
    near: bool = False,
    empty: tuple[str, str] = _NO_POINTS,
) -> None:
    """A panel with a line per shown tier; several signals differ in their dashes.

    `near`: the axis shows the values' own range, not from zero. `empty`: what is said where there
    are none, and why.
    """
    readings = [read(s) for s in signals]
    problem = next((r.problem for r in readings if r.problem is not None), None)
    window = readings[0].window
    with states.panel(title, _freshness(readings, problem), note, key=f"panel_{key}"):
        if problem is not None and all(r.read_at is None for r in readings):
            states.show_problem("History cannot be read", problem)
            return
        lines = _lines(readings)
        if not any(v is not None for line in lines for v in line.values):
            states.show_empty(*empty)
            return
        charts.time_chart(
            lines,
            UNITS[signals[0]],
            window,
            key=f"chart_{key}",
            alt=f"{title} by tier over the last {view.current().range}",
            annotations=shown_annotations(window),
            limit_line=limit_line,
            height=height,
            near=near,
        )


def _freshness(readings: Sequence[Reading], problem: Problem | None) -> states.Freshness:
    moments = [r.read_at for r in readings if r.read_at is not None]
    now = access.now()
    text = "Cloud Monitoring"
    details = "**Cloud Monitoring**, read when somebody looks, shared by all who look"
    if moments:
        text += f" · {formats.since(min(moments), now)}"
    if problem is None:
        return states.Freshness(states.Level.FRESH, text, details)
    level = states.Level.FAILING if moments else states.Level.FAILED
    return states.Freshness(level, text, f"{details}\n\n{formats.plain(problem.message)}")


def _lines(readings: Sequence[Reading]) -> list[charts.Line]:
    """A line per tier and signal, in the order of the settings."""
    specs = access.snapshot().specs
    colours = palette.tier_colours([s.name for s in specs])
    lines: list[charts.Line] = []
    for spec in specs:
        if not view.current().shows(spec.name):
            continue
        for i, reading in enumerate(readings):
            series = reading.series.get(spec.name)
            if series is None or all(v is None for v in series.values):
                continue
            name = spec.title
            if len(readings) > 1:
                name += " " + SHORT_NAMES.get(reading.signal, reading.signal.value)
            lines.append(charts.line_of(series, name, colours[spec.name], DASHES[i % 3]))
    return lines


def shown_annotations(window: Window) -> Sequence[Annotation]:
    """What happened to the shown tiers from the window's start until now.

    The window ends at a whole step, up to two hours ago: what was just done would be missing.
    """
    chosen = view.current()
    until_now = replace(window, end=max(window.end, access.now()))
    return [a for a in access.happened(until_now) if not a.tier or chosen.shows(a.tier)]
