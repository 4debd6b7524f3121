"""Danger: a size, topology or zone that Google Cloud refuses, or that was not meant."""

from __future__ import annotations

from core import tpu
from core.guards.change import find_spec, grows, slice_delta
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot
from core.specs import TierSpec

MAX_NODES_PER_POOL = 1000  # GKE's limit per zone of a node pool


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block what cannot be; ask when the tier grows beyond its configured size."""
    spec = find_spec(plan, snapshot)
    illegal = _illegal_shape(spec) if spec and grows(plan) else ""
    if illegal:
        return _verdict(Outcome.BLOCK, illegal, "change the tier's topology or zone")
    for step in plan.steps:
        nodes = step.after.get("node_count")
        if isinstance(nodes, int) and not 0 <= nodes <= MAX_NODES_PER_POOL:
            return _verdict(
                Outcome.BLOCK,
                f"{nodes} nodes in one pool; GKE allows 0 to {MAX_NODES_PER_POOL}",
                "use several pools",
            )
    if spec is None:
        return _verdict(Outcome.PASS, "the plan is not of one tier's size", "")
    size = context.fleet.tier(spec.name).slice_count
    after = None if size.running is None else size.running + size.promised + slice_delta(plan)
    if after is not None and slice_delta(plan) > 0 and after > spec.slices:
        return _verdict(
            Outcome.CONSENT,
            f"{after} slices are more than the {spec.slices} that the tier is configured for",
            "raise the tier's slices in heartwood.toml",
        )
    told = "not known" if after is None else f"{after} of {spec.slices} configured"
    shape = f"{spec.topology} in {spec.zone} is legal; " if spec.topology and grows(plan) else ""
    return _verdict(Outcome.PASS, f"{shape}slices after: {told}", "")


def _illegal_shape(spec: TierSpec) -> str:
    """Why the tier's slices cannot be; "" when they can."""
    if spec.generation is None:
        return ""
    gen = tpu.generation(spec.generation)
    try:
        tpu.check_topology(gen, spec.topology)
        tpu.check_zone(gen, spec.zone)
    except ValueError as error:
        return str(error)
    return ""


def _verdict(outcome: Outcome, reason: str, lift: str) -> Verdict:
    return Verdict("legal_size", outcome, reason, lift)
