"""Alerts: what policies' conditions found, combined, from each policy's first day until now."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import Final

from google.cloud.monitoring_v3.types import alert

from emulator.apis.monitoring.model import MonitoringState, Reign
from emulator.apis.monitoring.policy_checks import DEFAULT_AUTO_CLOSE_S, Condition
from emulator.apis.monitoring.query import TYPE
from emulator.apis.monitoring.series import SeriesReader, seconds
from emulator.apis.monitoring.verdicts import Key
from emulator.apis.monitoring.watches import Looks, Span, Watch, together
from emulator.context import Cloud
from emulator.world import stories

# How far back a policy that is older than the emulator is followed.
HISTORY_S: Final = 30 * 86_400.0
# Stretches of at most a day that one read works out; more wait for the next one.
MOST_LOOKS: Final = 400
# The world's newest points are all there after this long; callers may write this far back.
_SETTLED_S: Final = 120.0
_LATEST_WRITE_S: Final = 25 * 3600.0 + 300.0


@dataclass(frozen=True, slots=True)
class Incident:
    """One alert: times in Unix seconds, `end` None while it is open."""

    policy: alert.AlertPolicy
    test: Condition | None
    key: Key
    start: float
    end: float | None


class Incidents:
    """All policies' incidents; each stretch of time is worked out once."""

    def __init__(self, cloud: Cloud, state: MonitoringState, reader: SeriesReader) -> None:
        self._cloud = cloud
        self._state = state
        self._reader = reader
        self._lock = threading.Lock()
        self._watches: dict[tuple[str, float], list[Watch]] = {}
        self._found: dict[tuple[str, float], tuple[object, list[Incident]]] = {}
        self._rewrites = 0

    def all(self) -> list[Incident]:
        """Every incident until now, of deleted policies too, in no order."""
        now = self._cloud.clock.now()
        with self._cloud.lock:
            reigns = [
                (name, reign) for name, found in self._state.reigns.items() for reign in found
            ]
        with self._lock:
            if (rewrites := stories.rewrites(self._cloud.log.changes())) != self._rewrites:
                # What was settled is so no more.
                self._rewrites = rewrites
                self._watches.clear()
                self._found.clear()
            looks = Looks(MOST_LOOKS)
            return [one for name, reign in reigns for one in self._of(name, reign, now, looks)]

    def _of(self, name: str, reign: Reign, now: float, looks: Looks) -> list[Incident]:
        policy = reign.policy
        if not policy.enabled:
            return []
        key = (name, reign.start)
        if key not in self._watches:
            self._watches[key] = self._begin(reign)
        watches = self._watches[key]
        end = min(now, reign.end) if reign.end is not None else now
        version = (
            reign,
            [math.floor(end / watch.test.period_s) for watch in watches],
            self._state.writes if any(self._written(w.test) for w in watches) else 0,
        )
        known = self._found.get(key)
        if known is None or known[0] != version:
            ahead = [
                w.until(self._reader, min(self._settled(w, now), end), end, looks) for w in watches
            ]
            whole = [watch for watch in ahead if watch is not None]
            if len(whole) < len(watches):
                # Out of looks: as it was when last read; the next read goes on from here.
                return [_clipped(i, reign.end) for i in known[1]] if known else []
            found = [
                replace(i, start=max(i.start, reign.start))
                for i in _combined(policy, whole)
                if i.start < (reign.end or math.inf) and (i.end or math.inf) > reign.start
            ]
            known = self._found[key] = (version, found)
        return [_clipped(i, reign.end) for i in known[1]]

    def _begin(self, reign: Reign) -> list[Watch]:
        strategy = alert.AlertPolicy.pb(reign.policy).alert_strategy
        close = seconds(strategy.auto_close) or DEFAULT_AUTO_CLOSE_S
        oldest = math.floor((self._cloud.clock.started_at - HISTORY_S) / 86_400) * 86_400.0
        # Who is bad already when a policy begins need not be bad for its whole duration once more.
        return [
            Watch(test, close, max(reign.start - test.duration_s - 2 * test.period_s, oldest))
            for test in reign.tests
        ]

    def _settled(self, watch: Watch, now: float) -> float:
        """Up to when no point of the watch's series can come any more."""
        return now - (_LATEST_WRITE_S if self._written(watch.test) else _SETTLED_S)

    def _written(self, test: Condition) -> bool:
        """Whether callers may write what the test looks at (an SLO may rest on anything)."""
        texts = [test.filter, test.denominator[0] if test.denominator else ""]
        names = (*self._state.descriptors, "select_slo_") if self._state.descriptors else ()
        return any(name in text for text in texts for name in names)


def _combined(policy: alert.AlertPolicy, watches: list[Watch]) -> list[Incident]:
    kinds = alert.AlertPolicy.ConditionCombinerType
    each = [_triggered(watch) for watch in watches]
    if policy.combiner == kinds.OR or len(watches) == 1:
        return [
            Incident(policy, watch.test, s.key, s.start, s.end)
            for watch, spans in zip(watches, each, strict=True)
            for s in spans
        ]
    if policy.combiner == kinds.AND:
        met = [together(spans, 1) for spans in each]
        both = together([s for spans in met for s in spans], len(watches)) if watches else []
        return [Incident(policy, None, (), s.start, s.end) for s in both]
    found: list[Incident] = []
    resources = dict.fromkeys(_resource(s.key) for spans in each for s in spans)
    for resource in resources:
        met = [together([s for s in spans if _resource(s.key) == resource], 1) for spans in each]
        both = together([s for spans in met for s in spans], len(watches), resource)
        found.extend(Incident(policy, None, s.key, s.start, s.end) for s in both)
    return found


def _triggered(watch: Watch) -> list[Span]:
    """The condition's spans: of each series, or of all where several must fail at once."""
    test, spans = watch.test, watch.spans()
    least = test.count
    if test.percent:
        least = max(math.ceil(watch.series * test.percent / 100.0), 1)
    return spans if least == 1 else together(spans, least)


def _resource(key: Key) -> Key:
    return tuple(p for p in key if p[0] == TYPE or p[0].startswith("resource."))


def _clipped(found: Incident, end: float | None) -> Incident:
    """What is open when its policy is changed or deleted closes then."""
    if end is None or (found.end is not None and found.end <= end):
        return found
    return replace(found, end=end)
