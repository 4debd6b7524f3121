"""What pages draw, derived once per Snapshot and shared by all sessions.

Only calls `core/`; holds the last few results, because twenty browsers look at the same Snapshot.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.answers import WorseAnswers, worse_answers
from core.fleet import Fleet, assemble_fleet
from core.forecast import Forecast, forecast_month
from core.pricing import Rate, fleet_rate, tier_rate
from core.problems import Finding, what_is_wrong
from core.records import Snapshot
from core.series import Series
from core.slo import TierSlo, tier_slo
from core.specs import TierSpec
from core.surge import surge
from ui import formats

_KEPT: Final = 3

Burning = Mapping[str, tuple[Series, Series]]  # requests/s and error ratio of 6 h, by tier
Weeks = Mapping[str, tuple[Series, Series]]  # one signal over 6 h and over 7 d, by tier
_NOTHING: Final[Weeks] = {}


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything that follows from one Snapshot and the series beside it.

    The mappings are by tier name; of `worse` they hold only the tiers whose answers are.
    """

    snapshot: Snapshot
    burning: Burning
    solved: Weeks
    arriving: Weeks
    fleet: Fleet
    rates: Mapping[str, Rate]
    rate: Rate
    slos: Mapping[str, TierSlo]
    worse: Mapping[str, WorseAnswers]
    forecasts: Mapping[str, Forecast]
    findings: tuple[Finding, ...]

    def price_word(self, spec: TierSpec) -> str:
        """What stands for a missing price: not known yet, or not priced at all."""
        waiting = self.snapshot.prices is None and spec.generation is not None
        return formats.UNKNOWN if waiting else formats.NOT_PRICED


_lock = threading.Lock()
_recent: list[Derived] = []


def derive(
    snapshot: Snapshot, burning: Burning, solved: Weeks = _NOTHING, arriving: Weeks = _NOTHING
) -> Derived:
    """What follows from these; the same snapshot and series give the same result again.

    Args:
        snapshot: the newest.
        burning: for the burn of the error budgets; a tier that is not in it has none known yet.
        solved: share of tasks solved, for how good answers are; likewise.
        arriving: requests/s, for whether more come than usual; likewise.
    """
    series = (burning, solved, arriving)
    with _lock:
        for known in _recent:
            if known.snapshot is snapshot and series == (
                known.burning, known.solved, known.arriving
            ):  # fmt: skip
                return known
        fresh = _derive(snapshot, *series)
        _recent.append(fresh)
        del _recent[:-_KEPT]
        return fresh


def _derive(snapshot: Snapshot, burning: Burning, solved: Weeks, arriving: Weeks) -> Derived:
    fleet = assemble_fleet(snapshot)
    rates = {t.name: tier_rate(t, snapshot.prices) for t in fleet.tiers}
    loads = snapshot.loads or {}
    slos = {
        s.name: tier_slo(s, loads.get(s.name), *burning.get(s.name, (None, None)))
        for s in snapshot.specs
    }
    forecasts = {
        s.name: forecast_month(
            s, snapshot.costs, snapshot.taken_at, rates[s.name].usd_per_hour, snapshot.budgets
        )
        for s in snapshot.specs
    }
    judged = (
        worse_answers(newest, before, burning[tier][1] if tier in burning else None)
        for tier, (newest, before) in solved.items()
    )
    worse = {found.tier: found for found in judged if found is not None}
    surges = {
        tier: more
        for tier, (newest, before) in arriving.items()
        if (more := surge(newest, before)) is not None
    }
    return Derived(
        snapshot=snapshot,
        burning=burning,
        solved=solved,
        arriving=arriving,
        fleet=fleet,
        rates=rates,
        rate=fleet_rate(fleet, snapshot.prices),
        slos=slos,
        worse=worse,
        forecasts=forecasts,
        findings=what_is_wrong(snapshot, fleet, slos, forecasts, worse, surges),
    )
