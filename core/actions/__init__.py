"""Actions: (Snapshot, request) → Plan, pure; one module per verb_noun.

A new action is a module with a function of the type `Planner` and a line in `PLANNERS`. Judging a
plan is `core.guards`, applying it `control/executor.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import Final

from core.actions.context import PlanContext
from core.actions.scale_tier import plan_scale_tier
from core.errors import PlanError
from core.plans import Plan, Request
from core.records import Snapshot

Planner = Callable[[Snapshot, Request, datetime, PlanContext], Plan]

PLANNERS: Final = MappingProxyType[str, Planner]({"scale_tier": plan_scale_tier})


def make_plan(snapshot: Snapshot, request: Request, now: datetime, context: PlanContext) -> Plan:
    """The plan for a request.

    Raises:
        PlanError: there is no such action or tier, or the request cannot be planned; the hint
            says what is allowed.
    """
    planner = PLANNERS.get(request.action)
    if planner is None:
        raise PlanError(
            f"There is no action {request.action!r}.", hint=f"Actions: {', '.join(PLANNERS)}"
        )
    return planner(snapshot, request, now, context)


__all__ = ["PLANNERS", "PlanContext", "Planner", "make_plan", "plan_scale_tier"]
