"""An action of the record as it is taken back: which of its steps began, what was changed since.

What may be undone of it is `core/actions/take_back.py`'s.
"""

from __future__ import annotations

from typing import Final

from control.audit import Audit
from core.actions.context import Undertaking
from core.actions.take_back import ACTION, INTENT
from core.errors import PlanError

_MOST: Final = 5_000


def undertaking(audit: Audit, intent: str) -> Undertaking | None:
    """What is recorded of that intent; None: there is no such one.

    Raises:
        PlanError: too many actions came after it to tell what they changed.
    """
    entry = audit.entry(intent)
    if entry is None:
        return None
    plan, begun = audit.plan_of(intent), audit.begun(intent)
    mine = {plan.steps[number - 1].resource for number in begun}
    later: dict[str, str] = {}
    since = audit.entries(since=entry.at, limit=_MOST)  # the newest first
    if len(since) == _MOST:
        raise PlanError(
            f"“{entry.title}” was too long ago to be taken back.",
            resource=intent,
            hint=f"More than {_MOST:,} actions came after it; undo what is left of it one by one",
        )
    for other in since:
        if other.intent == intent or not mine & {step.resource for step in other.steps}:
            continue
        theirs = audit.plan_of(other.intent)
        if other.action == ACTION and theirs.request.parameters.get(INTENT) == intent:
            continue
        for number in audit.begun(other.intent):
            resource = theirs.steps[number - 1].resource
            if resource in mine:
                later.setdefault(resource, other.title)
    return Undertaking(intent, entry.title, entry.state, plan, begun, later)
