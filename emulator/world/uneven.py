"""A part of which one slice gets more than its share: two loads, and both taken together.

The hot slice and the rest are solved each for themselves, so that what one cannot carry is turned
away though the other has room. Little's law holds for the two, and so for their sum.
"""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import Final

import numpy as np

from emulator.world.load import Load
from emulator.world.noise import Floats


class Which(StrEnum):
    """Whose load: of all slices, of the hot one, or of the others."""

    ALL = "all"
    HOT = "hot"
    REST = "rest"


# What adds up; `engines` weighs what is a ratio of the chips, `accepted` what a request meets.
_SUMS: Final = frozenset(
    {"slices", "engines", "offered", "accepted", "completed", "client_errors", "failed",
     "rejected", "running", "waiting", "prompt_tokens", "generation_tokens"}
)  # fmt: skip
_OF_CHIPS: Final = frozenset(
    {"utilisation", "kv_ratio", "hbm_ratio", "bandwidth_ratio", "duty_ratio"}
)
_OF_TOKENS: Final = frozenset({"itl_s", "itl_sigma"})
_SHAPES: Final = {"ttft_sigma": "ttft_s", "e2e_sigma": "e2e_s"}


def together(hot: Load, rest: Load) -> Load:
    """The load of both; distributions become the log-normal of the same mean and variance."""
    values: dict[str, Floats] = {}
    for field in fields(Load):
        name = field.name
        one, other = getattr(hot, name), getattr(rest, name)
        if name in _SUMS:
            values[name] = one + other
        elif name in _OF_CHIPS:
            values[name] = _mean(one, other, hot.engines, rest.engines)
        elif name in _OF_TOKENS:
            values[name] = _mean(one, other, hot.generation_tokens, rest.generation_tokens)
        elif name == "cache_hit_ratio":
            values[name] = _mean(one, other, hot.prompt_tokens, rest.prompt_tokens)
        elif name in _SHAPES:
            values[name] = _shape(hot, rest, name, _SHAPES[name])
        elif name != "minutes":
            values[name] = _mean(one, other, hot.accepted, rest.accepted)
    return Load(minutes=hot.minutes, **values)


def _mean(one: Floats, other: Floats, weight: Floats, beside: Floats) -> Floats:
    total = weight + beside
    share = np.divide(weight, total, out=np.zeros_like(total), where=total > 0)
    return share * one + (1.0 - share) * other


def _shape(hot: Load, rest: Load, sigma: str, mean: str) -> Floats:
    """σ of the log-normal with the mixture's mean and second moment."""
    squares = [getattr(x, mean) ** 2 * np.exp(getattr(x, sigma) ** 2) for x in (hot, rest)]
    middle = _mean(getattr(hot, mean), getattr(rest, mean), hot.accepted, rest.accepted)
    square = _mean(squares[0], squares[1], hot.accepted, rest.accepted)
    return np.sqrt(np.maximum(np.log(square / middle**2), 1e-6))
