"""Actions: (Snapshot, request) → Plan, pure; one module per verb_noun.

A new action is a module with a function of the type `Planner`, a line in `PLANNERS` and one in
`PARAMETERS`. Judging a plan is `core.guards`, applying it `control/executor.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import Final

from core.actions.acknowledge_incident import plan_acknowledge_incident
from core.actions.change_budget import plan_change_budget
from core.actions.clean_up_orphans import plan_clean_up_orphans
from core.actions.context import PlanContext
from core.actions.deploy_model import model_chain, plan_deploy_model
from core.actions.drain_tier import plan_drain_tier
from core.actions.fail_over import plan_fail_over
from core.actions.provision_tier import chain_of, plan_provision_tier
from core.actions.restart_slice import plan_restart_slice
from core.actions.restore_tier import plan_restore_tier
from core.actions.roll_back import plan_roll_back
from core.actions.rollouts import workload_name
from core.actions.scale_replicas import plan_scale_replicas
from core.actions.scale_slices import scale_chain
from core.actions.scale_tier import plan_scale_tier
from core.actions.shift_traffic import plan_shift_traffic
from core.actions.take_back import INTENT, plan_take_back, take_back_chain
from core.actions.tear_down_all import plan_tear_down_all, whole_chain
from core.actions.tear_down_tier import plan_tear_down_tier, tear_down_chain
from core.chain import Chain
from core.errors import PlanError
from core.plans import Plan, Request
from core.records import Snapshot

Planner = Callable[[Snapshot, Request, datetime, PlanContext], Plan]

PLANNERS: Final = MappingProxyType[str, Planner](
    {
        "provision_tier": plan_provision_tier,
        "scale_tier": plan_scale_tier,
        "scale_replicas": plan_scale_replicas,
        "shift_traffic": plan_shift_traffic,
        "fail_over": plan_fail_over,
        "drain_tier": plan_drain_tier,
        "restore_tier": plan_restore_tier,
        "restart_slice": plan_restart_slice,
        "change_budget": plan_change_budget,
        "deploy_model": plan_deploy_model,
        "roll_back": plan_roll_back,
        "acknowledge_incident": plan_acknowledge_incident,
        "tear_down_tier": plan_tear_down_tier,
        "tear_down_all": plan_tear_down_all,
        "clean_up_orphans": plan_clean_up_orphans,
        "take_back": plan_take_back,
    }
)

Chaining = Callable[[Snapshot, Request, PlanContext], Chain]

# Of the actions that make or delete whole resources: which these are.
CHAINS: Final = MappingProxyType[str, Chaining](
    {
        "provision_tier": chain_of,
        "scale_tier": scale_chain,
        "deploy_model": model_chain,
        "tear_down_tier": tear_down_chain,
        "tear_down_all": lambda snapshot, _, context: whole_chain(snapshot, context),
        "clean_up_orphans": lambda snapshot, _, context: whole_chain(snapshot, context),
        "take_back": take_back_chain,
    }
)

# Those that need to know all that is ours.
SEARCHING: Final = ("tear_down_tier", "tear_down_all", "clean_up_orphans", "take_back")

# Those that change what runs a tier's servers, and need to know it whole.
ROLLING_OUT: Final = ("deploy_model", "roll_back")


# What each action may be asked with; another name is a mistake that must not be passed over.
PARAMETERS: Final = MappingProxyType[str, tuple[str, ...]](
    {
        "provision_tier": (
            "slices", "replicas", "host", "queued", "spot", "reservation", "image",
        ),
        "scale_tier": ("delta", "usd_per_hour", "p95_ms", "spot", "reservation"),
        "scale_replicas": ("endpoint", "model", "replicas"),
        "shift_traffic": ("place", "endpoint", "to", "percent", "canary_percent", "watch_min"),
        "fail_over": ("to",),
        "drain_tier": ("group",),
        "restore_tier": (),
        "restart_slice": ("slice",),
        "change_budget": ("amount_usd", "thresholds"),
        "deploy_model": ("weights", "model", "image", "size_gib"),
        "roll_back": (),
        "acknowledge_incident": ("alert",),
        "tear_down_tier": (),
        "tear_down_all": (),
        "clean_up_orphans": (),
        "take_back": (INTENT,),
    }
)  # fmt: skip


def make_plan(snapshot: Snapshot, request: Request, now: datetime, context: PlanContext) -> Plan:
    """The plan for a request.

    Raises:
        PlanError: there is no such action, tier or parameter, or the request cannot be planned;
            the hint says what is allowed.
    """
    planner = PLANNERS.get(request.action)
    if planner is None:
        raise PlanError(
            f"There is no action {request.action!r}.", hint=f"Actions: {', '.join(PLANNERS)}"
        )
    known = PARAMETERS[request.action]
    strange = [name for name in request.parameters if name not in known]
    if strange:
        raise PlanError(
            f"{request.action} has no parameter {', '.join(map(repr, strange))}.",
            resource=request.tier,
            hint=f"Its parameters: {', '.join(known) or 'none'}",
        )
    return planner(snapshot, request, now, context)


__all__ = [
    "CHAINS",
    "PLANNERS",
    "ROLLING_OUT",
    "SEARCHING",
    "PlanContext",
    "Planner",
    "make_plan",
    "plan_scale_tier",
    "workload_name",
]
