"""Whether tiers keep their objectives: error-budget burn and latency against the threshold.

Burn rates follow Google's SRE workbook, chapter 5: page at 14.4× over 1 h and 5 min, at 6× over
6 h and 30 min; the short window makes the alarm end soon. With few requests a ratio means nothing,
so a minimum of events guards every burn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from core.records import TierLoad
from core.series import Series
from core.specs import TierSpec

MINIMUM_EVENTS: Final = 100
MINIMUM_TIMED: Final = 20  # of fewer requests the slowest one is the 95th percentile
AT_RISK_SHARE: Final = 0.9  # of a latency threshold
FAST: Final = (14.4, 3600, 300)
SLOW: Final = (6.0, 21600, 1800)


class Standing(StrEnum):
    """How an objective stands, worst first when sorted by `WORST_FIRST`."""

    MISSED = "missed"
    AT_RISK = "at risk"
    MET = "met"
    UNKNOWN = "unknown"
    NONE = "none"  # no objective is set


WORST_FIRST: Final = (
    Standing.MISSED,
    Standing.AT_RISK,
    Standing.UNKNOWN,
    Standing.MET,
    Standing.NONE,
)


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast one window eats the error budget: 1 = exactly used up over the SLO's window.

    `rate` None: no data, or fewer than `MINIMUM_EVENTS` requests (`events` tells how many).
    """

    window_s: int
    rate: float | None
    events: float | None


@dataclass(frozen=True, slots=True)
class ObjectiveState:
    """One objective: `target` and `now` in `unit`; `now` None: no data.

    `alarming`: the last minutes alone are as bad as what raises an alarm when it lasts.
    """

    name: str  # "availability", "TTFT p95", "latency p95"
    target: float
    now: float | None
    unit: str  # "ratio" or "ms"
    standing: Standing
    sentence: str
    alarming: bool = False


@dataclass(frozen=True, slots=True)
class TierSlo:
    """All objectives of a tier, and the worst standing of them."""

    tier: str
    standing: Standing
    objectives: tuple[ObjectiveState, ...]
    burns: tuple[Burn, ...] = ()


def tier_slo(
    spec: TierSpec,
    load: TierLoad | None,
    requests: Series | None = None,
    errors: Series | None = None,
) -> TierSlo:
    """How the tier stands.

    Args:
        spec: names the objectives.
        load: what the tier carries now.
        requests: requests/s over at least the last 6 hours; None: burn rates are unknown and
            availability is judged by `load` alone.
        errors: error ratio over the same steps.
    """
    aims = spec.objectives
    found: list[ObjectiveState] = []
    burns: tuple[Burn, ...] = ()
    if aims.availability_ratio is not None:
        if requests is not None and errors is not None:
            burns = burn_rates(aims.availability_ratio, requests, errors)
        found.append(_availability(aims.availability_ratio, load, burns))
    if aims.ttft_p95_ms is not None:
        now = load.ttft.p95_ms if load else None
        found.append(_latency("TTFT p95", aims.ttft_p95_ms, now, _events(load)))
    if aims.latency_p95_ms is not None:
        now = load.latency.p95_ms if load else None
        found.append(_latency("latency p95", aims.latency_p95_ms, now, _events(load)))
    return TierSlo(spec.name, worst(o.standing for o in found), tuple(found), burns)


def worst(standings: Iterable[Standing]) -> Standing:
    """The worst of them; `NONE` when there are none."""
    found = set(standings)
    return next((s for s in WORST_FIRST if s in found), Standing.NONE)


def burn_rates(availability_ratio: float, requests: Series, errors: Series) -> tuple[Burn, ...]:
    """Burn over 1 h, 5 min, 6 h and 30 min before the end of the series, in that order."""
    end = requests.window.end
    return tuple(
        _burn(availability_ratio, requests, errors, end, window_s)
        for _, long_s, short_s in (FAST, SLOW)
        for window_s in (long_s, short_s)
    )


def _burn(
    availability_ratio: float, requests: Series, errors: Series, end: datetime, window_s: int
) -> Burn:
    """Error ratio of the window ÷ (1 − objective), each step weighted by its requests."""
    since = end - timedelta(seconds=window_s)
    ratios = dict(zip(errors.times, errors.values, strict=True))
    step_s = requests.window.step_s
    served, failed, seen = 0.0, 0.0, False
    for at, rate in zip(requests.times, requests.values, strict=True):
        ratio = ratios.get(at)
        if rate is None or not since < at <= end:
            continue
        if ratio is None and rate > 0:
            continue  # requests without an error figure prove nothing
        seen = True
        served += rate * step_s
        failed += rate * step_s * (ratio or 0.0)
    if not seen:
        return Burn(window_s, None, None)
    if served < MINIMUM_EVENTS:
        return Burn(window_s, None, served)
    return Burn(window_s, failed / served / (1 - availability_ratio), served)


