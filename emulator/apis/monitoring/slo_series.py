"""An objective's series: health, compliance, burn rate, what is left of its error budget."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from google.cloud.monitoring_v3.types import service

from emulator.apis.monitoring.columns import Table, table
from emulator.apis.monitoring.distributions import Distributions
from emulator.apis.monitoring.model import MonitoringState, canonical
from emulator.apis.monitoring.query import Answer, Piece, Step
from emulator.apis.monitoring.series import SeriesReader, seconds
from emulator.apis.monitoring.slo_selectors import Selector, is_selector, read_selector
from emulator.apis.monitoring.windows import windows
from emulator.context import Cloud
from emulator.wire.errors import ApiError
from emulator.world.noise import Floats

_OBJECTIVE: Final = "projects/{project}/services/{service}/serviceLevelObjectives/{objective}"
# Steps of events that one query reads at most; a longer one reads in coarser steps.
_MOST_STEPS: Final = 45_000
_FORTNIGHT_ZERO: Final = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday


class Objectives:
    """Reads what a selector selects."""

    def __init__(self, cloud: Cloud, state: MonitoringState, reader: SeriesReader) -> None:
        self._cloud = cloud
        self._state = state
        self._reader = reader

    def check(self, text: str) -> None:
        """Pass a selector of an objective that exists.

        Raises:
            ApiError: INVALID_ARGUMENT: no selector; NOT_FOUND: no such objective.
        """
        self._find(read_selector(text))

    def read(
        self, text: str, start: float, end: float, steps: tuple[Step, ...], now: float
    ) -> list[Piece] | None:
        """The selected series at the ends of the alignment periods; None: it is no selector."""
        if not is_selector(text):
            return None
        asked = read_selector(text)
        objective = self._find(asked)
        period = steps[0].period_s or 60.0
        ends = windows(start, end, period, now).edges[1:]
        ends = ends[ends <= now]
        if not len(ends):
            return []
        begins = _begins(asked, objective, ends, period)
        events = self._events(objective, begins, ends, period, now)
        if events is None:
            return []
        answer = _answer(asked, float(objective.goal), *events, begins, ends)
        return [Piece(answer.labels, lambda: answer)]

    def _find(self, asked: Selector) -> service.ServiceLevelObjective:
        found = self._state.objectives.get(canonical(self._cloud, _OBJECTIVE, asked.objective))
        if found is None:
            raise ApiError(
                "NOT_FOUND", f"Service level objective '{asked.objective}' was not found."
            )
        return found

    def _events(
        self, objective: service.ServiceLevelObjective, begins: Floats, ends: Floats,
        period: float, now: float,
    ) -> tuple[Floats, Floats] | None:  # fmt: skip
        """(good, all) events in each (begin, end]; None for indicators that nothing measures."""
        indicator: Any = service.ServiceLevelObjective.pb(objective).service_level_indicator
        kind = indicator.WhichOneof("type")
        if kind == "basic_sli":
            return None
        if kind == "windows_based":
            step = seconds(indicator.windows_based.window_period)
        else:
            lengths = {int(x) for x in (ends - begins)} | {int(period)}
            step = float(max(math.gcd(*lengths), 1))
            step = max(step, math.ceil((ends[-1] - begins[0]) / _MOST_STEPS))
        first = math.floor(begins[0] / step) * step
        last = math.ceil(ends[-1] / step) * step
        if kind == "windows_based":
            found = self._window_counts(indicator.windows_based, first, last, step, now)
        else:
            found = self._counts(indicator.request_based, first, last, step, now)
        if found is None:
            return None
        good, every = found
        edges = first + step * np.arange(len(every) + 1)
        return _between(good, edges, begins, ends), _between(every, edges, begins, ends)

    def _counts(
        self, found: Any, start: float, end: float, step: float, now: float
    ) -> tuple[Floats, Floats] | None:
        """(good, all) events in each step."""
        if found.WhichOneof("method") == "good_total_ratio":
            ratio = found.good_total_ratio
            good, bad, every = (
                self._value(text, start, end, step, now) if text else None
                for text in (
                    ratio.good_service_filter, ratio.bad_service_filter, ratio.total_service_filter,
                )
            )  # fmt: skip
            return _ratio(good, bad, every)
        cut = found.distribution_cut
        dist = self._read(cut.distribution_filter, start, end, _delta(step), now)
        if not isinstance(dist, Distributions):
            return None
        inside = _below(dist, cut.range_.max_) - _below(dist, cut.range_.min_)
        return inside, dist.counts[0].sum(axis=-1)

    def _window_counts(
        self, found: Any, start: float, end: float, step: float, now: float
    ) -> tuple[Floats, Floats] | None:
        """(1 for a good window, 1 for a window with data) in each window."""
        kind = found.WhichOneof("window_criterion")
        if kind == "good_total_ratio_threshold":
            ratio = found.good_total_ratio_threshold
            if ratio.WhichOneof("type") != "performance":
                return None
            events = self._counts(ratio.performance, start, end, step, now)
            if events is None:
                return None
            with np.errstate(divide="ignore", invalid="ignore"):
                values, low, high = events[0] / events[1], ratio.threshold, math.inf
        elif kind == "good_bad_metric_filter":
            how = Step("ALIGN_FRACTION_TRUE", "REDUCE_MIN", step)
            read = self._read(found.good_bad_metric_filter, start, end, how, now)
            values, low, high = _only(read), 100.0, math.inf
        else:
            metric = getattr(found, kind)
            mean = kind == "metric_mean_in_range"
            how = Step("ALIGN_MEAN" if mean else "ALIGN_SUM", "REDUCE_MEAN" if mean else
                       "REDUCE_SUM", step)  # fmt: skip
            values = _only(self._read(metric.time_series, start, end, how, now))
            low, high = metric.range_.min_, metric.range_.max_
        if values is None:
            return None
        present = np.isfinite(values)
        good = present & (values >= low) & (values <= high)
        return good.astype(np.float64), present.astype(np.float64)

    def _value(self, text: str, start: float, end: float, step: float, now: float) -> Floats | None:
        found = _only(self._read(text, start, end, _delta(step), now))
        return None if found is None else np.nan_to_num(found)

    def _read(
        self, text: str, start: float, end: float, step: Step, now: float
    ) -> Floats | Distributions | None:
        _, pieces = self._reader.read(text, start, end, (step,), now)
        return pieces[0].evaluate().values if pieces else None


def _between(counts: Floats, edges: Floats, begins: Floats, ends: Floats) -> Floats:
    """Events in each (begin, end] out of those in each step between the edges."""
    total = np.append(0.0, np.cumsum(counts))
    return np.interp(ends, edges, total) - np.interp(begins, edges, total)


def _delta(step: float) -> Step:
    return Step("ALIGN_DELTA", "REDUCE_SUM", step)


def _only(found: Floats | Distributions | None) -> Floats | None:
    return found[0] if isinstance(found, np.ndarray) and len(found) else None


def _ratio(
    good: Floats | None, bad: Floats | None, every: Floats | None
) -> tuple[Floats, Floats] | None:
    """A series that is not there had no events."""
    sizes = {len(x) for x in (good, bad, every) if x is not None}
    if not sizes:
        return None
    none = np.zeros(min(sizes))
    if every is None:
        g, b = (none if x is None else x for x in (good, bad))
        return g, g + b
    if good is not None:
        return np.minimum(good, every), every
    return np.maximum(every - (none if bad is None else bad), 0.0), every


def _below(found: Distributions, limit: float) -> Floats:
    """Events below the limit, linear within the bucket that holds it; of one series."""
    counts, bounds = found.counts[0], found.bounds
    if limit == math.inf:
        return counts.sum(axis=-1)
    bucket = int(np.searchsorted(bounds, limit, side="right"))
    whole = counts[:, :bucket].sum(axis=-1)
    lower = bounds[bucket - 1] if bucket else 0.0
    if bucket >= len(bounds) or limit <= lower:
        return whole
    return whole + counts[:, bucket] * (limit - lower) / (bounds[bucket] - lower)


def _begins(
    asked: Selector, objective: service.ServiceLevelObjective, ends: Floats, period: float
) -> Floats:
    """From when on events count for the value at each end."""
    if asked.name in ("select_slo_health", "select_slo_counts"):
        return ends - period
    if asked.lookback_s:
        return ends - asked.lookback_s
    plain: Any = service.ServiceLevelObjective.pb(objective)
    if plain.WhichOneof("period") == "rolling_period":
        return ends - seconds(plain.rolling_period)
    return np.array([_calendar_start(float(end), plain.calendar_period) for end in ends])


def _calendar_start(at: float, period: int) -> float:
    """Start of the day, week, fortnight or month (google.type.CalendarPeriod) that holds `at`."""
    day = datetime.fromtimestamp(at - 1e-6, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == 4:
        return day.replace(day=1).timestamp()
    length = {1: 1, 2: 7, 3: 14}[period]
    return (day - timedelta(days=(day - _FORTNIGHT_ZERO).days % length)).timestamp()


def _answer(
    asked: Selector, goal: float, good: Floats, every: Floats, begins: Floats, ends: Floats
) -> Answer:
    if asked.name == "select_slo_counts":
        labels = table(2, metric={"event_type": ["good", "bad"]})
        values = np.stack([good, np.maximum(every - good, 0.0)])
        return Answer(labels, "DELTA", "DOUBLE", "1", begins, ends, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(every > 0, good / every, np.nan)
        budget = every * (1.0 - goal)
        found = {
            "select_slo_health": share,
            "select_slo_compliance": share,
            "select_slo_burn_rate": (1.0 - share) / (1.0 - goal),
            "select_slo_budget_total": budget,
            "select_slo_budget": budget - (every - good),
            "select_slo_budget_fraction": np.where(
                every > 0, 1.0 - (every - good) / budget, np.nan
            ),
        }[asked.name]
    return Answer(Table(1, {}), "GAUGE", "DOUBLE", "1", ends, ends, found[None, :])
