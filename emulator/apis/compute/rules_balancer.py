"""Rules of the load balancer, from health check to forwarding rule, and of security policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from emulator.apis.compute.addresses import free_address
from emulator.apis.compute.fields import path_of, places
from emulator.apis.compute.model import Body, ComputeState, link, state_of
from emulator.apis.compute.refusals import bad_value, refused, unset
from emulator.apis.compute.specs import SPECS
from emulator.apis.compute.url_paths import check_map
from emulator.context import Cloud
from emulator.wire.errors import ApiError

_CHECK_BLOCKS: Final = {
    "HTTP": ("httpHealthCheck", 80), "HTTPS": ("httpsHealthCheck", 443),
    "HTTP2": ("http2HealthCheck", 443), "TCP": ("tcpHealthCheck", 80),
    "SSL": ("sslHealthCheck", 443), "GRPC": ("grpcHealthCheck", 0),
}  # fmt: skip
_GLOBAL_SCHEMES: Final = ("EXTERNAL", "EXTERNAL_MANAGED")
_LOWEST: Final = 2_147_483_647
_ACTIONS: Final = (
    "allow", "deny(403)", "deny(404)", "deny(502)", "redirect", "throttle", "rate_based_ban",
)  # fmt: skip
# Fields that each balancing mode needs on an endpoint group: one of them.
_MODES: Final = {
    "RATE": ("maxRate", "maxRatePerEndpoint", "maxRatePerInstance"),
    "CONNECTION": ("maxConnections", "maxConnectionsPerEndpoint", "maxConnectionsPerInstance"),
    "IN_FLIGHT": ("maxInFlightRequests", "maxInFlightRequestsPerEndpoint",
                  "maxInFlightRequestsPerInstance"),
    "CUSTOM_METRICS": ("customMetrics",),
    "UTILIZATION": (),
}  # fmt: skip


_INTERNET: Final = "/global/networkEndpointGroups/"
_ZONAL_TYPES: Final = ("GCE_VM_IP_PORT", "NON_GCP_PRIVATE_IP_PORT", "GCE_VM_IP")
_GLOBAL_TYPES: Final = ("INTERNET_FQDN_PORT", "INTERNET_IP_PORT")


def _group(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    kinds = _ZONAL_TYPES if scope != "global" else _GLOBAL_TYPES
    if scope != "global":
        body.setdefault("network", link(cloud.project.id, "global/networks/default"))
    if body["networkEndpointType"] not in kinds:
        what = "global" if scope == "global" else "zonal"
        raise bad_value("networkEndpointType", body["networkEndpointType"],
                        f"A {what} network endpoint group cannot have this type.")  # fmt: skip
    if not 1 <= body.get("defaultPort", 80) <= 65535:
        raise bad_value("defaultPort", body["defaultPort"], "Must be between 1 and 65535.")


def _health_check(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    if body["type"] not in _CHECK_BLOCKS:
        raise bad_value("type", body["type"], f"Must be one of {sorted(_CHECK_BLOCKS)}.")
    block, port = _CHECK_BLOCKS[body["type"]]
    others = [b for b, _ in _CHECK_BLOCKS.values() if b in body and b != block]
    if others:
        raise refused(f"Health check of type {body['type']} cannot have '{others[0]}'.")
    probe = {"proxyHeader": "NONE", **body.get(block, {})}
    if body["type"].startswith("HTTP"):
        probe.setdefault("requestPath", "/")
    if port and probe.get("portSpecification") != "USE_SERVING_PORT":
        probe.setdefault("port", port)
    if not 1 <= probe.get("port", 80) <= 65535:
        raise bad_value(f"{block}.port", probe["port"], "Must be between 1 and 65535.")
    if block == "grpcHealthCheck":
        probe.pop("proxyHeader")
    body[block] = probe
    for field, most in (("checkIntervalSec", 300), ("timeoutSec", 300),
                        ("healthyThreshold", 10), ("unhealthyThreshold", 10)):  # fmt: skip
        if not 1 <= body[field] <= most:
            raise bad_value(field, body[field], f"Must be between 1 and {most}.")
    if body["timeoutSec"] > body["checkIntervalSec"]:
        raise bad_value("timeoutSec", body["timeoutSec"],
                        "The timeout must not exceed checkIntervalSec.")  # fmt: skip


def _backend_service(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    scheme = body["loadBalancingScheme"]
    if scheme not in (*_GLOBAL_SCHEMES, "INTERNAL_SELF_MANAGED", "INTERNAL_MANAGED"):
        raise bad_value("loadBalancingScheme", scheme, "A global backend service cannot have it.")
    if body["protocol"] not in ("HTTP", "HTTPS", "HTTP2", "GRPC", "H2C", "TCP", "SSL"):
        raise bad_value("protocol", body["protocol"], "A global backend service cannot have it.")
    checks = body.get("healthChecks", [])
    if len(checks) > 1:
        raise bad_value("healthChecks", len(checks), "At most one health check is allowed.")
    if "failoverPolicy" in body:
        raise bad_value("failoverPolicy", "", "Failover policy is only for passthrough Network "
                        f"Load Balancers; it cannot be set with {scheme}.")  # fmt: skip
    if not 1 <= body["timeoutSec"] <= 2_147_483_647:
        raise bad_value("timeoutSec", body["timeoutSec"], "Must be between 1 and 2147483647.")
    if scheme == "EXTERNAL" and body.get("localityLbPolicy", "ROUND_ROBIN") != "ROUND_ROBIN":
        raise bad_value("localityLbPolicy", body["localityLbPolicy"],
                        "It cannot be set with the scheme EXTERNAL.")  # fmt: skip
    seen: set[str] = set()
    for index, backend in enumerate(body.get("backends", [])):
        _backend(cloud, backend, f"backends[{index}]", seen)
    inside = [g for g in seen if _INTERNET not in g]
    if checks and len(inside) < len(seen):
        raise bad_value("healthChecks", checks[0],
                        "Internet endpoints are not probed; leave it out.")  # fmt: skip
    if inside and not checks:
        raise bad_value("healthChecks", "", "A health check is needed for these backends.")
    if len({g.rsplit("/", 2)[1] for g in seen}) > 1:
        raise refused("A backend service cannot have both instance groups and network endpoint "
                      "groups as backends.")  # fmt: skip
    if any("/instanceGroups/" in g for g in seen):
        body.setdefault("portName", "http")
    if "sampleRate" in body.get("logConfig", {}) and not 0 <= body["logConfig"]["sampleRate"] <= 1:
        raise bad_value("logConfig.sampleRate", body["logConfig"]["sampleRate"], "Must be 0 to 1.")


def _backend(cloud: Cloud, backend: Body, where: str, seen: set[str]) -> None:
    group = backend.get("group")
    if group is None:
        raise unset(f"{where}.group")
    if group in seen:
        raise bad_value(f"{where}.group", group, "Duplicate backend group.")
    seen.add(group)
    if _INTERNET in group:
        if "balancingMode" in backend:
            raise bad_value(f"{where}.balancingMode", backend["balancingMode"],
                            "A global network endpoint group has no balancing mode.")  # fmt: skip
        return
    endpoints = "/networkEndpointGroups/" in group
    mode = backend.setdefault("balancingMode", "RATE" if endpoints else "UTILIZATION")
    if mode == "UTILIZATION" and endpoints:
        raise bad_value(f"{where}.balancingMode", mode,
                        "A network endpoint group cannot be balanced by utilization.")  # fmt: skip
    needed = _MODES.get(mode, ())
    if needed and not any(f in backend for f in needed):
        raise refused(f"The backend {where} with balancing mode {mode} needs one of: "
                      f"{', '.join(needed)}.")  # fmt: skip
    scaler = backend.setdefault("capacityScaler", 1.0)
    if scaler and not 0.1 <= scaler <= 1.0:
        raise bad_value(f"{where}.capacityScaler", scaler, "Must be 0.0 or from 0.1 to 1.0.")


def services_of(state: ComputeState, body: Body) -> Iterator[tuple[str, Body]]:
    """(where, body) of the backend services that a URL map names."""
    for ref in SPECS["urlMaps"].refs:
        for node, key, where in places(body, ref.field):
            name = str(node[key]).rsplit("/", 1)[-1]
            found = state.of("backendServices", "global").get(name)
            if found is not None:
                yield where, found


def _url_map(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    state = state_of(cloud)
    schemes = {s["loadBalancingScheme"]: s["name"] for _, s in services_of(state, body)}
    if len(schemes) > 1:
        raise refused(
            "Backend services of a URL map must have one loadBalancingScheme; found "
            + ", ".join(f"{s} ('{n}')" for s, n in sorted(schemes.items())) + "."
        )  # fmt: skip
    if "EXTERNAL" in schemes and any(True for _ in places(body, "pathMatchers.routeRules")):
        raise refused("routeRules are not supported with the loadBalancingScheme EXTERNAL.")
    errors, failures = check_map(body)
    if errors:
        raise refused(f"Invalid value for field 'resource': ''. {errors[0]}")
    if failures:
        one = failures[0]
        raise refused(
            f"Invalid value for field 'resource.tests': ''. Test failure: Expect URL "
            f"'{one['host']}{one['path']}' to map to service '{one['expectedService']}', but "
            f"actually mapped to '{one['actualService']}'."
        )
    _check_front(state, body, schemes)


def _check_front(state: ComputeState, body: Body, schemes: dict[str, str]) -> None:
    """A map in use keeps to the scheme of the rules in front of it."""
    for rule in state.of("forwardingRules", "global").values():
        proxy = str(rule.get("target", "")).rsplit("/", 2)
        kept = state.of(proxy[1], "global").get(proxy[2], {}) if len(proxy) == 3 else {}
        own = kept.get("urlMap") == body.get("selfLink") and "selfLink" in body
        if own and schemes and set(schemes) != {rule["loadBalancingScheme"]}:
            raise _mixed(rule["loadBalancingScheme"], next(iter(schemes)))


def _mixed(rule: str, service: str) -> ApiError:
    return bad_value(
        "loadBalancingScheme", rule,
        f"It must be the scheme of the backend services, which is {service}.",
    )  # fmt: skip


def _https_proxy(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    certificates = body.get("sslCertificates", [])
    if not certificates and "certificateMap" not in body:
        raise unset("sslCertificates")
    if len(certificates) > 15:
        raise bad_value("sslCertificates", len(certificates), "At most 15 are allowed.")
    if len(set(certificates)) < len(certificates):
        raise bad_value("sslCertificates", certificates, "A certificate is given twice.")


def _forwarding_rule(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    state = state_of(cloud)
    if body["loadBalancingScheme"] not in _GLOBAL_SCHEMES:
        raise bad_value("loadBalancingScheme", body["loadBalancingScheme"],
                        "A global forwarding rule cannot have it.")  # fmt: skip
    if body["IPProtocol"] != "TCP":
        raise bad_value("IPProtocol", body["IPProtocol"], "A proxy load balancer needs TCP.")
    _, collection, name = str(body["target"]).rsplit("/", 2)
    proxy = state.of(collection, "global")[name]
    url_map = state.of("urlMaps", "global").get(str(proxy["urlMap"]).rsplit("/", 1)[-1], {})
    for _, service in services_of(state, url_map):
        if service["loadBalancingScheme"] != body["loadBalancingScheme"]:
            raise _mixed(body["loadBalancingScheme"], service["loadBalancingScheme"])
    _ports(body, secure=collection == "targetHttpsProxies")
    rules = [*state.of("forwardingRules", "global").values()]
    rules += [b for c, b in state.pending.values() if c == "forwardingRules"]
    taken = {b["address"] for b in state.of("addresses", "global").values()}
    if "IPAddress" not in body:
        body["IPAddress"] = free_address(taken | {r["IPAddress"] for r in rules})
    elif before is None:
        body["IPAddress"] = _reserved(cloud, state, body["IPAddress"])
    for rule in rules:
        same = (rule["IPAddress"], rule["portRange"]) == (body["IPAddress"], body["portRange"])
        if same and rule["name"] != body["name"]:
            raise bad_value("IPAddress", body["IPAddress"],
                            "Specified IP address is in-use and would result in a conflict."
                            )  # fmt: skip


def _ports(body: Body, *, secure: bool) -> None:
    text = str(body.get("portRange", ""))
    if not text:
        raise unset("portRange")
    low, _, high = text.partition("-")
    if not (low.isdigit() and (high or low).isdigit()) or int(low) != int(high or low):
        raise bad_value("portRange", text, "A proxy load balancer's rule has a single port.")
    classic = body["loadBalancingScheme"] == "EXTERNAL"
    allowed = ((443,) if secure else (80, 8080)) if classic else range(1, 65536)
    if int(low) not in allowed:
        raise bad_value("portRange", text, "The port is not allowed for this target.")
    body["portRange"] = f"{int(low)}-{int(low)}"


def _reserved(cloud: Cloud, state: ComputeState, given: str) -> str:
    """The address meant: a literal one, or a resource's."""
    path = path_of(cloud.project, given)
    bodies = state.of("addresses", "global")
    if path is None:
        found = next((b for b in bodies.values() if b["address"] == given), None)
    else:
        found = bodies.get(path.rsplit("/", 1)[-1])
    if found is None:
        raise bad_value("IPAddress", given, "The specified external IP address was not found.")
    if found["addressType"] != "EXTERNAL":
        raise bad_value("IPAddress", given, "It is not an external address.")
    return str(found["address"])


