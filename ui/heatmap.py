"""All chips of a fleet as one picture: a cell per chip, a tile per slice, a block per tier.

One plotly heatmap trace whatever the size, so that 9,216 chips draw in well under two seconds.
A chip without a figure has a colour outside the scale; a place that holds no chip has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.fleet import FleetSlice, FleetTier
from core.records import ChipReading
from ui import formats, palette

_UNKNOWN_Z: Final = -0.2  # below the scale, where only the colour of "unknown" lies
_ASPECT: Final = 4.2  # columns per row of the whole picture
_WIDTH_PX: Final = 1080  # of the picture on a desktop, to tell how high a cell will be
_LABEL_PX: Final = 20  # room above each block for the tier's name


class Metric(StrEnum):
    """What the colour means."""

    TENSORCORE = "TensorCore"
    HBM = "HBM"


@dataclass(frozen=True, slots=True)
class Cell:
    """One chip: its figure (None: unknown) and what the hover says."""

    value: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The matrix of the whole fleet.

    `z` has NaN where there is no chip and `_UNKNOWN_Z` for a chip without a figure; `labels` are
    (first row, name) of the blocks.
    """

    z: NDArray[np.float64]
    text: NDArray[np.object_]
    labels: tuple[tuple[int, str], ...]
    known: int
    unknown: int


def reading_value(reading: ChipReading, metric: Metric) -> float | None:
    """The chip's figure as a ratio; None: it did not send one."""
    if metric is Metric.TENSORCORE:
        return reading.tensorcore_utilisation_ratio
    if reading.hbm_used_bytes is None or not reading.hbm_total_bytes:
        return None
    return reading.hbm_used_bytes / reading.hbm_total_bytes


def cells_of(piece: FleetSlice, metric: Metric) -> list[Cell]:
    """A cell per chip of the slice; chips that did not report, or whose host is hidden, unknown."""
    cells: list[Cell] = []
    for host in piece.hosts:
        for reading in host.readings[: host.chips]:
            value = reading_value(reading, metric)
            word = formats.ratio(value)
            cells.append(Cell(value, f"{piece.name}<br>{host.name} chip {reading.chip}: {word}"))
        silent = host.chips - len(host.readings[: host.chips])
        why = host.reason or "no reading"
        cells += [Cell(None, f"{piece.name}<br>{host.name}: {why}")] * silent
    hidden = piece.chips - len(cells)
    return cells + [Cell(None, f"{piece.name}: the cloud shows no host")] * max(0, hidden)


def draw_picture(tiers: Sequence[FleetTier], metric: Metric) -> Picture:
    """The matrix for those tiers; tiers without a slice take no room."""
    blocks = [
        (tier, [cells_of(piece, metric) for piece in tier.slices])
        for tier in tiers
        if tier.unit == "chip" and tier.slices
    ]
    area = sum((_side(tile) + 1) * (_rows(tile) + 1) for _, tiles in blocks for tile in tiles)
    columns = max(24, math.ceil(math.sqrt(area * _ASPECT)))
    parts = [(tier, *_block(tiles, columns)) for tier, tiles in blocks]
    gap = max(2, math.ceil(_LABEL_PX * columns / _WIDTH_PX))
    height = sum(z.shape[0] + gap for _, z, _ in parts)
    whole = np.full((height, columns), np.nan)
    text = np.full((height, columns), "", dtype=object)
    labels: list[tuple[int, str]] = []
    row = 0
    for tier, z, words in parts:
        row += gap
        labels.append((row, f"{tier.spec.title} · {_size(tier)}"))
        whole[row : row + z.shape[0], : z.shape[1]] = z
        text[row : row + z.shape[0], : z.shape[1]] = words
        row += z.shape[0]
    unknown = int(np.count_nonzero(whole == _UNKNOWN_Z))
    known = int(np.count_nonzero(~np.isnan(whole))) - unknown
    return Picture(whole, text, tuple(labels), known, unknown)


def _size(tier: FleetTier) -> str:
    slices = formats.plural(len(tier.slices), "slice")
    return f"{slices} of {tier.spec.topology}, {formats.count(tier.chip_count.running)} chips"


