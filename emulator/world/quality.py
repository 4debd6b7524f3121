"""How good a tier's answers are, as a job finds that has tasks solved and checks the results.

A batch of tasks every five minutes; a task whose request fails is not solved. The share that a
model solves grows with its size; the figures are made up, for one judge and one set of tasks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from emulator.scenario import Model
from emulator.world.incidents import Event
from emulator.world.load import Load
from emulator.world.noise import Floats, Ints, stream, uniform

BATCH_MIN: Final = 5
_TASKS: Final = 400
# Share solved by a model of 1e9 parameters, and how much more by one ten times as large.
_SMALLEST, _STEP = 0.70, 0.06


def usual(model: Model) -> float:
    """The share of the tasks that a model solves when all is well, 0..1."""
    return min(_SMALLEST + _STEP * math.log10(model.parameters / 1e9), 0.95)


def batches(minutes: Ints) -> Ints:
    """The minute in which each minute's newest batch was asked."""
    return minutes // BATCH_MIN * BATCH_MIN


def solved(model: Model, load: Load, dropped: Floats, seed: int, part: str) -> Floats:
    """Share of the tasks solved in the batches asked in the load's minutes, 0..1.

    Args:
        dropped: how much worse answers are for want of something, 0..1.
    """
    offered = np.maximum(load.offered, 1e-9)
    right = np.clip(usual(model) - dropped, 0.0, 1.0) * np.clip(load.completed / offered, 0.0, 1.0)
    # Chance of so many tasks, spread evenly with a binomial's variance.
    chance = uniform(stream(seed, "evaluation", part), load.minutes) - 0.5
    return np.clip(right + chance * np.sqrt(12.0 * right * (1.0 - right) / _TASKS), 0.0, 1.0)


def worse(events: Iterable[Event], clock: Floats) -> Floats:
    """How much worse answers are at each Unix time, by incidents of one part."""
    found = np.zeros(clock.shape)
    for event in events:
        if event.quality_drop:
            found = found + event.quality_drop * event.weight(clock)
    return found
