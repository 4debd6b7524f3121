"""Scale a tier's single-host GKE slices up or down by resizing its node pools.

Multi-host slices are atomic pools that are added or removed whole, and Vertex changes its own
nodes: neither is planned here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from core import ownership
from core.actions.context import PlanContext
from core.errors import PlanError
from core.fleet import FleetTier, assemble_fleet
from core.plans import CostChange, Plan, Request, Step
from core.pricing import chips_rate, tier_rate
from core.records import NodePool, Snapshot
from core.specs import PartKind, TierSpec

ACTION = "scale_tier"
VERB = "gke.set_node_pool_size"
SETTLED = ("RUNNING", "RUNNING_WITH_ERROR")

Facts = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class _Resize:
    pool: NodePool
    after: int


def plan_scale_tier(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that adds or removes `delta` slices (parameter, a whole number, not 0).

    Nodes are added to the smallest pools and taken from the largest, so that pools stay level.

    Raises:
        PlanError: the tier has no such slices, its pools are unknown or being changed, or the
            size cannot be reached; the hint says what is allowed.
    """
    spec = _spec(snapshot, request)
    delta = _delta(request)
    pools = _pools(snapshot, spec)
    resizes = _distribute(spec, pools, delta)
    tier = assemble_fleet(snapshot).tier(spec.name)
    before = sum(p.node_count for p in pools)
    word = "Add" if delta > 0 else "Remove"
    noun = "slice" if abs(delta) == 1 else "slices"
    return Plan(
        request=request,
        title=f"{word} {abs(delta)} host-{noun} of {spec.title}: {before} → {before + delta}",
        steps=tuple(_step(r, context) for r in resizes),
        observed=observe(r.pool for r in resizes),
        cost=_cost(snapshot, tier, resizes),
        affected=_affected(snapshot, tier, delta),
        irreversible=_irreversible(delta),
        permissions=("container.clusters.update", "container.operations.get"),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
    )


def resource_name(project: str, pool: NodePool) -> str:
    """Full resource name of a node pool."""
    return (
        f"projects/{project}/locations/{pool.location}/clusters/{pool.cluster}"
        f"/nodePools/{pool.name}"
    )


def observe(pools: Iterable[NodePool]) -> Facts:
    """The facts of these pools that a plan rests on; apply compares them with a fresh read."""
    facts: Facts = {}
    for pool in pools:
        key = f"{pool.location}/{pool.cluster}/{pool.name}"
        facts[f"{key}.node_count"] = pool.node_count
        facts[f"{key}.status"] = pool.status
        facts[f"{key}.machine_type"] = pool.machine_type
    return facts


def _spec(snapshot: Snapshot, request: Request) -> TierSpec:
    try:
        spec = snapshot.spec(request.tier)
    except KeyError as error:
        names = ", ".join(s.name for s in snapshot.specs)
        raise PlanError(f"There is no tier {request.tier!r}.", hint=f"Tiers: {names}") from error
    if any(p.kind is PartKind.GKE_SINGLE_HOST for p in spec.parts):
        return spec
    able = [s.name for s in snapshot.specs for p in s.parts if p.kind is PartKind.GKE_SINGLE_HOST]
    why = {
        PartKind.GKE_MULTI_HOST: "its slices are atomic multi-host pools, which cannot be resized",
        PartKind.VERTEX: "Vertex replicas are changed on the endpoint",
        PartKind.TPU_VM: "a Cloud TPU node cannot be resized",
        PartKind.LOCAL: "it is this machine",
    }[spec.parts[0].kind]
    raise PlanError(
        f"{spec.title} cannot be scaled by host-slices: {why}.",
        resource=spec.name,
        hint=f"Tiers with single-host slices in GKE: {', '.join(able) or 'none'}",
    )


def _delta(request: Request) -> int:
    delta = request.parameters.get("delta")
    if isinstance(delta, bool) or not isinstance(delta, int) or delta == 0:
        raise PlanError(
            f"The parameter delta is {delta!r}.",
            resource=request.tier,
            hint="delta is a whole number of slices, e.g. 1 to add one or -1 to remove one",
        )
    return delta


