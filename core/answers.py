"""Whether a tier's answers have got worse: the share of an evaluation's tasks that they solve.

What measures the share is a job of the project's own (docs/evaluation.md). A task whose request
fails counts as not solved, so failures lower the share too, and are set against its fall.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean, median
from typing import Final

from core.series import Series

NEWEST_S: Final = 1800
LEAST_FALL_RATIO: Final = 0.03  # of all tasks; less is nothing that anybody would act on
SPREADS: Final = 5.0
USUAL_AT_LEAST_S: Final = 86_400  # of points; from less nobody knows what is usual
_NORMAL: Final = 1.4826  # standard deviations of a normal distribution in its median deviation


@dataclass(frozen=True, slots=True)
class WorseAnswers:
    """A tier's answers solve clearly fewer tasks than usual; both are shares of tasks, 0–1."""

    tier: str
    now_ratio: float
    usual_ratio: float


def worse_answers(
    newest: Series, before: Series, errors: Series | None = None
) -> WorseAnswers | None:
    """Whether the newest half hour lies clearly below what is usual; None: no, or nobody knows.

    What is usual is the median of `before`; of that only the share of requests that did not fail in
    the newest half hour can be expected. Clearly below is a mean that is less by more than
    `LEAST_FALL_RATIO` and by more than `SPREADS` times the spread of `before`, its median absolute
    deviation in standard deviations. So noise is measured, not assumed, and an hour of failures
    days ago moves neither figure.

    Args:
        newest: share of tasks solved; of it the last `NEWEST_S` seconds count.
        before: the same over days in steps of about `NEWEST_S`; what is within `newest` is left
            out. With points of less than `USUAL_AT_LEAST_S` nothing is known.
        errors: the tier's error ratio; where it is unknown failures explain nothing of a fall.
    """
    since, end = newest.window.end - timedelta(seconds=NEWEST_S), newest.window.end
    now = _values(newest, since, end)
    failed = _values(errors, since, end) if errors is not None else []
    usual = _values(before, before.window.start, newest.window.start)
    if not now or len(usual) * before.window.step_s < USUAL_AT_LEAST_S:
        return None
    middle, level = median(usual), fmean(now)
    spread = _NORMAL * median(abs(value - middle) for value in usual)
    expected = middle * (1.0 - (fmean(failed) if failed else 0.0))
    if expected - level <= max(LEAST_FALL_RATIO, SPREADS * spread):
        return None
    return WorseAnswers(newest.tier, level, middle)


def _values(series: Series, after: datetime, until: datetime) -> list[float]:
    pairs: Iterable[tuple[datetime, float | None]] = zip(series.times, series.values, strict=True)
    return [value for at, value in pairs if value is not None and after < at <= until]
