"""Why an action cannot be asked for on a tier now, told before anybody fills in its form.

A first look only: the planners check everything again with the form's values.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from core.actions.context import PlanContext
from core.actions.restart_slice import restartable
from core.actions.rollouts import workload_name
from core.actions.tier_places import why_not_made
from core.actions.vertex_split import endpoints_of
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.forecast import find_budget
from core.records import BackendService, Snapshot
from core.specs import PartKind, TierSpec
from core.traffic_rules import leading_to

_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)
_UNREAD: Final = "{what} has not been read yet"


def why_not(snapshot: Snapshot, action: str, spec: TierSpec) -> str:
    """Why that action makes no sense on that tier now; "" when it may."""
    check = _CHECKS.get(action)
    return check(snapshot, spec) if check is not None else ""


def _service(snapshot: Snapshot, spec: TierSpec) -> BackendService | str:
    """The tier's backend service, or why there is none."""
    if not spec.backend_service:
        return f"{spec.title} does not stand behind the load balancer"
    if snapshot.load_balancer is None:
        return _UNREAD.format(what="The load balancer")
    for service in snapshot.load_balancer.backend_services:
        if service.name == spec.backend_service:
            return service
    return f"There is no backend service {spec.backend_service}"


def _made_from_here(_snapshot: Snapshot, spec: TierSpec) -> str:
    return why_not_made(spec)


def _servers(snapshot: Snapshot, spec: TierSpec) -> str:
    try:
        workload_name(snapshot, spec, PlanContext(""))
    except PlanError as error:
        return error.message
    return ""


def _scale(snapshot: Snapshot, spec: TierSpec) -> str:
    return "" if any(p.kind in _GKE for p in spec.parts) else f"{spec.title} has no slices in GKE"


def _replicas(snapshot: Snapshot, spec: TierSpec) -> str:
    if not any(p.kind is PartKind.VERTEX for p in spec.parts):
        return f"{spec.title} has no part on Vertex"
    if snapshot.endpoints is None:
        return _UNREAD.format(what="Vertex")
    if not any(e.deployed for e in endpoints_of(snapshot, spec)):
        return f"No model of {spec.title} is deployed on Vertex"
    return ""


def _shift(snapshot: Snapshot, spec: TierSpec) -> str:
    if any(len(e.deployed) > 1 for e in endpoints_of(snapshot, spec)):
        return ""
    service = _service(snapshot, spec)
    if isinstance(service, str):
        return service
    balancer = snapshot.load_balancer
    if balancer is None or not leading_to(balancer, service.name):
        return f"No path leads to {spec.title}"
    return "" if len(balancer.backend_services) > 1 else "There is no other backend service"


def _fail_over(snapshot: Snapshot, spec: TierSpec) -> str:
    service = _service(snapshot, spec)
    if isinstance(service, str):
        return service
    balancer = snapshot.load_balancer
    if balancer is None or not leading_to(balancer, service.name):
        return f"No path leads to {spec.title}"
    others = [s for s in snapshot.specs if s.backend_service and s.name != spec.name]
    return "" if others else "No other tier stands behind the load balancer"


def _drain(snapshot: Snapshot, spec: TierSpec) -> str:
    service = _service(snapshot, spec)
    if isinstance(service, str):
        return service
    if not service.backends:
        return f"{service.name} has no backend"
    drained = all(b.capacity_ratio == 0 for b in service.backends)
    return f"{spec.title} is drained already" if drained else ""


def _restore(snapshot: Snapshot, spec: TierSpec) -> str:
    service = _service(snapshot, spec)
    if isinstance(service, str):
        return service
    return "" if any(b.capacity_ratio == 0 for b in service.backends) else "Nothing is drained"


def _restart(snapshot: Snapshot, spec: TierSpec) -> str:
    if restartable(assemble_fleet(snapshot).tier(spec.name)):
        return ""
    return f"{spec.title} has no slice in GKE whose hosts are known"


def _acknowledge(snapshot: Snapshot, spec: TierSpec) -> str:
    if snapshot.alerts is None:
        return _UNREAD.format(what="The list of alerts")
    mine = any(a.tier == spec.name for a in snapshot.alerts)
    return "" if mine else f"No alert on {spec.title} is open"


def _budget(snapshot: Snapshot, spec: TierSpec) -> str:
    if snapshot.budgets is None:
        return _UNREAD.format(what="The list of budgets")
    if find_budget(spec, snapshot.budgets) is None:
        return f"{spec.title} has no monthly budget in Cloud Billing"
    return ""


_CHECKS: Final = MappingProxyType[str, Callable[[Snapshot, TierSpec], str]](
    {
        "provision_tier": _made_from_here,
        "tear_down_tier": _made_from_here,
        "deploy_model": _servers,
        "roll_back": _servers,
        "scale_tier": _scale,
        "scale_replicas": _replicas,
        "shift_traffic": _shift,
        "fail_over": _fail_over,
        "drain_tier": _drain,
        "restore_tier": _restore,
        "restart_slice": _restart,
        "change_budget": _budget,
        "acknowledge_incident": _acknowledge,
    }
)
