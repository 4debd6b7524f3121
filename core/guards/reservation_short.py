"""Danger: the reservation that the chips are to come from is missing, full, or of another kind."""

from __future__ import annotations

from core.guards.change import chip_delta, find_spec
from core.guards.context import GuardContext
from core.guards.freshness import is_fresh
from core.plans import Outcome, Plan, Verdict
from core.records import ReservedChips, Snapshot, Source
from core.specs import TierSpec


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block a named reservation that cannot give the chips; ask when it could not be read."""
    needed = chip_delta(plan, snapshot)
    if needed <= 0:
        return _verdict(Outcome.PASS, "the plan needs no more chips")
    if not plan.reservation:
        return _verdict(
            Outcome.PASS,
            "no reservation is asked for: whether chips are in stock shows only when it starts",
        )
    fresh = is_fresh(Source.RESERVATIONS, snapshot, context)
    reservations = snapshot.reservations if fresh else None
    if reservations is None:
        why = f"reservation {plan.reservation} could not be read"
        return _verdict(Outcome.CONSENT, why, "reservations must be readable (see Connections)")
    found = next((r for r in reservations if r.name == plan.reservation), None)
    if found is None:
        why = f"there is no reservation {plan.reservation}"
        return _verdict(Outcome.BLOCK, why, "name one that exists, or ask for chips on demand")
    other = _mismatch(found, find_spec(plan, snapshot))
    if other:
        return _verdict(Outcome.BLOCK, other, "use a reservation of the same chips and zone")
    free = found.chips - found.used_chips
    line = f"{found.chips:,} reserved − {found.used_chips:,} used = {free:,} free"
    if needed > free:
        why = f"{needed:,} more chips do not fit into {free:,} free ones of {found.name}"
        return _verdict(Outcome.BLOCK, why, "enlarge the reservation, or add fewer slices", line)
    return _verdict(Outcome.PASS, f"{needed:,} chips fit into {found.name}", "", line)


def _mismatch(found: ReservedChips, spec: TierSpec | None) -> str:
    if spec is None or (found.zone, found.generation) == (spec.zone, spec.generation):
        return ""
    return (
        f"{found.name} holds {found.generation} in {found.zone},"
        f" the tier is {spec.generation} in {spec.zone}"
    )


def _verdict(outcome: Outcome, reason: str, lift: str = "", line: str = "") -> Verdict:
    return Verdict("reservation_short", outcome, reason, lift, (line,) if line else ())
