"""Colours that carry meaning: one per tier, one per state, the heatmap's scale; for both modes.

The page's own surfaces and text are in `.streamlit/config.toml`. Charts take their fonts and grid
from Streamlit's theme, which follows the browser at once; what is here follows
`st.context.theme` at the next run and is readable on both backgrounds meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one mode.

    Attributes:
        series: by position of the tier in the settings file.
        scale: the heatmap's colours from 0 to 1.
        unknown: what has no figure; outside the scale in hue.
    """

    series: tuple[str, ...]
    good: str
    warning: str
    bad: str
    muted: str
    text: str
    surface: str
    line: str
    unknown: str
    scale: tuple[str, ...]


LIGHT: Final = Palette(
    series=(
        "#8C5A2B", "#2862C9", "#0E8A72", "#8450D6", "#C77708", "#B8396B", "#557A1F", "#6A726D",
    ),
    good="#2C7A53", warning="#A65B08", bad="#C23A32", muted="#6A726D", text="#1D2320",
    surface="#FCFCFA", line="#DCDCD4", unknown="#E3DFEA",
    scale=("#F3EFE2", "#D9E4C3", "#A9CDA5", "#6FB08B", "#3C8F74", "#1F6B5E", "#0F4746"),
)  # fmt: skip
DARK: Final = Palette(
    series=(
        "#CF9A66", "#7CABFF", "#4CCBAE", "#B595FA", "#F0AE48", "#F08BB2", "#A9CC6A", "#98A29C",
    ),
    good="#62C495", warning="#EBA04A", bad="#F0766C", muted="#98A29C", text="#E4E7E2",
    surface="#131614", line="#333A36", unknown="#3A3344",
    scale=("#1F2A24", "#1F4034", "#235C47", "#2F7D5D", "#4FA17A", "#8AC79C", "#D5EBB8"),
)  # fmt: skip


def is_dark() -> bool:
    """Whether the browser shows the dark mode; light until it has told."""
    return st.context.theme.type == "dark"


def current() -> Palette:
    """The palette of the mode that the browser shows."""
    return DARK if is_dark() else LIGHT


def tier_colours(tiers: Sequence[str]) -> dict[str, str]:
    """One colour per tier, by position; the same on every chart of every page."""
    series = current().series
    return {tier: series[i % len(series)] for i, tier in enumerate(tiers)}


def translucent(colour: str, opacity: float) -> str:
    """ "#RRGGBB" as rgba(), for fills."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
