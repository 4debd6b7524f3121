"""Danger: taking away what requests are still sent to."""

from __future__ import annotations

from collections.abc import Sequence

from core.guards.change import deletes, ends_service, find_spec, moves_traffic
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot
from core.specs import TierSpec


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block the end of a tier that gets requests, unless the plan moves them away first."""
    ends = ends_service(plan, context.fleet)
    if ends is False:
        return _verdict(Outcome.PASS, "the tier goes on serving")
    if _drains_first(plan):
        return _verdict(Outcome.PASS, "the plan moves the traffic away before it takes away")
    found = find_spec(plan, snapshot)
    tiers = (found,) if found else snapshot.specs
    if snapshot.loads is None:
        return _verdict(Outcome.CONSENT, "how many requests come is not known", _LIFT)
    busy = _busy(tiers, snapshot)
    if busy:
        return _verdict(Outcome.BLOCK, f"still called: {busy}", _LIFT)
    if ends is None:
        return _verdict(Outcome.CONSENT, "whether a slice stays ready is not known", _LIFT)
    unknown = [t.title for t in tiers if not t.is_local and _rate(t, snapshot) is None]
    if unknown:
        why = f"whether requests come to {', '.join(unknown)} is not known"
        return _verdict(Outcome.WARN, why, _LIFT)
    return _verdict(Outcome.PASS, "no requests come")


_LIFT = "drain the tier first: send its paths elsewhere and wait until no request comes"


def _drains_first(plan: Plan) -> bool:
    """Whether a step that moves traffic stands before the first that takes hardware away."""
    for step in plan.steps:
        if moves_traffic(step):
            return True
        if deletes(step) or step.after.get("node_count") == 0:
            return False
    return False


def _busy(tiers: Sequence[TierSpec], snapshot: Snapshot) -> str:
    rates = ((t.title, _rate(t, snapshot)) for t in tiers if not t.is_local)
    return ", ".join(f"{title} gets {rate:,.1f} requests/s" for title, rate in rates if rate)


def _rate(spec: TierSpec, snapshot: Snapshot) -> float | None:
    load = (snapshot.loads or {}).get(spec.name)
    return load.requests_per_s if load else None


def _verdict(outcome: Outcome, reason: str, lift: str = "") -> Verdict:
    return Verdict("not_drained", outcome, reason, lift)