def _policy(cloud: Cloud, scope: str, body: Body, before: Body | None) -> None:
    rules = body.setdefault("rules", [])
    if not any(r.get("priority") == _LOWEST for r in rules):
        rules.append(
            {"priority": _LOWEST, "action": "allow", "preview": False,
             "description": "default rule", "match": _everyone()}
        )  # fmt: skip
    for index, rule in enumerate(rules):
        check_rule(rule, f"rules[{index}]")
    if len({r["priority"] for r in rules}) < len(rules):
        raise refused("Cannot have rules with the same priorities.")
    rules.sort(key=lambda r: r["priority"])


def check_rule(rule: Body, where: str) -> None:
    """Pass a security policy's rule."""
    if "priority" not in rule:
        raise unset(f"{where}.priority")
    if not 0 <= rule["priority"] <= _LOWEST:
        raise bad_value(f"{where}.priority", rule["priority"], f"Must be from 0 to {_LOWEST}.")
    if rule.get("action") not in _ACTIONS:
        raise bad_value(f"{where}.action", rule.get("action", ""), f"Must be one of {_ACTIONS}.")
    match = rule.get("match", {})
    if ("expr" in match) == ("config" in match):
        raise refused(f"Exactly one of '{where}.match.config' and '.expr' must be set.")
    if rule["action"] in ("throttle", "rate_based_ban") and "rateLimitOptions" not in rule:
        raise unset(f"{where}.rateLimitOptions")
    rule["kind"] = "compute#securityPolicyRule"
    rule.setdefault("preview", False)


def _everyone() -> dict[str, Any]:
    return {"versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ["*"]}}


CHECKS: Final[dict[str, Callable[[Cloud, str, Body, Body | None], None]]] = {
    "networkEndpointGroups": _group,
    "healthChecks": _health_check,
    "backendServices": _backend_service,
    "urlMaps": _url_map,
    "targetHttpsProxies": _https_proxy,
    "forwardingRules": _forwarding_rule,
    "securityPolicies": _policy,
}
