"""Endpoints that real answers have shown to be bad, and that get nothing for a while.

Follows a backend service's `outlierDetection`; fields and defaults are those that Compute's own
schema gives. There is one proxy here, so that what it finds holds for every request.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.apis.compute.model import Body

_GATEWAY: Final = (502, 503, 504)
_DEFAULTS: Final[dict[str, int]] = {
    "consecutiveErrors": 5,
    "enforcingConsecutiveErrors": 0,
    "consecutiveGatewayFailure": 3,
    "enforcingConsecutiveGatewayFailure": 100,
    "enforcingSuccessRate": 100,
    "successRateMinimumHosts": 5,
    "successRateRequestVolume": 100,
    "successRateStdevFactor": 1900,
    "maxEjectionPercent": 50,
}
_INTERVAL_S: Final = 1.0
_EJECTION_S: Final = 30.0


@dataclass(slots=True)
class _Seen:
    """Of one endpoint: failures in a row, answers since the last sweep, and its ejections."""

    errors: int = 0
    gateway: int = 0
    answers: int = 0
    good: int = 0
    ejections: int = 0
    out_until: float | None = None


@dataclass(slots=True)
class _Pool:
    swept_at: float
    seen: dict[str, _Seen] = field(default_factory=dict[str, _Seen])


class Outliers:
    """All backend services' outliers. Used from the data plane's event loop alone."""

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic; `chance`: draws from [0, 1)."""
        self._clock, self._chance = clock, chance
        self._pools: dict[str, _Pool] = {}

    def ejected(self, service: Body, members: Collection[str]) -> frozenset[str]:
        """Which of a service's endpoints get nothing now."""
        settings = service.get("outlierDetection")
        pool = self._pools.get(str(service["name"]))
        if not settings or pool is None:
            return frozenset()
        self._sweep(pool, settings, members)
        return frozenset(n for n in members if n in pool.seen and _is_out(pool.seen[n]))

    def saw(self, service: Body, members: Collection[str], member: str, status: int) -> None:
        """An endpoint answered, or failed to, which counts as the status the client was told."""
        settings = service.get("outlierDetection")
        if not settings:
            self._pools.pop(str(service["name"]), None)
            return
        pool = self._pools.setdefault(str(service["name"]), _Pool(self._clock()))
        self._sweep(pool, settings, members)
        seen = pool.seen.setdefault(member, _Seen())
        seen.answers += 1
        seen.good += status < 500
        seen.errors = seen.errors + 1 if status >= 500 else 0
        seen.gateway = seen.gateway + 1 if status in _GATEWAY else 0
        for found, most, enforced in (
            (seen.gateway, "consecutiveGatewayFailure", "enforcingConsecutiveGatewayFailure"),
            (seen.errors, "consecutiveErrors", "enforcingConsecutiveErrors"),
        ):
            if found and found % max(_of(settings, most), 1) == 0:
                self._eject(pool, settings, members, seen, _of(settings, enforced))

    def _sweep(self, pool: _Pool, settings: Body, members: Collection[str]) -> None:
        """What happens once an interval: endpoints come back, success rates are compared."""
        now = self._clock()
        interval_s = _seconds(settings.get("interval"), _INTERVAL_S)
        if now - pool.swept_at < interval_s:
            return
        pool.swept_at = now
        for name in pool.seen.keys() - set(members):
            del pool.seen[name]
        for seen in pool.seen.values():
            if seen.out_until is not None and now >= seen.out_until:
                seen.out_until, seen.errors, seen.gateway = None, 0, 0
        self._compare(pool, settings, members)
        for seen in pool.seen.values():
            seen.answers = seen.good = 0

    def _compare(self, pool: _Pool, settings: Body, members: Collection[str]) -> None:
        enough = _of(settings, "successRateRequestVolume")
        rates = {
            name: seen.good / seen.answers
            for name, seen in pool.seen.items()
            if seen.answers >= max(enough, 1) and not _is_out(seen)
        }
        if len(rates) < max(_of(settings, "successRateMinimumHosts"), 1):
            return
        factor = _of(settings, "successRateStdevFactor") / 1000
        least = statistics.fmean(rates.values()) - factor * statistics.pstdev(rates.values())
        for name, rate in rates.items():
            if rate < least:
                share = _of(settings, "enforcingSuccessRate")
                self._eject(pool, settings, members, pool.seen[name], share)

    def _eject(
        self, pool: _Pool, settings: Body, members: Collection[str], seen: _Seen, percent: int
    ) -> None:
        """Leave it out, with that chance, unless too many would be."""
        if _is_out(seen) or 100 * self._chance() >= percent:
            return
        out = sum(_is_out(pool.seen[name]) for name in members if name in pool.seen)
        if 100 * (out + 1) > _of(settings, "maxEjectionPercent") * len(members):
            return
        seen.ejections += 1
        base_s = _seconds(settings.get("baseEjectionTime"), _EJECTION_S)
        seen.out_until = self._clock() + base_s * seen.ejections


def _is_out(seen: _Seen) -> bool:
    return seen.out_until is not None


def _of(settings: Body, name: str) -> int:
    return int(settings.get(name, _DEFAULTS[name]))


def _seconds(duration: Any, otherwise: float) -> float:
    """Of a Duration; `otherwise` where it is not said."""
    if not duration:
        return otherwise
    found = int(duration.get("seconds", 0)) + int(duration.get("nanos", 0)) / 1e9
    return found if math.isfinite(found) else otherwise
