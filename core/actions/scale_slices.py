"""Scale a tier's multi-host slices: each is an atomic node pool, added or removed whole, with the
group of pods that it serves as.

Adding makes pools first, as far as none stand idle, then raises the workload's replicas; removing
lowers the replicas, then deletes the pools whose groups have gone. Single-host slices are
`scale_tier.py`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from core import ownership
from core.actions.chain_steps import DELETE, create_step, is_whole, present_of
from core.actions.chain_steps import observe as observe_pieces
from core.actions.context import PlanContext
from core.actions.rollouts import workload_name, workload_of
from core.actions.scaling import cost_of, delta_of, irreversible, pools_of, who_feels_it
from core.actions.scaling import observe as observe_pools
from core.actions.slice_groups import IDLE, groups_on, is_off, last_first, told_group, told_woken
from core.actions.tear_down import remove_command
from core.actions.tier_lookup import usual
from core.actions.tier_places import on_terms, places_of
from core.chain import Chain, Piece, Place, platform_pieces
from core.chain.pieces import kube_context
from core.chain.tier import policy_name, policy_piece, pool_name, slice_pool
from core.cloud_resources import CONTAINER, path_of
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.plans import Facts, Plan, Request, Step
from core.records import NodePool, Snapshot, Source, Workload
from core.specs import PartKind, TierSpec
from core.wording import plural

VERB: Final = "kube.set_replicas"
REPLICAS: Final = "replicas"  # "replicas:FULL NAME OF A WORKLOAD" → how many it is to have
_BROKEN: Final = "ERROR"
_ACCOUNT: Final = ("nodes-account", "nodes-role")  # what the new nodes run as
_PERMISSIONS: Final = (
    "container.clusters.update",
    "container.operations.get",
    "container.thirdPartyObjects.get",
    "container.thirdPartyObjects.update",
)


@dataclass(frozen=True, slots=True)
class _Now:
    """The slices and the workload that serves on them, with its full name.

    `broken`: pools that GKE could not make. They have no hosts and are no slices.
    """

    place: Place
    pools: tuple[NodePool, ...]
    broken: tuple[NodePool, ...]
    workload: Workload
    name: str

    @property
    def usable(self) -> tuple[NodePool, ...]:
        """Those that have nodes, or get them once a group's pods wait for them."""
        return tuple(pool for pool in self.pools if not is_off(pool))

    @property
    def idle(self) -> int:
        """Slices that no group is to serve on, as a change that failed half way leaves them."""
        return max(0, len(self.usable) - self.workload.replicas_wanted)

    def woken(self, used: int) -> tuple[NodePool, ...]:
        """Pools without nodes whose nodes come when so many idle slices are used.

        GKE puts groups on the nodes that are there first. Which pools it fills then is its choice:
        here those that cost most.
        """
        asleep = [pool for pool in self.usable if not pool.node_count]
        awake = max(0, len(self.usable) - len(asleep) - self.workload.replicas_wanted)
        dearest = sorted(asleep, key=lambda pool: ownership.is_spot(pool.labels))
        return tuple(dearest[: max(0, used - awake)])


@dataclass(frozen=True, slots=True)
class _Change:
    """What a plan does.

    `slices` that serve more or (negative) less, `chips` likewise, and whether they are spot chips.
    """

    steps: tuple[Step, ...]
    observed: Facts
    notes: tuple[str, ...]
    slices: int
    chips: tuple[tuple[int, bool], ...]


def plan_scale_slices(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext, spec: TierSpec
) -> Plan:
    """The plan that adds or removes whole slices; parameters as `delta_of` has them.

    Also `spot` and `reservation`, of the slices that are added.

    Raises:
        PlanError: pools or workload are not known, or there are not so many slices.
    """
    delta, arithmetic = delta_of(snapshot, spec, request)
    there = _there(snapshot, spec, request, context)
    have = len(there.usable) - there.idle if delta > 0 else len(there.pools)
    tier = assemble_fleet(snapshot).tier(spec.name)
    if have + delta < 0:
        raise PlanError(
            f"{spec.title} has {plural(have, 'slice')} that can be removed, not {-delta}.",
            resource=spec.name,
            hint=f"delta may be from {-have} up",
        )
    if delta > 0:
        chain = scale_chain(snapshot, request, context)
        change = _adding(snapshot, there, spec, chain, delta, context)
    else:
        change = _removing(snapshot, there, spec, -delta, context)
    word, noun = "Add" if delta > 0 else "Remove", "slice" if abs(delta) == 1 else "slices"
    return Plan(
        request=request,
        title=f"{word} {abs(delta)} multi-host {noun} of {spec.title}: {have} → {have + delta}",
        steps=change.steps,
        observed={**change.observed, **observe((there.name, there.workload))},
        cost=cost_of(snapshot, tier, change.chips),
        affected=(*change.notes, *_about_unusable(there, change.steps), *arithmetic),
        irreversible=irreversible(delta),
        permissions=_PERMISSIONS,
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=change.slices,
        chip_delta=sum(chips for chips, _ in change.chips),
        reservation=there.place.reservation if delta > 0 else "",
        sources=(Source.GKE.value, Source.KUBE.value, Source.LOAD.value),
    )


