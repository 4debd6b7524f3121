"""GKE's Gateway controller: what it says of Gateways, HTTPRoutes and InferencePools.

It writes conditions and addresses. No load balancer is made of them in Compute, and nothing carries
requests by them: the data plane goes by Compute's forwarding rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from emulator.apis.compute.addresses import free_address
from emulator.apis.compute.catalogue import region_of
from emulator.apis.compute.model import state_of
from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.objects import (
    condition,
    conditions_of,
    generation_of,
    going,
    labels_of,
    name_of,
    namespace_of,
    selects,
    uid_of,
    with_conditions,
)
from emulator.apis.kubernetes.controllers.view import View
from emulator.apis.kubernetes.gateway_api import CLASSES, CONTROLLER
from emulator.apis.kubernetes.gateway_kinds import GROUP, POOLS

# Simulated seconds until a new Gateway's load balancer would be there: a guess.
PROGRAMMED_S: Final = 120.0
_REGIONAL: Final = ("gke-l7-regional-external-managed", "gke-l7-rilb")
_UNUSED: Final[Obj] = {
    "parentRef": {"kind": "Status", "name": "default"},
    "conditions": [{"type": "Accepted", "status": "Unknown", "reason": "Pending", "message":
                    "Waiting for controller", "lastTransitionTime": "1970-01-01T00:00:00Z"}],
}  # fmt: skip


def run(view: View) -> None:
    """Every status."""
    routes = [r for r in view.mine("HTTPRoute") if not going(r)]
    for route in routes:
        parents = [_parent(view, route, ref) for ref in route["spec"].get("parentRefs", ())]
        view.put_status(route, {"parents": [p for p in parents if p]})
    for gateway in view.mine("Gateway"):
        if not going(gateway) and gateway["spec"]["gatewayClassName"] in CLASSES:
            _gateway(view, gateway, routes)
    for pool in view.mine("InferencePool"):
        if not going(pool):
            _pool(view, pool, routes)


def _gateway(view: View, gateway: Obj, routes: Iterable[Obj]) -> None:
    chosen = _name_of_class(gateway)
    status: Obj = {}
    lacking = _lacking(view, chosen)
    ready_at = view.since(f"gateway/{uid_of(gateway)}") + view.wall_s(PROGRAMMED_S)
    if lacking:
        programmed = condition("Programmed", False, "Invalid", lacking)
    elif view.now < ready_at:
        view.wake(ready_at)
        programmed = condition("Programmed", "Unknown", "Pending", "Waiting for controller")
    else:
        programmed = condition("Programmed", True, "Programmed")
        status["addresses"] = [{"type": "IPAddress", "value": _address(view, gateway)}]
    news = [_seen(gateway, c) for c in (condition("Accepted", True, "Accepted"), programmed)]
    status["conditions"] = with_conditions(conditions_of(gateway), news, view.at)
    before = {x["name"]: x for x in (gateway.get("status") or {}).get("listeners", ())}
    status["listeners"] = [
        _listener(view, gateway, x, before.get(x["name"], {}), programmed, routes)
        for x in gateway["spec"]["listeners"]
    ]
    view.put_status(gateway, status)


def _listener(
    view: View, gateway: Obj, listener: Obj, before: Obj, programmed: Obj, routes: Iterable[Obj]
) -> Obj:
    known = listener["protocol"] in ("HTTP", "HTTPS")
    reason = "Accepted" if known else "UnsupportedProtocol"
    news = [condition("Accepted", known, reason), programmed,
            condition("ResolvedRefs", True, "ResolvedRefs"),
            condition("Conflicted", False, "NoConflicts")]  # fmt: skip
    attached = [r for r in routes if any(
        _meant(view, r, ref) is gateway and ref.get("sectionName") in (None, listener["name"])
        and _admits(view, gateway, listener, r) for ref in r["spec"].get("parentRefs", ())
    )]  # fmt: skip
    told = [_seen(gateway, c) for c in news]
    return {
        "name": listener["name"],
        "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}] if known else [],
        "attachedRoutes": len(attached),
        "conditions": with_conditions(before.get("conditions", ()), told, view.at),
    }


def _lacking(view: View, chosen: str) -> str:
    """What a regional load balancer misses: the proxies' subnetwork."""
    if chosen not in _REGIONAL:
        return ""
    place = view.cluster.location
    region = place if place.count("-") == 1 else region_of(place)
    for subnet in state_of(view.cloud).of("subnetworks", f"regions/{region}").values():
        if subnet.get("purpose") == "REGIONAL_MANAGED_PROXY" and str(
            subnet.get("network", "")
        ).endswith(f"/{view.cluster.network}"):
            return ""
    return ("An active proxy-only subnetwork is required in the same region and VPC as the "
            "forwarding rule.")  # fmt: skip


def _address(view: View, gateway: Obj) -> str:
    """The address that it asks for, by itself or by a name in Compute; else the one it keeps."""
    notes = view.state_notes("gateways", "addresses")
    compute = state_of(view.cloud)
    for asked in gateway["spec"].get("addresses", ()):
        named = compute.of("addresses", "global").get(str(asked.get("value")))
        if asked.get("type") == "NamedAddress" and named is not None:
            return str(named["address"])
        if asked.get("type") == "IPAddress" and asked.get("value"):
            return str(asked["value"])
    uid = uid_of(gateway)
    if uid not in notes:
        if _name_of_class(gateway) == "gke-l7-rilb":
            notes[uid] = f"10.0.31.{view.serial() % 254 + 1}"
        else:
            taken = {str(b["address"]) for b in compute.of("addresses", "global").values()}
            taken |= {str(b["IPAddress"]) for b in compute.of("forwardingRules", "global").values()}
            notes[uid] = free_address(taken | set(notes.values()))
    return str(notes[uid])


