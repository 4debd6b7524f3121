"""Danger: more chips than the region's quota allows; Google refuses some of them half way."""

from __future__ import annotations

from typing import Final

from core.cloud_limits import ChipQuota, Seller
from core.guards.change import chips_by_seller, find_spec
from core.guards.context import GuardContext
from core.guards.freshness import is_fresh
from core.plans import Outcome, Plan, Verdict
from core.quota_use import quota_of, used_chips
from core.records import Snapshot, Source
from core.specs import TierSpec


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block what does not fit; warn when the quota or its use is not known.

    Chips of several sellers are judged one by one; what blocks, else what warns, is told.
    """
    spec, needed = find_spec(plan, snapshot), chips_by_seller(plan, snapshot)
    asked = {whose: chips for whose, chips in needed.items() if chips > 0}
    if not asked or spec is None or spec.generation is None:
        return _verdict(Outcome.PASS, "the plan needs no more chips")
    found = [_of_seller(spec, whose, chips, snapshot, context) for whose, chips in asked.items()]
    return min(found, key=lambda v: _GRAVEST.index(v.outcome))


_GRAVEST: Final = (Outcome.BLOCK, Outcome.WARN, Outcome.PASS)


def _of_seller(
    spec: TierSpec, whose: Seller, needed: int, snapshot: Snapshot, context: GuardContext
) -> Verdict:
    generation = spec.generation or ""
    where = f"{generation} at {spec.zone}"
    fresh = is_fresh(Source.QUOTAS, snapshot, context)
    if snapshot.quotas is None or not fresh:
        why = f"the quota of {where} is not known: Google refuses what does not fit"
        return _verdict(Outcome.WARN, why, "quotas must be readable (see Connections)")
    quota = quota_of(snapshot.quotas, whose, generation, spec.zone)
    if quota is None:
        why = f"no quota of {where} is listed: Google may refuse all of it"
        return _verdict(Outcome.WARN, why, f"ask for a quota of {where}")
    return _compared(quota, used_chips(snapshot, quota), needed, where)


def _compared(quota: ChipQuota, used: float | None, needed: int, where: str) -> Verdict:
    if quota.limit_chips < 0:
        return _verdict(Outcome.PASS, f"the quota of {where} has no limit")
    if used is None:
        if needed > quota.limit_chips:
            why = f"{needed:,} more chips are above the whole quota of {quota.limit_chips:,.0f}"
            return _verdict(Outcome.BLOCK, why, f"raise the quota of {where}")
        why = f"how much of the quota of {quota.limit_chips:,.0f} chips is used is not known"
        return _verdict(Outcome.WARN, why, "its use must be readable")
    free = quota.limit_chips - used
    line = f"{quota.limit_chips:,.0f} chips − {used:,.0f} used = {free:,.0f} free"
    if needed > free:
        why = f"{needed:,} more chips of {where} do not fit into {free:,.0f} free ones"
        lift = f"raise the quota by {needed - free:,.0f} chips, or free some"
        return _verdict(Outcome.BLOCK, why, lift, line)
    return _verdict(Outcome.PASS, f"{needed:,} more chips of {where} fit", "", line)


def _verdict(outcome: Outcome, reason: str, lift: str = "", line: str = "") -> Verdict:
    return Verdict("quota_exceeded", outcome, reason, lift, (line,) if line else ())
