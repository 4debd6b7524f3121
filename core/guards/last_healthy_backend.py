"""Danger: nothing healthy is left behind a path that clients still call."""

from __future__ import annotations

from core.guards.change import (
    deleted,
    ends_service,
    find_spec,
    kind_and_name,
    shrinks,
    slice_delta,
)
from core.guards.context import GuardContext
from core.load_balancer import Backend, BackendService, LoadBalancer
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot
from core.traffic_rules import leading_to


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block when a service that the URL map calls loses its last healthy member."""
    if not shrinks(plan):
        return _verdict(Outcome.PASS, "no backend is taken out")
    balancer = snapshot.load_balancer
    if balancer is None:
        why = "which backends are healthy is not known"
        return _verdict(Outcome.CONSENT, why, "the load balancer must be readable")
    gone = {name for _, name in deleted(plan)} | set(plan.takes_out)
    changed = {kind_and_name(step.resource)[1] for step in plan.steps}
    lines: list[str] = []
    for service in _concerned(plan, snapshot, balancer, gone):
        if not _called(balancer, service.name, changed):
            lines.append(f"{service.name}: no path leads to it after this")
            continue
        verdict = _judge_service(plan, context, service, gone, lines)
        if verdict is not None:
            return verdict
    reason = "healthy backends are left" if lines else "no backend service is concerned"
    return _verdict(Outcome.PASS, reason, "", tuple(lines))


def _judge_service(
    plan: Plan, context: GuardContext, service: BackendService, gone: set[str], lines: list[str]
) -> Verdict | None:
    staying = [b for b in service.backends if b.group not in gone and service.name not in gone]
    if ends_service(plan, context.fleet):
        staying = []
    healthy = _healthy(staying)
    if healthy is None:
        why = f"the health of {service.name}'s backends is not known"
        return _verdict(Outcome.CONSENT, why, "its health must be readable", tuple(lines))
    left = healthy + min(0, slice_delta(plan))
    lines.append(
        f"{service.name}: {healthy} healthy in {len(staying)} groups, at least {left} left"
    )
    if left <= 0:
        why = f"{service.name} would have no healthy backend, and paths still lead to it"
        lift = "send its paths to another service first, or add healthy backends"
        return _verdict(Outcome.BLOCK, why, lift, tuple(lines))
    if left == 1:
        why = f"one healthy backend of {service.name} is left: no redundancy"
        return _verdict(Outcome.CONSENT, why, "keep a second one", tuple(lines))
    return None


def _concerned(
    plan: Plan, snapshot: Snapshot, balancer: LoadBalancer, gone: set[str]
) -> list[BackendService]:
    spec = find_spec(plan, snapshot)
    mine = spec.backend_service if spec else ""
    return [
        service
        for service in balancer.backend_services
        if (mine and service.name == mine)
        or service.name in gone
        or any(b.group in gone for b in service.backends)
    ]


def _called(balancer: LoadBalancer, service: str, changed: set[str]) -> bool:
    """Whether a URL map that the plan leaves as it is leads to the service."""
    return any(d.place.url_map not in changed for d in leading_to(balancer, service))


def _healthy(backends: list[Backend]) -> int | None:
    if any(b.healthy is None for b in backends):
        return None
    return sum(b.healthy or 0 for b in backends if b.capacity_ratio != 0)


def _verdict(outcome: Outcome, reason: str, lift: str = "", lines: tuple[str, ...] = ()) -> Verdict:
    return Verdict("last_healthy_backend", outcome, reason, lift, lines)
