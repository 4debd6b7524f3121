"""Roll back: the servers get the pod template again that they had before the last roll-out.

Of roll-outs that were made from here, as the record tells them. Rolling back twice rolls forward
again. The weights of the earlier model are in their volume still.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.actions.context import PlanContext
from core.actions.rollouts import (
    PERMISSIONS,
    effect,
    observe,
    present_workload,
    rollout_step,
    workload_name,
)
from core.actions.steady_plan import steady_plan
from core.actions.tier_lookup import spec_of
from core.errors import PlanError
from core.plans import Plan, Request
from core.records import Snapshot, Source
from core.workload_template import model_of, template_of, without_mark

ACTION: Final = "roll_back"


def plan_roll_back(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that puts the template back that was there before the tier's last roll-out.

    Raises:
        PlanError: no roll-out of the tier is recorded here, or the template is the same.
    """
    spec = spec_of(snapshot, request)
    name = workload_name(snapshot, spec, context)
    workload, earlier = present_workload(context), context.template_before
    if earlier is None:
        raise PlanError(
            f"No roll-out of {spec.title} is recorded here.",
            resource=name,
            hint="kubectl rollout undo goes back to what Kubernetes itself has kept",
        )
    before, after = template_of(workload), without_mark(earlier)
    if without_mark(before) == after:
        raise PlanError(f"{spec.title} has the earlier template already.", resource=name)
    old, new = model_of(before) or "the present template", model_of(after) or "the earlier one"
    return steady_plan(
        snapshot,
        request,
        now,
        context,
        title=f"Roll {spec.title} back from {old} to {new}",
        steps=(
            rollout_step(name, workload, after, f"Roll out {new} on {spec.title} again", context),
        ),
        observed=observe(name, before),
        affected=effect(snapshot, spec, workload),
        permissions=PERMISSIONS[str(workload["kind"])],
        sources=(Source.GKE.value, Source.KUBE.value, Source.LOAD.value),
    )
