"""Danger: GKE's autoscaler moves a node pool back to what its pods need, whatever was asked."""

from __future__ import annotations

from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Step, Verdict
from core.records import NodePool, Snapshot

_LIFT = "change the pods' number, or the pool's autoscaling, instead of its size"


def judge(plan: Plan, snapshot: Snapshot, _context: GuardContext) -> Verdict:
    """Warn when a pool is resized that the autoscaler resizes, too."""
    resizes = [s for s in plan.steps if s.verb == "gke.set_node_pool_size"]
    if not resizes:
        return _verdict(Outcome.PASS, "the plan resizes no node pool")
    if snapshot.node_pools is None:
        why = "whether an autoscaler moves the node pools is not known"
        return _verdict(Outcome.WARN, why, "node pools must be readable (see Connections)")
    pools = [(s, _pool(s, snapshot)) for s in resizes]
    found = [(s, p) for s, p in pools if p is not None and p.most_nodes is not None]
    unread = [s.resource.rpartition("/")[2] for s, p in pools if p is None]
    if not found and unread:
        why = f"whether an autoscaler moves {', '.join(unread)} is not known"
        return _verdict(Outcome.WARN, why, "the node pools must be read again")
    if not found:
        return _verdict(Outcome.PASS, "no autoscaler moves these node pools")
    lines = tuple(_line(step, pool) for step, pool in found)
    lines += tuple(f"of {name} it is not known: GKE listed no such node pool" for name in unread)
    names = ", ".join(pool.name for _, pool in found)
    return _verdict(Outcome.WARN, f"GKE's autoscaler resizes {names}, too", _LIFT, lines)


def _pool(step: Step, snapshot: Snapshot) -> NodePool | None:
    for pool in snapshot.node_pools or ():
        place = f"/locations/{pool.location}/clusters/{pool.cluster}/nodePools/{pool.name}"
        if step.resource.endswith(place):
            return pool
    return None


def _line(step: Step, pool: NodePool) -> str:
    """What becomes of the size, as GKE's page on the cluster autoscaler has it."""
    before, after = step.before.get("node_count"), step.after.get("node_count")
    least, most = pool.least_nodes or 0, pool.most_nodes or 0
    bounds = f"{pool.name} is kept between {least} and {most} nodes, {after} are asked for"
    if not isinstance(before, int) or not isinstance(after, int) or after >= before:
        return f"{bounds}: nodes that no pod needs go again after about ten minutes"
    if after < least:
        return f"{bounds}: it grows again, to {least} and more, only when pods find no node"
    return f"{bounds}: it grows again when pods find no node"


def _verdict(outcome: Outcome, reason: str, lift: str = "", lines: tuple[str, ...] = ()) -> Verdict:
    return Verdict("autoscaler_moves", outcome, reason, lift, lines)