def _parent(view: View, route: Obj, ref: Obj) -> Obj | None:
    """What a route's status says of one parent; None for parents of other controllers."""
    gateway = _meant(view, route, ref)
    if gateway is None or _name_of_class(gateway) not in CLASSES:
        return None
    named = [x for x in gateway["spec"]["listeners"]
             if ref.get("sectionName") in (None, x["name"])
             and ref.get("port") in (None, x["port"])]  # fmt: skip
    if not named:
        accepted = condition("Accepted", False, "NoMatchingParent")
    elif not any(_admits(view, gateway, x, route) for x in named):
        accepted = condition("Accepted", False, "NotAllowedByListeners")
    else:
        accepted = condition("Accepted", True, "Accepted")
    before = next((p for p in (route.get("status") or {}).get("parents", ())
                   if p["parentRef"] == ref), {})  # fmt: skip
    news = [_seen(route, c) for c in (accepted, _resolved(view, route, gateway))]
    return {
        "parentRef": ref, "controllerName": CONTROLLER,
        "conditions": with_conditions(before.get("conditions", ()), news, view.at),
    }  # fmt: skip


def _resolved(view: View, route: Obj, gateway: Obj) -> Obj:
    """Whether all that a route leads to is there, of a kind that the class can reach."""
    for rule in route["spec"].get("rules", ()):
        for ref in rule.get("backendRefs", ()):
            kind, group = ref.get("kind", "Service"), ref.get("group", "")
            space = ref.get("namespace", namespace_of(route))
            pool = (group, kind) == (POOLS.group, POOLS.name)
            if not pool and (group, kind) != ("", "Service"):
                return condition("ResolvedRefs", False, "InvalidKind", f"{group}/{kind}")
            if pool and _name_of_class(gateway) not in _REGIONAL:
                words = f"{_name_of_class(gateway)} does not support InferencePool"
                return condition("ResolvedRefs", False, "InvalidKind", words)
            if space != namespace_of(route):
                words = f"no ReferenceGrant allows {space}/{ref['name']}"
                return condition("ResolvedRefs", False, "RefNotPermitted", words)
            if view.get(kind, space, ref["name"]) is None:
                words = f"{kind} {space}/{ref['name']} was not found"
                return condition("ResolvedRefs", False, "BackendNotFound", words)
    return condition("ResolvedRefs", True, "ResolvedRefs")


def _pool(view: View, pool: Obj, routes: Iterable[Obj]) -> None:
    used: dict[tuple[str, str], Obj] = {}
    for route in routes:
        refs = [
            ref for rule in route["spec"].get("rules", ()) for ref in rule.get("backendRefs", ())
        ]
        leads = any((r.get("group"), r.get("kind"), r["name"])
                    == (POOLS.group, POOLS.name, name_of(pool)) for r in refs)  # fmt: skip
        if not leads or namespace_of(route) != namespace_of(pool):
            continue
        for ref in route["spec"].get("parentRefs", ()):
            gateway = _meant(view, route, ref)
            if gateway is not None and _name_of_class(gateway) in _REGIONAL:
                used[namespace_of(gateway), name_of(gateway)] = gateway
    picker = pool["spec"]["endpointPickerRef"]
    found = view.get(picker.get("kind", "Service"), namespace_of(pool), picker["name"])
    resolved = condition("ResolvedRefs", True, "ResolvedRefs")
    if found is None:
        words = f"endpoint picker {namespace_of(pool)}/{picker['name']} was not found"
        resolved = condition("ResolvedRefs", False, "InvalidExtensionRef", words)
    news = [_seen(pool, c) for c in (condition("Accepted", True, "Accepted"), resolved)]
    known = (pool.get("status") or {}).get("parents", ())
    parents: list[Any] = []
    for space, name in sorted(used):
        ref = {"group": GROUP, "kind": "Gateway", "name": name, "namespace": space}
        before = next((p for p in known if p["parentRef"] == ref), {})
        told = with_conditions(before.get("conditions", ()), news, view.at)
        parents.append({"parentRef": ref, "controllerName": CONTROLLER, "conditions": told})
    view.put_status(pool, {"parents": parents or [_UNUSED]})


def _meant(view: View, route: Obj, ref: Obj) -> Obj | None:
    """The Gateway that a parent reference names."""
    if (ref.get("group", GROUP), ref.get("kind", "Gateway")) != (GROUP, "Gateway"):
        return None
    return view.get("Gateway", ref.get("namespace", namespace_of(route)), ref["name"])


def _admits(view: View, gateway: Obj, listener: Obj, route: Obj) -> bool:
    """Whether a listener takes routes of the route's namespace."""
    allowed = (listener.get("allowedRoutes") or {}).get("namespaces") or {}
    if allowed.get("from") == "All":
        return True
    if allowed.get("from") == "Selector":
        space = view.get("Namespace", "", namespace_of(route))
        return space is not None and selects(allowed.get("selector"), labels_of(space))
    return namespace_of(route) == namespace_of(gateway)


def _name_of_class(gateway: Obj) -> str:
    return str(gateway["spec"]["gatewayClassName"])


def _seen(of: Obj, told: Obj) -> Obj:
    return {"message": "", **told, "observedGeneration": generation_of(of)}
