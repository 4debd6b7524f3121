"""What pages draw, derived once per Snapshot and shared by all sessions.

Only calls `core/`; holds the last few results, because twenty browsers look at the same Snapshot.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.fleet import Fleet, assemble_fleet
from core.forecast import Forecast, forecast_month
from core.pricing import Rate, fleet_rate, tier_rate
from core.problems import Finding, what_is_wrong
from core.records import Snapshot
from core.slo import TierSlo, tier_slo
from core.specs import TierSpec
from ui import formats

_KEPT: Final = 3


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything that follows from one Snapshot alone; the mappings are by tier name."""

    snapshot: Snapshot
    fleet: Fleet
    rates: Mapping[str, Rate]
    rate: Rate
    slos: Mapping[str, TierSlo]
    forecasts: Mapping[str, Forecast]
    findings: tuple[Finding, ...]

    def price_word(self, spec: TierSpec) -> str:
        """What stands for a missing price: not known yet, or not priced at all."""
        waiting = self.snapshot.prices is None and spec.generation is not None
        return formats.UNKNOWN if waiting else formats.NOT_PRICED


_lock = threading.Lock()
_recent: list[Derived] = []


def derive(snapshot: Snapshot) -> Derived:
    """What follows from the snapshot; the same object gives the same result again."""
    with _lock:
        for known in _recent:
            if known.snapshot is snapshot:
                return known
        fresh = _derive(snapshot)
        _recent.append(fresh)
        del _recent[:-_KEPT]
        return fresh


def _derive(snapshot: Snapshot) -> Derived:
    fleet = assemble_fleet(snapshot)
    rates = {t.name: tier_rate(t, snapshot.prices) for t in fleet.tiers}
    loads = snapshot.loads or {}
    slos = {s.name: tier_slo(s, loads.get(s.name)) for s in snapshot.specs}
    forecasts = {
        s.name: forecast_month(
            s, snapshot.costs, snapshot.taken_at, rates[s.name].usd_per_hour, snapshot.budgets
        )
        for s in snapshot.specs
    }
    return Derived(
        snapshot=snapshot,
        fleet=fleet,
        rates=rates,
        rate=fleet_rate(fleet, snapshot.prices),
        slos=slos,
        forecasts=forecasts,
        findings=what_is_wrong(snapshot, fleet, slos, forecasts),
    )