def _side(tile: Sequence[Cell]) -> int:
    return max(1, math.ceil(math.sqrt(len(tile))))


def _rows(tile: Sequence[Cell]) -> int:
    return max(1, math.ceil(len(tile) / _side(tile)))


def _block(
    tiles: Sequence[Sequence[Cell]], columns: int
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Tiles side by side, one empty row and column between them."""
    width = max(_side(t) for t in tiles) + 1
    height = max(_rows(t) for t in tiles) + 1
    per_row = max(1, (columns + 1) // width)
    rows = math.ceil(len(tiles) / per_row) * height - 1
    z = np.full((rows, max(columns, width - 1)), np.nan)
    text = np.full(z.shape, "", dtype=object)
    for index, tile in enumerate(tiles):
        top, left = (index // per_row) * height, (index % per_row) * width
        side = _side(tile)
        for i, cell in enumerate(tile):
            at = top + i // side, left + i % side
            z[at] = _UNKNOWN_Z if cell.value is None else cell.value
            text[at] = cell.text
    return z[:, :columns], text[:, :columns]


def _scale(colours: palette.Palette) -> list[tuple[float, str]]:
    """Unknown up to just below 0, then the mode's scale from 0 to 1 (z runs from −0.25 to 1)."""
    zero = -_UNKNOWN_Z / (1 - _UNKNOWN_Z)
    steps = len(colours.scale) - 1
    ramp = [(zero + (1 - zero) * i / steps, c) for i, c in enumerate(colours.scale)]
    return [(0.0, colours.unknown), (zero - 1e-6, colours.unknown), *ramp]


def chips_heatmap(tiers: Iterable[FleetTier], metric: Metric, *, key: str) -> Picture:
    """Draw the chips of those tiers; returns what was drawn, for the caption."""
    picture = draw_picture(list(tiers), metric)
    if picture.z.size == 0:
        return picture
    colours = palette.current()
    rows, columns = picture.z.shape
    layout = {
        "height": max(120, min(620, round(rows * _WIDTH_PX / columns) + 40)),
        "margin": {"l": 0, "r": 0, "t": 34, "b": 2},
        "xaxis": {"visible": False, "fixedrange": True, "range": [-0.5, columns - 0.5]},
        "yaxis": {"visible": False, "fixedrange": True, "range": [rows - 0.5, -0.5]},
        "uirevision": key,
        "annotations": [
            {
                "x": -0.5, "y": row - 0.6, "text": name, "showarrow": False, "xanchor": "left",
                "yanchor": "bottom", "font": {"size": 11}, "xshift": 1,
            }
            for row, name in picture.labels
        ],
    }  # fmt: skip
    figure = {"data": [_trace(picture, metric, colours)], "layout": layout}
    st.plotly_chart(
        figure,
        key=key,
        config={"displayModeBar": False, "displaylogo": False},
        alt=f"{metric} utilisation of {picture.known} chips, {picture.unknown} unknown",
    )
    return picture


def _trace(picture: Picture, metric: Metric, colours: palette.Palette) -> dict[str, Any]:
    bar: dict[str, Any] = {
        "tickvals": [_UNKNOWN_Z / 2, 0.0, 0.25, 0.5, 0.75, 1.0],
        "ticktext": ["unknown", "0%", "25%", "50%", "75%", "100%"],
        "orientation": "h",
        "thickness": 8,
        "outlinewidth": 0,
        "tickfont": {"size": 10},
        "tickangle": 0,
        "len": 380,
        "lenmode": "pixels",
        "x": 0.985,
        "xanchor": "right",
        "y": 1.0,
        "yanchor": "bottom",
        "ypad": 2,
        "title": None,
    }
    gap = 1 if picture.z.shape[1] < 160 else 0.5
    return {
        "type": "heatmap",
        "z": picture.z.round(3),
        "text": picture.text,
        "zmin": _UNKNOWN_Z,
        "zmax": 1.0,
        "colorscale": _scale(colours),
        "colorbar": bar,
        "hoverongaps": False,
        "xgap": gap,
        "ygap": gap,
        "hovertemplate": f"%{{text}}<extra>{metric}</extra>",
    }
