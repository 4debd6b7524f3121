"""Small lines without axes, for cards; the charts themselves are `ui/charts.py`'s."""

from __future__ import annotations

import base64
import math

from ui.charts import Values


def thin_values(values: Values, limit: int) -> list[float | None]:
    """Every n-th value, so that at most `limit` stay; for sparklines, where peaks matter less."""
    step = max(1, math.ceil(len(values) / limit))
    return list(values[::step])


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
