"""Objectives: burn rates and latency thresholds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core.records import Quantiles
from core.series import Series, Signal
from core.slo import Standing, burn_rates, tier_slo
from tests.make import make_loads, make_series, make_specs, make_window

SMALL = next(s for s in make_specs() if s.name == "small")
WINDOW = make_window(6, step_s=60)


def flat(signal: Signal, value: float | None, *, last_s: int = 0, then: float = 0.0) -> Series:
    """The same value in each step, another one in the last `last_s` seconds."""
    series = make_series("small", signal, WINDOW)
    since = WINDOW.end - timedelta(seconds=last_s)
    return replace(series, values=tuple(then if t > since else value for t in series.times))


def test_burn_is_the_error_ratio_over_the_budget() -> None:
    """1% errors against 99.9% burn ten times as fast as the budget allows, in every window."""
    burns = burn_rates(0.999, flat(Signal.REQUESTS, 10.0), flat(Signal.ERRORS, 0.01))
    assert [b.window_s for b in burns] == [3600, 300, 21600, 1800]
    assert all(b.rate is not None and abs(b.rate - 10) < 1e-6 for b in burns)
    assert burns[0].events == 36000


def test_a_fast_burn_needs_both_windows() -> None:
    """14.4× over 1 h and 5 min is missed; when the last 5 minutes are clean it is at risk."""
    requests = flat(Signal.REQUESTS, 10.0)
    load = make_loads()["small"]
    burning = tier_slo(SMALL, load, requests, flat(Signal.ERRORS, 0.02))
    assert burning.objectives[0].standing is Standing.MISSED
    over = tier_slo(SMALL, load, requests, flat(Signal.ERRORS, 0.02, last_s=2400))
    assert over.objectives[0].standing is Standing.AT_RISK


def test_a_slow_burn_is_found() -> None:
    """6× over 6 h and 30 min, below the fast alarm, is missed too."""
    slo = tier_slo(SMALL, None, flat(Signal.REQUESTS, 10.0), flat(Signal.ERRORS, 0.007))
    assert slo.objectives[0].standing is Standing.MISSED
    assert "6 h" in slo.objectives[0].sentence


def test_few_requests_prove_nothing() -> None:
    """Below 100 requests a window has no rate, so one error at night raises no alarm."""
    burns = burn_rates(0.999, flat(Signal.REQUESTS, 0.001), flat(Signal.ERRORS, 1.0))
    assert [b.rate for b in burns] == [None] * 4


def test_no_data_is_unknown_not_met() -> None:
    """Gaps give no rate; without a load nothing is met."""
    burns = burn_rates(0.999, flat(Signal.REQUESTS, None), flat(Signal.ERRORS, None))
    assert all(b.rate is None and (b.events or 0) == 0 for b in burns)
    slo = tier_slo(SMALL, None)
    assert slo.standing is Standing.UNKNOWN


def test_latency_against_its_threshold() -> None:
    """Under 90% of it is met, above that at risk, above it missed."""
    load = make_loads()["small"]
    for ttft_ms, standing in ((200, "met"), (290, "at risk"), (301, "missed")):
        found = tier_slo(SMALL, replace(load, ttft=Quantiles(p95_ms=ttft_ms)))
        assert found.objectives[1].standing.value == standing


def test_one_slow_request_is_no_missed_objective() -> None:
    """Of fewer than twenty requests the 95th percentile is the slowest: nothing is judged."""
    load = replace(make_loads()["small"], ttft=Quantiles(p95_ms=9000))
    few = tier_slo(SMALL, replace(load, requests_per_s=5 / 300, error_ratio=0.2))
    assert [o.standing for o in few.objectives[:2]] == [Standing.UNKNOWN] * 2
    assert "5 requests" in few.objectives[1].sentence
    many = tier_slo(SMALL, replace(load, requests_per_s=20 / 300))
    assert many.objectives[1].standing is Standing.MISSED


def test_five_bad_minutes_alarm_before_the_hour_does() -> None:
    """14.4× over five minutes alone is at risk and alarming; a burn that has ended is not."""
    requests = flat(Signal.REQUESTS, 10.0)
    new = tier_slo(SMALL, None, requests, flat(Signal.ERRORS, 0.0, last_s=300, then=0.02))
    assert (new.objectives[0].standing, new.objectives[0].alarming) == (Standing.AT_RISK, True)
    assert "5 min" in new.objectives[0].sentence
    over = tier_slo(SMALL, None, requests, flat(Signal.ERRORS, 0.02, last_s=2400))
    assert (over.objectives[0].standing, over.objectives[0].alarming) == (Standing.AT_RISK, False)


def test_no_objective_is_none() -> None:
    """A tier without objectives has no standing at all."""
    free = replace(SMALL, objectives=type(SMALL.objectives)())
    assert tier_slo(free, None).standing is Standing.NONE
