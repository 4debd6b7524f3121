"""Danger: taking away what something else still needs; Google refuses it, or that breaks."""

from __future__ import annotations

from collections.abc import Iterable

from core.guards.change import deletes, kind_and_name
from core.guards.context import GuardContext
from core.load_balancer import LoadBalancer, UrlMap
from core.plans import Outcome, Plan, Step, Verdict
from core.records import Snapshot


def judge(plan: Plan, snapshot: Snapshot, _context: GuardContext) -> Verdict:
    """Block a deletion whose dependents are neither changed nor deleted earlier in the plan."""
    needed: list[str] = []
    unknown: list[str] = []
    seen: set[str] = set()  # names of what earlier steps change or take away
    for step in plan.steps:
        kind, name = kind_and_name(step.resource)
        if deletes(step):
            if _source_missing(kind, snapshot):
                unknown.append(f"what needs {kind} {name}")
            needed += [f"{d} needs {name}" for d in _dependents(kind, name, step, snapshot, seen)]
        seen.add(name)
    if needed:
        why = "; ".join(needed[:5]) + (" …" if len(needed) > 5 else "")
        lift = "change or take away what depends on it first"
        return Verdict("dependent_resources", Outcome.BLOCK, why, lift, tuple(needed))
    if unknown:
        why = f"not known: {', '.join(unknown)}"
        return Verdict("dependent_resources", Outcome.CONSENT, why, "its source must be readable")
    return Verdict("dependent_resources", Outcome.PASS, "nothing else needs what goes")


def _source_missing(kind: str, snapshot: Snapshot) -> bool:
    if kind == "backendServices":
        return snapshot.load_balancer is None
    if kind == "clusters":
        return snapshot.node_pools is None
    return kind == "nodePools" and snapshot.pods is None


def _dependents(
    kind: str, name: str, step: Step, snapshot: Snapshot, seen: set[str]
) -> Iterable[str]:
    balancer = snapshot.load_balancer
    if kind == "backendServices" and balancer is not None:
        for url_map in balancer.url_maps:
            if url_map.name not in seen and name in _called(url_map):
                yield f"URL map {url_map.name}"
    elif kind == "healthChecks" and balancer is not None:
        yield from _checked_by(balancer, name, seen)
    elif kind == "clusters":
        for pool in snapshot.node_pools or ():
            if pool.cluster == name and pool.name not in seen and pool.location in step.resource:
                yield f"node pool {pool.name} in it"
    elif kind == "nodePools":
        yield from _tenants(name, step, snapshot)


def _called(url_map: UrlMap) -> set[str]:
    called = {url_map.default_service}
    for matcher in url_map.matchers:
        called.add(matcher.default_service)
        called.update(rule.service for rule in matcher.rules)
    return called


def _checked_by(balancer: LoadBalancer, name: str, seen: set[str]) -> Iterable[str]:
    for service in balancer.backend_services:
        if name in service.health_checks and service.name not in seen:
            yield f"backend service {service.name}"


def _tenants(pool: str, step: Step, snapshot: Snapshot) -> Iterable[str]:
    """Tiers other than the pool's own whose pods run on its hosts."""
    hosts = {
        h.name: h
        for h in snapshot.hosts or ()
        if h.pool == pool and f"/clusters/{h.cluster}/" in step.resource
    }
    known = {s.namespace: s.name for s in snapshot.specs if s.namespace}
    found = sorted({p.namespace for p in snapshot.pods or () if p.host in hosts} & known.keys())
    if len(found) < 2:
        return
    for namespace in found:
        if not pool.startswith(tuple(p.name_prefix for p in snapshot.spec(known[namespace]).parts)):
            yield f"tier {known[namespace]}, whose pods run on it,"
