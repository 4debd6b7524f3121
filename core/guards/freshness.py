"""How old the data of a source may be for a plan to rest on it."""

from __future__ import annotations

from core.guards.context import GuardContext
from core.records import Snapshot, Source, SourceState

_MISSED_READS = 2  # of a source that is read less often than the limit


def limit_s(state: SourceState | None, context: GuardContext) -> float:
    """Seconds; more for a source that is read less often than the settings' limit."""
    if state is None:
        return context.stale_after_s
    return max(context.stale_after_s, _MISSED_READS * state.interval_s)


def is_fresh(source: Source, snapshot: Snapshot, context: GuardContext) -> bool:
    """Whether it was read, and not too long ago."""
    state = snapshot.sources.get(source)
    age_s = None if state is None else state.age_s(context.now)
    return age_s is not None and age_s <= limit_s(state, context)
