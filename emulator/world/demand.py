"""How many requests arrive: day, week, slow drift and bursts, per minute.

What becomes of them stands in load.py. A minute is Unix time // 60; its rate holds throughout it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from emulator.world.noise import Floats, Ints, smooth, stream, uniform
from emulator.world.parts import Part, PartKind

# Requests per second over all tiers at the mean of the week: it makes the scenario's fleets run at
# about half of their roofline capacity.
PROJECT_RPS: Final = 4950.0

_PEAK_HOUR_UTC: Final = 20.0
_DAY_MINUTES: Final = 1440.0
_BURST_MINUTES: Final = 30
_BURST_PROBABILITY: Final = 0.03


def offered_rps(part: Part, seed: int, minutes: Ints) -> Floats:
    """Requests per second that arrive at the part in each minute, before incidents."""
    amplitude = 0.45 if part.kind is PartKind.TPU_VM else 0.25
    rate = part.share * PROJECT_RPS * daily(minutes, amplitude) * weekly(minutes)
    drift = 0.05 * smooth(stream(seed, part.tier, "drift"), minutes, 173.0)
    ripple = 0.03 * smooth(stream(seed, part.tier, "ripple"), minutes, 11.0)
    # Per-minute scatter: arrivals' coefficient of variation is 1.09 in the public trace, so that
    # a minute with n of them scatters by 1.09/√n (a uniform number has σ = 1/√12).
    expected = np.maximum(rate * 60.0, 1.0)
    white = uniform(stream(seed, part.key, "white"), minutes) - 0.5
    scatter = np.clip(1.09 * np.sqrt(12.0) * white / np.sqrt(expected), -0.5, 0.5)
    return rate * (1.0 + drift + ripple + scatter) * bursts(part, seed, minutes)


def daily(minutes: Ints, amplitude: float) -> Floats:
    """The day's shape around 1: an afternoon peak in North America, a night's trough."""
    hours = (minutes % int(_DAY_MINUTES)) / 60.0
    first = np.cos(2 * np.pi * (hours - _PEAK_HOUR_UTC) / 24.0)
    second = np.cos(4 * np.pi * (hours - _PEAK_HOUR_UTC + 2.0) / 24.0)
    return 1.0 + amplitude * first + 0.05 * second


def weekly(minutes: Ints) -> Floats:
    """The week's shape around 1, without a jump at midnight (Monday first)."""
    levels = np.array([1.03, 1.05, 1.06, 1.05, 1.02, 0.9, 0.9])
    position = minutes / _DAY_MINUTES - 0.5
    day = np.floor(position).astype(np.int64)
    weight = position - day
    # Unix day 0 was a Thursday, index 3.
    left, right = levels[(day + 3) % 7], levels[(day + 4) % 7]
    return left * (1.0 - weight) + right * weight


def bursts(part: Part, seed: int, minutes: Ints) -> Floats:
    """Short bells of up to +18% in a few half-hours, ≥ 1."""
    block = minutes // _BURST_MINUTES
    draw = uniform(stream(seed, part.tier, "burst"), block)
    height = np.where(draw < _BURST_PROBABILITY, 0.06 + 4.0 * draw, 0.0)
    phase = (minutes % _BURST_MINUTES + 0.5) / _BURST_MINUTES
    return 1.0 + height * np.sin(np.pi * phase) ** 2
