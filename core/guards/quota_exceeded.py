"""Danger: more chips than the region's quota allows; Google refuses some of them half way."""

from __future__ import annotations

from core.guards.change import chip_delta, find_spec
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.pricing import region_of
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block what does not fit; warn when the quota or its use is not known."""
    spec, needed = find_spec(plan, snapshot), chip_delta(plan, snapshot)
    if needed <= 0 or spec is None or spec.generation is None:
        return _verdict(Outcome.PASS, "the plan needs no more chips")
    region = region_of(spec.zone)
    where = f"{spec.generation} in {region}"
    if context.quotas is None:
        why = f"the quota of {where} is not known: Google refuses what does not fit"
        return _verdict(Outcome.WARN, why, "quotas must be readable (see Connections)")
    found = [q for q in context.quotas if (q.region, q.generation) == (region, spec.generation)]
    if not found:
        why = f"no quota of {where} is listed: Google may refuse all of it"
        return _verdict(Outcome.WARN, why, f"ask for a quota of {where}")
    quota = min(found, key=lambda q: q.limit_chips)
    if quota.used_chips is None:
        if needed > quota.limit_chips:
            why = f"{needed:,} more chips are above the whole quota of {quota.limit_chips:,.0f}"
            return _verdict(Outcome.BLOCK, why, f"raise the quota of {where}")
        why = f"how much of the quota of {quota.limit_chips:,.0f} chips is used is not known"
        return _verdict(Outcome.WARN, why, "its use must be readable")
    free = quota.limit_chips - quota.used_chips
    line = f"{quota.limit_chips:,.0f} chips − {quota.used_chips:,.0f} used = {free:,.0f} free"
    if needed > free:
        why = f"{needed:,} more chips of {where} do not fit into {free:,.0f} free ones"
        lift = f"raise the quota by {needed - free:,.0f} chips, or free some"
        return _verdict(Outcome.BLOCK, why, lift, line)
    return _verdict(Outcome.PASS, f"{needed:,} more chips of {where} fit", "", line)


def _verdict(outcome: Outcome, reason: str, lift: str = "", line: str = "") -> Verdict:
    return Verdict("quota_exceeded", outcome, reason, lift, (line,) if line else ())
