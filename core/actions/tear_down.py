"""What both tear-downs share: the plan of a removal, and what of ours no chain knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import unquote

from core import ownership
from core.actions.chain_steps import Present, Removal, observe, present_of
from core.actions.context import PlanContext
from core.chain import Chain, Piece
from core.cloud_resources import path_of, short_name
from core.errors import PlanError
from core.fleet import Fleet, assemble_fleet
from core.ownership import Owners, PartKey
from core.parts import total
from core.plans import CostChange, Plan, Request, Step
from core.pricing import tier_rate
from core.records import Snapshot
from core.specs import PartKind, TierSpec
from core.wording import plural


def removal_plan(
    snapshot: Snapshot,
    request: Request,
    now: datetime,
    context: PlanContext,
    chain: Chain,
    specs: Sequence[TierSpec],
    title: str,
    mine: Callable[[Piece], bool],
) -> Plan:
    """The plan that deletes the pieces that are there and `mine`.

    Raises:
        PlanError: there is nothing to delete, or what exists was not read.
    """
    present = present_of(context)
    removal = Removal(chain, present, mine)
    steps = removal.steps()
    if not steps:
        raise PlanError(
            "There is nothing to tear down.",
            resource=request.tier,
            hint="; ".join(removal.stays) or "Nothing that was made from here is there",
        )
    going = {step.resource for step in steps}
    fleet = assemble_fleet(snapshot)
    chips, slices = _hardware(snapshot, specs, going)
    pieces = [piece for piece in chain.pieces if piece.name in going]
    return Plan(
        request=request,
        title=f"{title}: delete {plural(len(steps), 'resource')}",
        steps=steps,
        observed=observe(chain.names, present),
        cost=_cost(snapshot, fleet, specs, chips),
        affected=(*_affected(snapshot, specs), *removal.stays),
        irreversible=irreversible_of(steps, chips),
        permissions=tuple(sorted({name for p in pieces for name in p.permissions})),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=-slices,
        chip_delta=-chips,
        takes_out=tuple(short_name(name) for name in sorted(going) if "/backendServices/" in name),
    )


def leftovers(
    present: Present, known: Sequence[Piece], owners: Collection[str] | None, project: str
) -> Iterator[Piece]:
    """Pieces for what says that it is ours (of these owners; None: of any) and no chain names."""
    keys = {piece.name: piece.key for piece in known}
    names = [
        name
        for name in sorted(present)
        if name not in keys
        and (owner := present[name].owner) is not None
        and (owners is None or owner in owners)
    ]
    keys |= {name: f"left-{index}" for index, name in enumerate(names)}
    for name in names:
        owner = present[name].owner
        kind = path_of(name).split("/")[-2]
        before = [
            keys[other]
            for other in keys
            if other in present
            and other != name
            and (
                name.startswith(f"{other}/")
                or (present[other].owner == owner and f"/{_OUTLIVED.get(kind, '//')}/" in other)
            )
        ]
        yield Piece(
            keys[name], name, f"{kind} {unquote(short_name(name))}", owner or "", {}, "",
            remove_command(name, project), tuple(before),
        )  # fmt: skip


# What of an owner goes only when all of that other kind are gone: collection → what outlives it.
_OUTLIVED: Final = {"deployedModels": "models", "nodes": "queuedResources"}


def remove_command(name: str, project: str) -> str:
    """The command that deletes a resource that no chain describes."""
    parts = path_of(name).split("/")
    if "nodePools" in parts:
        return (
            f"gcloud container node-pools delete {parts[-1]} --cluster={parts[-3]}"
            f" --location={parts[3]} --project={project} --quiet"
        )
    return f"# delete {path_of(name)}"


def _hardware(
    snapshot: Snapshot, specs: Sequence[TierSpec], going: Collection[str]
) -> tuple[int, int]:
    """(chips, slices) of the node pools, TPU nodes and replicas that go."""
    chips = slices = 0
    owned = ownership.assign(snapshot)
    for spec in specs:
        for index, part in enumerate(spec.parts):
            sizes = _elsewhere(spec, (spec.name, index), owned, going)
            slices, chips = slices + len(sizes), chips + sum(sizes)
            for pool in owned.node_pools.get((spec.name, index), ()):
                if not any(_is_pool(name, pool.cluster, pool.name) for name in going):
                    continue
                per_slice = ownership.slice_chips(spec, pool.topology)
                count = pool.node_count if part.kind is PartKind.GKE_SINGLE_HOST else 1
                slices += count
                chips += count * per_slice
    return chips, slices


def _elsewhere(spec: TierSpec, key: PartKey, owned: Owners, going: Collection[str]) -> list[int]:
    """Chips of each TPU node and replica of the part that goes."""
    found = [
        ownership.slice_chips(spec, vm.topology)
        for vm in owned.tpu_vms.get(key, ())
        if any(name.endswith(f"/locations/{vm.zone}/nodes/{vm.name}") for name in going)
    ]
    for endpoint in owned.endpoints.get(key, ()):
        for model in endpoint.deployed:
            end = f"/endpoints/{endpoint.id}/deployedModels/{model.id}"
            if any(name.endswith(end) for name in going):
                found += [ownership.slice_chips(spec, model.topology)] * model.replicas_min
    return found


def _is_pool(name: str, cluster: str, pool: str) -> bool:
    return name.endswith(f"/clusters/{cluster}/nodePools/{pool}")


def _cost(snapshot: Snapshot, fleet: Fleet, specs: Sequence[TierSpec], chips: int) -> CostChange:
    """The tiers' cost now; after it nothing, or unknown where some of their chips stay."""
    rates = [tier_rate(fleet.tier(spec.name), snapshot.prices) for spec in specs]
    known = [rate.usd_per_hour for rate in rates]
    before = None if None in known else sum(v for v in known if v is not None)
    running = total(fleet.tier(spec.name).chip_count.running for spec in specs)
    source = "; ".join(rate.source for rate in rates)
    basis = rates[0].basis.value if rates else "list"
    if running is not None and running > chips:
        return CostChange(before, None, basis, f"{source}; what stays is not priced")
    return CostChange(before, None if before is None else 0.0, basis, source)


def _affected(snapshot: Snapshot, specs: Sequence[TierSpec]) -> tuple[str, ...]:
    found: list[str] = []
    for spec in specs:
        load = (snapshot.loads or {}).get(spec.name)
        rate = load.requests_per_s if load else None
        if rate is None:
            found.append(f"How many requests {spec.title} gets now is not known")
        elif rate > 0:
            found.append(f"{spec.title} gets {rate:,.1f} requests/s now; all of them will fail")
    return tuple(found)


def irreversible_of(steps: Sequence[Step], chips: int) -> tuple[str, ...]:
    """What deleting these resources, with so many chips, takes for good."""
    found: list[str] = []
    if chips:
        found.append(f"The {chips:,} chips may not be free again: capacity is not reserved")
    if any("/datasets/" in step.resource for step in steps):
        found.append("The logs in the tiers' datasets are deleted")
    if any("/addresses/" in step.resource for step in steps):
        found.append("The address is given back: DNS must be changed when a new one is made")
    return tuple(found)
