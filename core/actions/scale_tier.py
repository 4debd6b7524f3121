"""Scale a tier's slices on GKE: of single-host ones by resizing its node pools.

Multi-host slices are atomic pools that are added or removed whole, which `scale_slices.py` plans;
replicas on Vertex are `scale_replicas.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from core import ownership
from core.actions.context import PlanContext
from core.actions.scale_slices import has_slices, plan_scale_slices
from core.actions.scaling import (
    cost_of,
    delta_of,
    irreversible,
    observe,
    pools_of,
    who_feels_it,
)
from core.actions.tier_lookup import spec_of
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.plans import Plan, Request, Step
from core.records import NodePool, Snapshot
from core.specs import PartKind, TierSpec
from core.wording import plural

ACTION = "scale_tier"
VERB = "gke.set_node_pool_size"
SETTLED = ("RUNNING", "RUNNING_WITH_ERROR")


@dataclass(frozen=True, slots=True)
class _Resize:
    pool: NodePool
    after: int


def plan_scale_tier(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that adds or removes slices; parameters as `delta_of` has them.

    Nodes are added to the smallest pools and taken from the largest, so that pools stay level.

    Raises:
        PlanError: the tier has no such slices, its pools are unknown or being changed, or the
            size cannot be reached; the hint says what is allowed.
    """
    spec = spec_of(snapshot, request)
    _check_kind(snapshot, spec)
    delta, arithmetic = delta_of(snapshot, spec, request)
    if not any(p.kind is PartKind.GKE_SINGLE_HOST for p in spec.parts):
        return plan_scale_slices(snapshot, request, now, context, spec)
    _check_terms(spec, request)
    pools = _pools(snapshot, spec)
    resizes = _distribute(spec, pools, delta)
    tier = assemble_fleet(snapshot).tier(spec.name)
    before = sum(p.node_count for p in pools)
    word = "Add" if delta > 0 else "Remove"
    noun = "slice" if abs(delta) == 1 else "slices"
    cut = (
        "GKE chooses which nodes go; requests that run on them are cut off unless their pods"
        " drain in time",
    )
    return Plan(
        request=request,
        title=f"{word} {abs(delta)} host-{noun} of {spec.title}: {before} → {before + delta}",
        steps=tuple(resize_step(r.pool, r.after, context) for r in resizes),
        observed=observe(r.pool for r in resizes),
        cost=cost_of(snapshot, tier, (_change(spec, r) for r in resizes)),
        affected=(*who_feels_it(snapshot, tier, delta), *(cut if delta < 0 else ()), *arithmetic),
        irreversible=irreversible(delta),
        permissions=("container.clusters.update", "container.operations.get"),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
    )


def _change(spec: TierSpec, resize: _Resize) -> tuple[int, bool]:
    """Chips more or less, and whether they are spot chips."""
    nodes = resize.after - resize.pool.node_count
    chips = nodes * ownership.slice_chips(spec, resize.pool.topology)
    return chips, ownership.is_spot(resize.pool.labels)


def resource_name(project: str, pool: NodePool) -> str:
    """Full resource name of a node pool."""
    return (
        f"projects/{project}/locations/{pool.location}/clusters/{pool.cluster}"
        f"/nodePools/{pool.name}"
    )


def _check_kind(snapshot: Snapshot, spec: TierSpec) -> None:
    """Pass a tier with slices that can be scaled from here."""
    if has_slices(spec) or any(p.kind is PartKind.GKE_SINGLE_HOST for p in spec.parts):
        return
    gke = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)
    able = [s.name for s in snapshot.specs if any(p.kind in gke for p in s.parts)]
    why = {
        PartKind.VERTEX: "Vertex replicas are changed on the endpoint",
        PartKind.TPU_VM: "a Cloud TPU node cannot be resized",
        PartKind.LOCAL: "it is this machine",
    }[spec.parts[0].kind]
    raise PlanError(
        f"{spec.title} cannot be scaled by slices: {why}.",
        resource=spec.name,
        hint=f"Tiers with slices in GKE: {', '.join(able) or 'none'}",
    )


def _check_terms(spec: TierSpec, request: Request) -> None:
    """Pass a request that says nothing of how chips are to be had: pools keep their terms."""
    if not {"spot", "reservation"} & set(request.parameters):
        return
    raise PlanError(
        f"{spec.title} is scaled by resizing the node pools that it has.",
        resource=spec.name,
        hint="Spot chips and reservations are chosen when a pool is made: provision it so",
    )


def _pools(snapshot: Snapshot, spec: TierSpec) -> tuple[NodePool, ...]:
    pools = pools_of(snapshot, spec, PartKind.GKE_SINGLE_HOST)
    usable = tuple(p for p in pools if p.status in SETTLED and len(p.zones) <= 1)
    if usable:
        return usable
    states = ", ".join(f"{p.name} {p.status} in {len(p.zones)} zones" for p in pools)
    raise PlanError(
        f"No node pool of {spec.title} can be resized now: {states}.",
        resource=spec.name,
        retryable=True,
        hint="A pool must be RUNNING and in one zone (a size counts nodes per zone)",
    )


def _distribute(spec: TierSpec, pools: Sequence[NodePool], delta: int) -> tuple[_Resize, ...]:
    sizes = {_key(p): p.node_count for p in pools}
    have = sum(sizes.values())
    if have + delta < 0:
        raise PlanError(
            f"{spec.title} has {plural(have, 'slice')} that can be removed, not {-delta}.",
            resource=spec.name,
            hint=f"delta may be from {-have} up",
        )
    for _ in range(abs(delta)):
        if delta > 0:
            key = min(sizes, key=lambda n: (sizes[n], n))
            sizes[key] += 1
        else:
            key = max(sizes, key=lambda n: (sizes[n], n))
            sizes[key] -= 1
    return tuple(_Resize(p, sizes[_key(p)]) for p in pools if sizes[_key(p)] != p.node_count)


def _key(pool: NodePool) -> tuple[str, str, str]:
    """What tells a pool from all others: names are unique in their cluster only."""
    return pool.name, pool.cluster, pool.location


def resize_step(pool: NodePool, after: int, context: PlanContext) -> Step:
    """The step that gives a node pool so many nodes."""
    past = context.past_durations_s.get(VERB, ())
    source = "unknown: none was made from here yet"
    if past:
        source = f"median of {len(past)} earlier resizes made from here"
    return Step(
        verb=VERB,
        resource=resource_name(context.project, pool),
        title=f"Resize node pool {pool.name} from {plural(pool.node_count, 'node')} to {after}",
        before={"node_count": pool.node_count},
        after={"node_count": after},
        expected_s=median(past) if past else None,
        expected_source=source,
        command=(
            f"gcloud container clusters resize {pool.cluster} --node-pool={pool.name}"
            f" --num-nodes={after} --location={pool.location} --project={context.project} --quiet"
        ),
    )
