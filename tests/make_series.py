"""Builders of time series and what happened in them, for tests; `tests/make.py` offers them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from core.series import UNITS, Annotation, Series, Signal, Window
from tests.make_inventory import NOW


def make_window(hours: float = 24, now: datetime = NOW, step_s: int = 300) -> Window:
    """The last hours, aligned to the step."""
    end = datetime.fromtimestamp(now.timestamp() // step_s * step_s, UTC)
    return Window(end - timedelta(hours=hours), end, step_s)


def make_series(
    tier: str, signal: Signal, window: Window, level: float = 1.0, gap: tuple[int, int] = (0, 0)
) -> Series:
    """A daily wave around `level`; the steps of `gap` (from, to) have no point."""
    steps = int((window.end - window.start).total_seconds() // window.step_s)
    times = tuple(window.start + timedelta(seconds=window.step_s * (i + 1)) for i in range(steps))
    values = tuple(
        None if gap[0] <= i < gap[1] else level * (1 + 0.3 * math.sin(i / 30) + 0.05 * math.sin(i))
        for i in range(steps)
    )
    return Series(tier, signal, window, times, values, UNITS[signal])


def make_annotations(window: Window) -> tuple[Annotation, ...]:
    """One of our own actions and one of the cloud's."""
    span = window.end - window.start
    return (
        Annotation(window.start + span * 0.3, "small", "small scaled 47 → 48 slices", "heartwood"),
        Annotation(window.start + span * 0.7, "", "GKE upgraded the control plane", "cloud"),
    )
