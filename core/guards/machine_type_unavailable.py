"""Danger: a machine type that its zone does not offer."""

from __future__ import annotations

from core import tpu
from core.guards.change import chip_delta, find_spec
from core.guards.context import GuardContext
from core.guards.freshness import is_fresh
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot, Source
from core.specs import PartKind

_ON_MACHINES = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block a type that Compute Engine does not list in the zone; warn when it was not asked."""
    needed = _needed(plan, snapshot)
    if not needed:
        return _verdict(Outcome.PASS, "the plan needs no new machines")
    fresh = is_fresh(Source.MACHINE_TYPES, snapshot, context)
    listed = snapshot.machine_types if fresh else None
    missing = [(t, z) for t, z in needed if listed and z in listed and t not in listed[z]]
    if missing:
        named = ", ".join(f"{t} in {z}" for t, z in missing)
        return _verdict(
            Outcome.BLOCK, f"Compute Engine does not offer {named}", "choose another zone or shape"
        )
    named = ", ".join(f"{t} in {z}" for t, z in needed)
    if listed is None or any(z not in listed for _, z in needed):
        return _verdict(
            Outcome.WARN,
            f"whether there is {named} was not read: Google refuses it if there is none",
            "machine types must be readable (see Connections)",
        )
    return _verdict(Outcome.PASS, f"{named} is offered")


def _needed(plan: Plan, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """(machine type, zone) of what the plan adds: as its steps say, else by the tier's shape."""
    spec = find_spec(plan, snapshot)
    zone = spec.zone if spec else ""
    said = [
        (str(s.after["machine_type"]), str(s.after.get("zone") or zone))
        for s in plan.steps
        if s.after.get("machine_type")
    ]
    if said:
        return tuple(dict.fromkeys(said))
    if spec is None or spec.generation is None or chip_delta(plan, snapshot) <= 0:
        return ()
    if not any(p.kind in _ON_MACHINES for p in spec.parts):
        return ()
    return ((tpu.machine_type(tpu.generation(spec.generation), spec.topology), zone),)


def _verdict(outcome: Outcome, reason: str, lift: str = "") -> Verdict:
    return Verdict("machine_type_unavailable", outcome, reason, lift)
