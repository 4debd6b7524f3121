"""Danger: what costs on but belongs to nothing, since only a part of a tier was taken away."""

from __future__ import annotations

from core import ownership
from core.guards.change import deleted, find_spec, is_teardown
from core.guards.context import GuardContext
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot
from core.specs import TierSpec


def judge(plan: Plan, snapshot: Snapshot, _context: GuardContext) -> Verdict:
    """Ask before resources are left that only what is deleted had a use for."""
    names = {name for _, name in deleted(plan)}
    left = list(plan.leaves)
    if names or is_teardown(plan):
        spec = find_spec(plan, snapshot)
        specs = (spec,) if spec else (snapshot.specs if is_teardown(plan) else ())
        for each in specs:
            left += _left(each, snapshot, names, whole=is_teardown(plan))
    if not left:
        return Verdict("orphans_left", Outcome.PASS, "nothing is left that belongs to nothing")
    why = f"{len(left)} left behind: {'; '.join(left[:5])}{' …' if len(left) > 5 else ''}"
    return Verdict(
        "orphans_left", Outcome.CONSENT, why, "take these away in the same plan", tuple(left)
    )


def _left(spec: TierSpec, snapshot: Snapshot, names: set[str], *, whole: bool) -> list[str]:
    """What stays of a tier whose hardware goes; empty while some of its hardware stays in use."""
    owners = ownership.assign(snapshot)
    keys = [(spec.name, index) for index in range(len(spec.parts))]
    hardware = [
        *(("node pool", p.name, p.name) for k in keys for p in owners.node_pools.get(k, ())),
        *(("TPU VM", v.name, v.name) for k in keys for v in owners.tpu_vms.get(k, ())),
        *(("endpoint", e.display_name, e.id) for k in keys for e in owners.endpoints.get(k, ())),
    ]
    stays = [
        (kind, shown) for kind, shown, name in hardware if name.rpartition("/")[2] not in names
    ]
    gone = len(hardware) - len(stays)
    if not whole and (not gone or stays):
        return []  # a tier that keeps hardware keeps a use for the rest
    services = snapshot.load_balancer.backend_services if snapshot.load_balancer else ()
    found = [f"{kind} {shown} of {spec.title}" for kind, shown in stays]
    for service in services:
        if service.name == spec.backend_service and service.name not in names:
            found.append(f"backend service {service.name} of {spec.title}")
    return found
