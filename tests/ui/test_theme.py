"""The theme's colours can be told apart from what is below them."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.processes import ROOT

THEME = tomllib.loads((ROOT / ".streamlit/config.toml").read_text("utf-8"))["theme"]
TEXT, SHAPE = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11, level AA


def luminance(colour: str) -> float:
    """Relative luminance of #RRGGBB, as WCAG defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The ratio of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_words_and_shapes_are_seen(mode: str) -> None:
    """White on a primary button, words on both surfaces, the primary colour beside them."""
    theme: dict[str, Any] = THEME[mode]
    for area in (theme, {**theme, **theme["sidebar"]}):
        assert contrast("#FFFFFF", area["primaryColor"]) >= TEXT
        for surface in (area["backgroundColor"], area["secondaryBackgroundColor"]):
            assert contrast(area["textColor"], surface) >= TEXT
            assert contrast(area["primaryColor"], surface) >= SHAPE


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_chosen_segment_can_be_read(mode: str) -> None:
    """On a tenth of the primary colour over the page's surface, as Streamlit draws it."""
    theme: dict[str, Any] = THEME[mode]
    below, above = theme["backgroundColor"], theme["primaryColor"]
    mixed = (
        round(0.9 * int(below[i : i + 2], 16) + 0.1 * int(above[i : i + 2], 16)) for i in (1, 3, 5)
    )
    tint = "#" + "".join(f"{part:02x}" for part in mixed)
    assert contrast(theme["textColor"], tint) >= TEXT