def _about_unusable(there: _Now, steps: Sequence[Step]) -> list[str]:
    changed = {path_of(step.resource).rpartition("/")[2] for step in steps}
    off = [pool for pool in there.pools if is_off(pool) and pool.name not in changed]
    return [
        *(
            f"Node pool {pool.name} is in {_BROKEN} and counts for nothing:"
            f" it {'is made anew' if pool.name in changed else 'stays as it is'}"
            for pool in there.broken
        ),
        *(f"Node pool {p.name} has no nodes, and no autoscaler brings any: not used" for p in off),
    ]


def scale_chain(snapshot: Snapshot, request: Request, context: PlanContext) -> Chain:
    """What new slices consist of; empty where none is added, or the tier has no such slices."""
    spec = next((s for s in snapshot.specs if s.name == request.tier), None)
    if spec is None or not has_slices(spec):
        return Chain(())
    delta, _ = delta_of(snapshot, spec, request)
    if delta <= 0:
        return Chain(())
    there = _there(snapshot, spec, request, context)
    delta -= there.idle
    if delta <= 0:
        return Chain(())
    place = there.place
    pieces = [p for p in platform_pieces(place.site, {place.part.kind}) if p.key in _ACCOUNT]
    policies = {pool.placement_policy for pool in (*there.pools, *there.broken)} - {""}
    policy = policies.pop() if len(policies) == 1 else ""
    if policy in ("", policy_name(spec)):
        pieces.append(policy_piece(place.site, spec))
    taken = {pool.name for pool in there.pools}  # a broken one is made anew
    numbers = (n for n in itertools.count() if pool_name(place.part, n) not in taken)
    for number in itertools.islice(numbers, delta):
        pieces.append(_with_policy(slice_pool(place, spec, number), policy))
    keys = {piece.key for piece in pieces}
    return Chain(_needing(piece, keys) for piece in pieces)


def _with_policy(piece: Piece, policy: str) -> Piece:
    """The pool with the placement policy that its siblings have ("": its own)."""
    own = piece.body["placementPolicy"]["policyName"]
    if not policy or policy == own:
        return piece
    return replace(
        piece,
        body={**piece.body, "placementPolicy": {"policyName": policy}},
        make=piece.make.replace(f"--placement-policy={own}", f"--placement-policy={policy}"),
    )


def _needing(piece: Piece, keys: set[str]) -> Piece:
    """The piece after those that a pool needs and that are in the chain."""
    needs = {key for key in piece.needs if key in keys}
    if piece.key.startswith("pool-"):
        needs |= {key for key in _ACCOUNT if key in keys}
    return replace(piece, needs=tuple(sorted(needs)))


def has_slices(spec: TierSpec) -> bool:
    """Whether the tier has multi-host slices."""
    return any(part.kind is PartKind.GKE_MULTI_HOST for part in spec.parts)


def _there(snapshot: Snapshot, spec: TierSpec, request: Request, context: PlanContext) -> _Now:
    pools = pools_of(snapshot, spec, PartKind.GKE_MULTI_HOST)
    name = workload_name(snapshot, spec, context)
    place = next(
        p for p in places_of(snapshot, spec, context) if p.part.kind is PartKind.GKE_MULTI_HOST
    )
    workload = workload_of(snapshot, spec, name)
    sound = tuple(pool for pool in pools if pool.status != _BROKEN)
    broken = tuple(pool for pool in pools if pool.status == _BROKEN)
    return _Now(on_terms(spec, place, request), sound, broken, workload, name)