def _pools(snapshot: Snapshot, spec: TierSpec) -> tuple[NodePool, ...]:
    if snapshot.node_pools is None:
        raise PlanError(
            "The node pools have not been read yet.",
            resource=spec.name,
            retryable=True,
            hint="See Connections for the state of GKE",
        )
    owned = ownership.assign(snapshot).node_pools
    pools = tuple(
        pool
        for index, part in enumerate(spec.parts)
        if part.kind is PartKind.GKE_SINGLE_HOST
        for pool in owned.get((spec.name, index), ())
    )
    if not pools:
        raise PlanError(
            f"{spec.title} has no node pool to resize.",
            resource=spec.name,
            hint="It is off: it must be provisioned first",
        )
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
            f"{spec.title} has {have} slices that can be removed, not {-delta}.",
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


def _step(resize: _Resize, context: PlanContext) -> Step:
    pool, after = resize.pool, resize.after
    past = context.past_durations_s.get(VERB, ())
    source = "unknown: none was made from here yet"
    if past:
        source = f"median of {len(past)} earlier resizes made from here"
    return Step(
        verb=VERB,
        resource=resource_name(context.project, pool),
        title=f"Resize node pool {pool.name} from {pool.node_count} to {after} nodes",
        before={"node_count": pool.node_count},
        after={"node_count": after},
        expected_s=median(past) if past else None,
        expected_source=source,
        command=(
            f"gcloud container clusters resize {pool.cluster} --node-pool={pool.name}"
            f" --num-nodes={after} --location={pool.location} --project={context.project} --quiet"
        ),
    )


def _cost(snapshot: Snapshot, tier: FleetTier, resizes: Sequence[_Resize]) -> CostChange:
    spec = tier.spec
    now = tier_rate(tier, snapshot.prices)
    before, after = now.usd_per_hour, now.usd_per_hour
    source = now.source
    for resize in resizes:
        nodes = resize.after - resize.pool.node_count
        chips = abs(nodes) * ownership.slice_chips(spec, resize.pool.topology)
        spot = chips if ownership.is_spot(resize.pool.labels) else 0
        part = chips_rate(snapshot.prices, spec.generation or "", spec.zone, chips, spot)
        source = f"{source}; change: {part.source}"
        if after is None or part.usd_per_hour is None:
            after = None
            continue
        after += part.usd_per_hour if nodes > 0 else -part.usd_per_hour
    return CostChange(before, after, now.basis.value, source)


def _affected(snapshot: Snapshot, tier: FleetTier, delta: int) -> tuple[str, ...]:
    sentences: list[str] = []
    ready = tier.slice_count.ready
    load = (snapshot.loads or {}).get(tier.name)
    rate = load.requests_per_s if load else None
    if ready:
        share = abs(delta) / ready
        sentences.append(
            f"Ready slices of {tier.spec.title}: {ready} → {ready + delta}"
            f" ({share:+.1%} capacity)".replace("+", "+" if delta > 0 else "−")
        )
    else:
        sentences.append("How many slices are ready is not known")
    if rate is None:
        sentences.append(f"How many requests {tier.spec.title} gets now is not known")
    elif ready:
        sentences.append(
            f"{tier.spec.title} gets {rate:,.1f} requests/s now,"
            f" {rate / ready:,.2f} per ready slice"
        )
    if delta < 0:
        sentences.append(
            "GKE chooses which nodes go; requests that run on them are cut off unless their pods"
            " drain in time"
        )
        if ready and ready + delta <= 1:
            sentences.append("No redundancy is left: at most one slice stays ready")
    return tuple(sentences)


def _irreversible(delta: int) -> tuple[str, ...]:
    if delta > 0:
        return ()
    return ("The same chips may not be free when slices are added again: capacity is not reserved",)


def observe_again(
    observed: Mapping[str, str | int | float | bool | None], pools: Sequence[NodePool]
) -> Facts:
    """The same facts from a fresh read; a pool that is gone has None for each."""
    fresh = observe(pools)
    return {key: fresh.get(key) for key in observed}
