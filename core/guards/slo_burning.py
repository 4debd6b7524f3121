"""Danger: taking capacity away while users already feel that there is too little."""

from __future__ import annotations

from core.guards.change import find_spec, shrinks, takes_away
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot
from core.slo import Standing, tier_slo


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block taking away while the error budget burns at alarm speed; ask when one is missed.

    A plan that adds is let through, and one that only sends requests elsewhere is asked about: it
    may be the cure.
    """
    spec = find_spec(plan, snapshot)
    if spec is None or not shrinks(plan):
        return _verdict(Outcome.PASS, "nothing that serves is taken away from one tier")
    load = (snapshot.loads or {}).get(spec.name)
    slo = tier_slo(spec, load, *(context.burning or (None, None)))
    lines = tuple(f"{o.name}: {o.sentence} ({o.standing})" for o in slo.objectives)
    missed = [o for o in slo.objectives if o.standing is Standing.MISSED]
    burns = [o for o in missed if o.name == "availability"]
    if burns:
        lift = "wait until it no longer burns, or add capacity first"
        outcome = Outcome.BLOCK if takes_away(plan) else Outcome.CONSENT
        return _verdict(outcome, burns[0].sentence, lift, lines)
    if missed:
        why = "; ".join(f"{o.name} is missed: {o.sentence}" for o in missed)
        return _verdict(Outcome.CONSENT, why, "wait until the objective is met", lines)
    if slo.standing is Standing.UNKNOWN:
        why = "; ".join(o.sentence for o in slo.objectives if o.standing is Standing.UNKNOWN)
        return _verdict(Outcome.WARN, f"not all is known: {why}", "wait for requests", lines)
    if slo.standing is Standing.NONE:
        return _verdict(Outcome.PASS, "the tier has no objectives")
    return _verdict(Outcome.PASS, "no objective is missed", "", lines)


def _verdict(outcome: Outcome, reason: str, lift: str = "", lines: tuple[str, ...] = ()) -> Verdict:
    return Verdict("slo_burning", outcome, reason, lift, lines)
