"""All chips of a fleet as one picture: a cell per chip, a tile per slice, a block per tier.

One canvas whatever the size (`assets/chip_map.js`), so that 9,216 chips draw at once. A chip
without a figure has a colour outside the scale; a place that holds no chip has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.fleet import FleetHost, FleetSlice, FleetTier
from core.records import ChipReading
from ui import components, formats, palette

UNKNOWN_Z: Final = -0.2  # below the scale
_ASPECT: Final = 4.2  # columns per row of the whole picture
_WIDTH_PX: Final = 1080  # of the picture on a desktop, to tell how high a cell will be


class Metric(StrEnum):
    """What the colour means."""

    TENSORCORE = "TensorCore"
    HBM = "HBM"


@dataclass(frozen=True, slots=True)
class Tile:
    """One slice: a figure per chip (None: unknown) and whose chips they are, in that order.

    `hosts` are (name, chips, why chips of it may be unknown).
    """

    name: str
    values: tuple[float | None, ...]
    hosts: tuple[tuple[str, int, str], ...]

    @property
    def side(self) -> int:
        """Columns."""
        return max(1, math.ceil(math.sqrt(len(self.values))))

    @property
    def rows(self) -> int:
        """Rows."""
        return max(1, math.ceil(len(self.values) / self.side))


@dataclass(frozen=True, slots=True)
class Picture:
    """The matrix of the whole fleet.

    Attributes:
        z: NaN where there is no chip, `UNKNOWN_Z` for a chip without a figure.
        tiles: (first row, first column, slice).
        labels: (first row, name) of the blocks.
    """

    z: NDArray[np.float64]
    tiles: tuple[tuple[int, int, Tile], ...]
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


def tile_of(piece: FleetSlice, metric: Metric) -> Tile:
    """The slice's chips; those that did not report, or whose host is hidden, are unknown."""
    values: list[float | None] = []
    for host in piece.hosts:
        readings = host.readings[: host.chips]
        values += [reading_value(reading, metric) for reading in readings]
        values += [None] * (host.chips - len(readings))
    values += [None] * max(0, piece.chips - len(values))
    return Tile(
        piece.name,
        tuple(values),
        tuple((host.name, host.chips, _why(host)) for host in piece.hosts),
    )


def _why(host: FleetHost) -> str:
    silent = len(host.readings) < host.chips
    return (host.reason or "no reading") if silent else ""


def draw_picture(tiers: Sequence[FleetTier], metric: Metric) -> Picture:
    """The matrix for those tiers; tiers without a slice take no room."""
    blocks = [
        (tier, [tile_of(piece, metric) for piece in tier.slices])
        for tier in tiers
        if tier.unit == "chip" and tier.slices
    ]
    area = sum((tile.side + 1) * (tile.rows + 1) for _, tiles in blocks for tile in tiles)
    columns = max(24, math.ceil(math.sqrt(area * _ASPECT)))
    placed: list[tuple[int, int, Tile]] = []
    labels: list[tuple[int, str]] = []
    row = 0
    for tier, tiles in blocks:
        labels.append((row, f"{tier.spec.title} · {_size(tier)}"))
        places, height = _places(tiles, columns)
        placed += [(row + top, left, tile) for (top, left), tile in zip(places, tiles, strict=True)]
        row += height
    columns = max([columns, *(left + tile.side for _, left, tile in placed)])
    z = np.full((row, columns), np.nan)
    for top, left, tile in placed:
        figures = [UNKNOWN_Z if v is None else v for v in tile.values]
        for i, figure in enumerate(figures):
            z[top + i // tile.side, left + i % tile.side] = figure
    unknown = int(np.count_nonzero(z == UNKNOWN_Z))
    known = int(np.count_nonzero(~np.isnan(z))) - unknown
    return Picture(z, tuple(placed), tuple(labels), known, unknown)


def _size(tier: FleetTier) -> str:
    slices = formats.plural(len(tier.slices), "slice")
    return f"{slices} of {tier.spec.topology}, {formats.count(tier.chip_count.running)} chips"


def _places(tiles: Sequence[Tile], columns: int) -> tuple[list[tuple[int, int]], int]:
    """(row, column) of each tile, side by side, one empty row and column between; the height."""
    width = max(tile.side for tile in tiles) + 1
    height = max(tile.rows for tile in tiles) + 1
    per_row = max(1, (columns + 1) // width)
    places = [((i // per_row) * height, (i % per_row) * width) for i in range(len(tiles))]
    return places, math.ceil(len(tiles) / per_row) * height - 1


def chips_heatmap(tiers: Iterable[FleetTier], metric: Metric, *, key: str) -> Picture:
    """Draw the chips of those tiers; returns what was drawn, for the caption."""
    picture = draw_picture(list(tiers), metric)
    if picture.z.size == 0:
        return picture
    rows, columns = picture.z.shape
    height = max(80, min(620, round(rows * _WIDTH_PX / columns)))
    components.chip_map(key=key, data={**map_data(picture, metric), "height": height})
    return picture


def map_data(picture: Picture, metric: Metric) -> dict[str, Any]:
    """The picture as `assets/chip_map.js` takes it."""
    colours = palette.current()
    rows, columns = picture.z.shape
    return {
        "name": f"{metric} utilisation of {picture.known} chips, {picture.unknown} unknown",
        "metric": metric.value,
        "rows": rows,
        "columns": columns,
        "values": [_thousandths(value) for value in picture.z.ravel().tolist()],
        "tiles": [
            {
                "name": tile.name,
                "top": top,
                "left": left,
                "side": tile.side,
                "chips": len(tile.values),
                "hosts": tile.hosts,
            }
            for top, left, tile in picture.tiles
        ],
        "blocks": [{"row": row, "name": name} for row, name in picture.labels],
        "scale": colours.scale,
        "unknown": colours.unknown,
    }


def _thousandths(value: float) -> int:
    if math.isnan(value):
        return -2
    return -1 if value == UNKNOWN_Z else round(1000 * min(1.0, max(0.0, value)))
