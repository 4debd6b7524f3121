"""Danger: deciding on data that is old, or was never read."""

from __future__ import annotations

from core.guards.context import GuardContext
from core.guards.freshness import is_fresh, limit_s
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot, Source

NEEDED = (Source.GKE, Source.KUBE, Source.LOAD)


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block when a source that the plan rests on is too old; warn when one fails just now."""
    lines: list[str] = []
    old: list[str] = []
    failing: list[str] = []
    for source in tuple(Source(name) for name in plan.sources) or NEEDED:
        state = snapshot.sources.get(source)
        age_s = None if state is None else state.age_s(context.now)
        word = "never read" if age_s is None else f"{age_s:,.0f} s old"
        lines.append(f"{source}: {word} (limit {limit_s(state, context):,.0f} s)")
        if not is_fresh(source, snapshot, context):
            old.append(f"{source} {word}")
        elif state is not None and state.problem is not None:
            failing.append(f"{source}: {state.problem.message}")
    if old:
        return Verdict(
            "stale_data",
            Outcome.BLOCK,
            f"too old to decide on: {', '.join(old)}",
            "the source must be read again (see Connections)",
            tuple(lines),
        )
    if failing:
        return Verdict(
            "stale_data",
            Outcome.WARN,
            f"young enough, but failing now: {'; '.join(failing)}",
            "the source must answer again",
            tuple(lines),
        )
    return Verdict(
        "stale_data", Outcome.PASS, "all that the plan rests on is fresh", "", tuple(lines)
    )
