"""Danger: so much of a tier at once that nobody sees the first harm before the last is done."""

from __future__ import annotations

from core.guards.change import find_spec, ready_slices, slice_delta
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Ask above the limit, and when the share of a removal is not known."""
    delta, limit = slice_delta(plan), context.limits.large_change_ratio
    if delta == 0 or find_spec(plan, snapshot) is None:
        return _verdict(Outcome.PASS, "the number of one tier's slices does not change")
    ready = ready_slices(plan, context.fleet)
    if ready is None:
        if delta > 0:
            return _verdict(Outcome.PASS, "slices are added; how many are ready is not known")
        why = "how many slices are ready is not known, so neither what share goes"
        return _verdict(Outcome.CONSENT, why, "Kubernetes must be readable")
    if ready == 0:
        return _verdict(Outcome.PASS, "no slice is ready now: nothing is put at risk")
    share = abs(delta) / ready
    line = f"|{delta:+d}| ÷ {ready} ready = {share:.0%}; limit {limit:.0%}"
    if share > limit:
        word = "adds" if delta > 0 else "removes"
        why = f"it {word} {share:.0%} of the ready slices at once"
        steps = max(1, int(limit * ready))
        return _verdict(Outcome.CONSENT, why, f"go in steps of at most {steps}", line)
    return _verdict(Outcome.PASS, f"{share:.0%} of the ready slices", "", line)


def _verdict(outcome: Outcome, reason: str, lift: str = "", line: str = "") -> Verdict:
    return Verdict("too_large_change", outcome, reason, lift, (line,) if line else ())