def _availability(target: float, load: TierLoad | None, burns: tuple[Burn, ...]) -> ObjectiveState:
    ratio = load.error_ratio if load else None
    now = None if ratio is None else 1 - ratio

    def state(standing: Standing, sentence: str) -> ObjectiveState:
        alarming = standing is Standing.AT_RISK and _burns_fast(target, load, burns)
        return ObjectiveState("availability", target, now, "ratio", standing, sentence, alarming)

    for limit, long, short in _pairs(burns):
        if long.rate is None or short.rate is None:
            continue
        if long.rate >= limit and short.rate >= limit:
            return state(
                Standing.MISSED,
                f"error budget burns at {long.rate:.1f}× over {_span(long.window_s)} and"
                f" {short.rate:.1f}× over {_span(short.window_s)} (alarm at {limit:g}×)",
            )
    rates = [b for b in burns if b.rate is not None]
    newest = max(
        (b for b in rates if b.window_s <= SLOW[2]), key=lambda b: b.rate or 0.0, default=None
    )
    if newest is not None and newest.rate is not None and newest.rate > 1:
        rates = [newest]  # what burns now is said, not what burned hours ago
    fastest = max(rates, key=lambda b: b.rate or 0.0, default=None)
    if fastest is not None and fastest.rate is not None and fastest.rate > 1:
        return state(
            Standing.AT_RISK,
            f"error budget burns at {fastest.rate:.1f}× over {_span(fastest.window_s)}",
        )
    if fastest is not None:
        return state(Standing.MET, f"error budget burns at {fastest.rate or 0.0:.2f}× at most")
    return _availability_now(target, now, _events(load), state)


def _events(load: TierLoad | None) -> float | None:
    """Requests of the load's window; None: not known."""
    if load is None or load.requests_per_s is None:
        return None
    return load.requests_per_s * load.window_s


def _burns_fast(target: float, load: TierLoad | None, burns: tuple[Burn, ...]) -> bool:
    """Whether the newest minutes burn at the fast alarm's rate, over enough requests."""
    limit, _, short_s = FAST
    if any(b.window_s == short_s and b.rate is not None and b.rate >= limit for b in burns):
        return True
    events = _events(load)
    if load is None or load.error_ratio is None or (events or 0.0) < MINIMUM_EVENTS:
        return False
    return load.error_ratio / (1 - target) >= limit


_Build = Callable[[Standing, str], ObjectiveState]


def _availability_now(
    target: float, now: float | None, events: float | None, state: _Build
) -> ObjectiveState:
    if now is None:
        return state(Standing.UNKNOWN, "no requests in the window, so no error ratio")
    if now < target and events is not None and events < MINIMUM_EVENTS:
        return state(Standing.UNKNOWN, f"{events:.0f} requests in the window: too few to judge")
    if now < target:
        return state(Standing.AT_RISK, f"{now:.3%} now, objective {target:.3%}")
    return state(Standing.MET, f"{now:.3%} now, objective {target:.3%}")


def _pairs(burns: tuple[Burn, ...]) -> tuple[tuple[float, Burn, Burn], ...]:
    if len(burns) != 4:
        return ()
    return ((FAST[0], burns[0], burns[1]), (SLOW[0], burns[2], burns[3]))


def _latency(
    name: str, target_ms: float, now_ms: float | None, events: float | None
) -> ObjectiveState:
    if now_ms is None:
        standing, sentence = Standing.UNKNOWN, "no requests in the window"
    elif events is not None and events < MINIMUM_TIMED:
        standing = Standing.UNKNOWN
        sentence = f"{events:.0f} requests in the window: too few for a 95th percentile"
    else:
        sentence = f"{now_ms:,.0f} ms now, objective {target_ms:,.0f} ms"
        standing = Standing.MET
        if now_ms > target_ms:
            standing = Standing.MISSED
        elif now_ms > AT_RISK_SHARE * target_ms:
            standing = Standing.AT_RISK
    return ObjectiveState(name, target_ms, now_ms, "ms", standing, sentence)


def _span(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds // 60} min"