def _adding(
    snapshot: Snapshot,
    there: _Now,
    spec: TierSpec,
    chain: Chain,
    delta: int,
    context: PlanContext,
) -> _Change:
    present = present_of(context)
    missing = [piece for piece in chain.pieces if not is_whole(piece, present)]
    keys = {piece.key for piece in missing}
    pools = sorted(key for key in keys if key.startswith("pool-"))
    steps = [create_step(piece, keys, piece.body.get("initialNodeCount")) for piece in missing]
    idle = min(delta, there.idle)
    woken = there.woken(idle)
    chips = [(ownership.slice_chips(spec, p.topology), ownership.is_spot(p.labels)) for p in woken]
    wanted = max(len(there.usable) - there.idle + delta, there.workload.replicas_wanted)
    return _Change(
        (*steps, *_replicas(there, wanted, pools, context)),
        observe_pieces(chain.names, present),
        (
            *([f"{plural(idle, 'slice')} stood idle: used first"] if idle else ()),
            *([told_woken(len(woken), sum(n for n, _ in chips))] if woken else ()),
            *who_feels_it(snapshot, assemble_fleet(snapshot).tier(spec.name), delta),
            "Each new slice serves once all its hosts run and its group of pods is ready",
        ),
        delta - idle + len(woken),
        (((delta - idle) * ownership.chips_per_slice(spec), there.place.spot), *chips),
    )


def _removing(
    snapshot: Snapshot, there: _Now, spec: TierSpec, count: int, context: PlanContext
) -> _Change:
    groups = groups_on(snapshot, there.place.part, there.pools, there.workload.namespace)
    going = sorted(there.pools, key=lambda pool: last_first(pool, groups))[:count]
    lowered = _replicas(there, len(there.pools) - count, (), context)
    needs = tuple(step.key for step in lowered)
    names = ", ".join(f"{pool.name} ({told_group(groups.get(pool.name))})" for pool in going[:8])
    serving = sum(groups.get(pool.name) != IDLE for pool in going)
    notes = [f"These slices go: {names}{' …' if len(going) > 8 else ''}"]
    if serving:
        notes += who_feels_it(snapshot, assemble_fleet(snapshot).tier(spec.name), -serving)
        notes.append("The highest groups stop first: what they are answering then is cut off")
    if any(groups.get(pool.name) is None for pool in going):
        notes.append("Which group serves on which pool is not known: the last by name go")
    return _Change(
        (*lowered, *(_delete(pool, needs, context) for pool in going)),
        observe_pools(going),
        tuple(notes),
        -serving,
        tuple((-_chips(pool), ownership.is_spot(pool.labels)) for pool in going),
    )


def _chips(pool: NodePool) -> int:
    return pool.node_count * ownership.hardware_of(pool.machine_type)[1]


def _replicas(there: _Now, wanted: int, needs: Sequence[str], context: PlanContext) -> list[Step]:
    """The step that gives the workload so many groups; none when it has them."""
    if there.workload.replicas_wanted == wanted:
        return []
    return [groups_step(there.name, there.workload, wanted, needs, context)]


def groups_step(
    name: str, workload: Workload, wanted: int, needs: Sequence[str], context: PlanContext
) -> Step:
    """The step that gives the workload of that full name so many groups of pods."""
    expected_s, source = usual(context, VERB)
    _, _, _, location, _, cluster, *_ = path_of(name).split("/")
    return Step(
        verb=VERB,
        resource=name,
        title=f"Change the groups of {workload.name} to {wanted}",
        before={"replicas": workload.replicas_wanted},
        after={"replicas": wanted},
        expected_s=expected_s,
        expected_source=source,
        command=(
            f"kubectl --context={kube_context(context.project, location, cluster)}"
            f" scale {workload.kind.lower()} {workload.name}"
            f" --namespace={workload.namespace} --replicas={wanted}"
        ),
        key="groups",
        needs=tuple(needs),
        undo="write the number that was there before",
    )


def _delete(pool: NodePool, needs: Sequence[str], context: PlanContext) -> Step:
    name = (
        f"//{CONTAINER}/projects/{context.project}/locations/{pool.location}"
        f"/clusters/{pool.cluster}/nodePools/{pool.name}"
    )
    expected_s, source = usual(context, DELETE)
    return Step(
        verb=DELETE,
        resource=name,
        title=f"Delete node pool {pool.name}",
        before={"exists": True, "chips": _chips(pool)},
        after={},
        expected_s=expected_s,
        expected_source=source,
        command=remove_command(name, context.project),
        key=f"pool {pool.name}",
        needs=tuple(needs),
        undo="make it again, when its chips are free",
    )


def observe(*workloads: tuple[str, Workload]) -> Facts:
    """How many replicas these workloads, by full name, are to have."""
    return {f"{REPLICAS}:{name}": found.replicas_wanted for name, found in workloads}


def wanted_of(step: Step) -> tuple[int, int]:
    """Replicas before and after.

    Raises:
        ValueError: the step does not name them.
    """
    pair = step.before.get("replicas"), step.after.get("replicas")
    if not isinstance(pair[0], int) or not isinstance(pair[1], int):
        raise ValueError(f"{path_of(step.resource)}: {pair}")
    return pair[0], pair[1]
