"""A condition on its series: which points are bad, good or missing. Pure in the series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from emulator.apis.monitoring.columns import Table
from emulator.apis.monitoring.distributions import Distributions
from emulator.apis.monitoring.policy_checks import Condition
from emulator.apis.monitoring.query import TYPE, Answer, Step
from emulator.apis.monitoring.series import SeriesReader
from emulator.wire.errors import ApiError
from emulator.world.noise import Floats, Ints

BAD: Final = 1
GOOD: Final = 0
MISSING: Final = -1

# A series by its labels, as columns.py names them, empty ones left out.
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """States (series, points) at `times` (Unix seconds, ends of the alignment periods)."""

    labels: Table
    times: Floats
    states: Ints

    def keys(self) -> list[Key]:
        """Each series' labels."""
        return keys_of(self.labels)


def keys_of(labels: Table) -> list[Key]:
    """Each row's labels, sorted by name; empty ones left out."""
    columns = [
        [(name, column.values[code]) for code in column.codes.tolist()]
        for name, column in sorted(labels.columns.items())
    ]
    if not columns:
        return [()] * labels.size
    return [tuple(pair for pair in row if pair[1]) for row in zip(*columns, strict=True)]


def judge(test: Condition, reader: SeriesReader, start: float, end: float) -> Verdicts:
    """The condition in (start, end]; both are multiples of the condition's period.

    A metric that is gone (deleted since) has no series.
    """
    found = _series(reader, test.filter, test.steps, start, end)
    if found is None:
        return Verdicts(Table(0, {}), np.zeros(0), np.zeros((0, 0), dtype=np.int64))
    values = _numbers(found)
    if test.denominator is not None:
        values = values / _denominator(test.denominator, reader, found, start, end)
    present = np.isfinite(values)
    if test.absent:
        states = np.where(present, GOOD, BAD)
    else:
        beyond = values < test.threshold if test.below else values > test.threshold
        states = np.where(present, np.where(beyond, BAD, GOOD), test.missing)
    return Verdicts(found.labels, found.ends, states.astype(np.int64))


def _series(
    reader: SeriesReader, text: str, steps: tuple[Step, ...], start: float, end: float
) -> Answer | None:
    try:
        _, pieces = reader.read(text, start, end, steps, end)
    except ApiError as error:
        if error.code.name != "NOT_FOUND":
            raise
        return None
    return pieces[0].evaluate() if pieces else None


def _numbers(found: Answer) -> Floats:
    """An absence may ask for distributions: these are there where they hold an event."""
    if isinstance(found.values, Distributions):
        return np.where(found.values.counts.sum(axis=-1) >= 0.5, 1.0, np.nan)
    return found.values


def _denominator(
    asked: tuple[str, tuple[Step, ...]], reader: SeriesReader, numerator: Answer, start: float,
    end: float,
) -> Floats:  # fmt: skip
    """The other side of the ratio, in the numerator's rows; NaN where it is 0 or missing."""
    out = np.full((numerator.labels.size, len(numerator.ends)), np.nan)
    found = _series(reader, *asked, start, end)
    if found is None or len(found.ends) != len(numerator.ends):
        return out
    values = _numbers(found)
    rows = {_without_type(key): row for row, key in enumerate(keys_of(found.labels))}
    for row, key in enumerate(keys_of(numerator.labels)):
        other = rows.get(_without_type(key))
        if other is not None:
            out[row] = np.where(values[other] == 0, np.nan, values[other])
    return out


def _without_type(key: Key) -> Key:
    return tuple(pair for pair in key if pair[0] != TYPE)
