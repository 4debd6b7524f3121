"""Compute's global load balancer: forwarding rules, URL maps, backend services and their health.

Its traffic and latency are `monitoring.py`'s; which path goes where is pure work in `core`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from core.errors import Conflict, Invalid, NotFound
from core.load_balancer import Shares
from core.records import (
    Backend,
    BackendService,
    ForwardingRule,
    LoadBalancer,
    PathMatcher,
    PathRule,
    RouteMatch,
    RouteRule,
    UrlMap,
)
from services import calls
from services.clients import Clients

_TIMEOUT_S: Final = 15.0
_FAILS_PROBES: Final = ("UNHEALTHY", "TIMEOUT")  # unlike DRAINING and UNKNOWN

_Health = tuple[int, int, int]  # endpoints that are healthy, unhealthy, neither


class LoadBalancers:
    """Reads all that stands between clients and tiers."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def read_load_balancer(self) -> LoadBalancer:
        """The whole load balancer, its lists and then the health of each group in parallel.

        Raises:
            OpsError: a list could not be read, or health may not be read at all. A single group
                that refuses (serverless groups have no health) has None for its counts.
        """
        with ThreadPoolExecutor(3, thread_name_prefix="load-balancer") as pool:
            rules = pool.submit(
                self._list, "forwardingRules", lambda: self._clients.forwarding_rules()
            )
            maps = pool.submit(self._list, "urlMaps", lambda: self._clients.url_maps())
            services = pool.submit(
                self._list, "backendServices", lambda: self._clients.backend_services()
            )
            found_rules, found_maps = rules.result(), maps.result()
            found_services = services.result()
        health = self._read_health(found_services)
        with calls.converting("compute.googleapis.com"):
            return LoadBalancer(
                forwarding_rules=tuple(_rule(r) for r in found_rules),
                url_maps=tuple(convert_url_map(m) for m in found_maps),
                backend_services=tuple(_service(s, health) for s in found_services),
            )

    def _list(self, kind: str, client: Callable[[], Any]) -> list[Any]:
        resource = f"projects/{self._clients.project}/global/{kind}"

        def read(timeout_s: float) -> list[Any]:
            pager = client().list(project=self._clients.project, timeout=timeout_s, retry=None)
            return list(pager)

        return self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)

    def _read_health(self, services: list[Any]) -> dict[tuple[str, str], _Health]:
        """(service, group) → health of its endpoints, of the groups that answer."""
        pairs = [(str(s.name), str(b.group)) for s in services for b in s.backends if b.group]
        answers = calls.in_parallel(self._get_health, pairs)
        return {p: a for p, a in zip(pairs, answers, strict=True) if a is not None}

    def _get_health(self, pair: tuple[str, str]) -> _Health | None:
        service, group = pair
        resource = f"projects/{self._clients.project}/global/backendServices/{service}"

        def read(timeout_s: float) -> Any:
            from google.cloud.compute_v1.types.compute import ResourceGroupReference

            return self._clients.backend_services().get_health(
                project=self._clients.project,
                backend_service=service,
                resource_group_reference_resource=ResourceGroupReference(group=group),
                timeout=timeout_s,
                retry=None,
            )

        try:
            answer = self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)
        except (Invalid, NotFound, Conflict):
            return None  # this kind of group has no health to tell
        states = [str(s.health_state) for s in answer.health_status]
        healthy = states.count("HEALTHY")
        unhealthy = sum(s in _FAILS_PROBES for s in states)
        return healthy, unhealthy, len(states) - healthy - unhealthy


def _last(url: str) -> str:
    """Name at the end of a resource URL."""
    return url.rsplit("/", 1)[-1]


def _rule(found: Any) -> ForwardingRule:
    return ForwardingRule(
        name=str(found.name),
        address=str(found.I_p_address),
        ports=_ports(str(found.port_range)) or ", ".join(str(p) for p in found.ports),
        scheme=str(found.load_balancing_scheme),
        target=_last(str(found.target)),
    )


def _ports(text: str) -> str:
    """A range as people write it: one port, not "443-443"."""
    first, _, last = text.partition("-")
    return first if first == last else text


def convert_url_map(found: Any) -> UrlMap:
    """A URL map by its path rules and route rules."""
    hosts: dict[str, tuple[str, ...]] = {}
    for rule in found.host_rules:
        name = str(rule.path_matcher)
        hosts[name] = (*hosts.get(name, ()), *(str(h) for h in rule.hosts))
    matchers = tuple(
        PathMatcher(
            name=str(m.name),
            hosts=hosts.get(str(m.name), ()),
            default_service=_goes_to(
                m.default_service, m.default_url_redirect, m.default_route_action
            ),
            rules=tuple(
                PathRule(
                    tuple(str(p) for p in r.paths),
                    _goes_to(r.service, r.url_redirect, r.route_action),
                    _shares(r.route_action),
                )
                for r in m.path_rules
            ),
            default_shares=_shares(m.default_route_action),
            route_rules=tuple(_route_rule(r) for r in m.route_rules),
        )
        for m in found.path_matchers
    )
    default = _goes_to(
        found.default_service, found.default_url_redirect, found.default_route_action
    )
    return UrlMap(
        name=str(found.name),
        default_service=default,
        matchers=matchers,
        default_shares=_shares(found.default_route_action),
        fingerprint=str(found.fingerprint),
    )


def _route_rule(found: Any) -> RouteRule:
    return RouteRule(
        priority=int(found.priority),
        matches=tuple(_route_match(m) for m in found.match_rules),
        service=_goes_to(found.service, found.url_redirect, found.route_action),
        shares=_shares(found.route_action),
    )


def _route_match(found: Any) -> RouteMatch:
    paths = {
        "exact": found.full_path_match,
        "regex": found.regex_match,
        "template": found.path_template_match,
    }
    kind = next((k for k, value in paths.items() if value), "prefix")
    asked = [f"header {h.header_name}" for h in found.header_matches]
    asked += [f"query parameter {q.name}" for q in found.query_parameter_matches]
    asked += ["metadata of the proxy"] if found.metadata_filters else []
    value = paths.get(kind) or found.prefix_match or "/"
    return RouteMatch(kind, str(value), bool(found.ignore_case), tuple(asked))


def _shares(action: Any) -> Shares:
    return tuple(
        (_last(str(w.backend_service)), int(w.weight)) for w in action.weighted_backend_services
    )


def _goes_to(service: Any, redirect: Any, action: Any) -> str:
    """Name of the backend service; in words where several share, or the client is sent away."""
    if service:
        return _last(str(service))
    shares = _shares(action)
    if len(shares) == 1:
        return shares[0][0]
    if shares:
        return "split: " + ", ".join(f"{name} {weight}" for name, weight in shares)
    scheme = "https" if redirect.https_redirect else ""
    where = str(redirect.host_redirect or redirect.path_redirect or redirect.prefix_redirect)
    target = " ".join(word for word in (scheme, where) if word)
    return f"redirect to {target}" if target else "no service"


def _service(found: Any, health: dict[tuple[str, str], _Health]) -> BackendService:
    name = str(found.name)
    return BackendService(
        name=name,
        protocol=str(found.protocol),
        scheme=str(found.load_balancing_scheme),
        timeout_s=int(found.timeout_sec),
        health_checks=tuple(_last(str(h)) for h in found.health_checks),
        backends=tuple(_backend(b, health.get((name, str(b.group)))) for b in found.backends),
        fingerprint=str(found.fingerprint),
    )


def group_of(found: Any) -> str:
    """What a backend's group is called in records: its URL from the location on."""
    return str(found.group).split("/projects/", 1)[-1].split("/", 1)[-1]


def _backend(found: Any, health: _Health | None) -> Backend:
    scaler = found._pb  # proto-plus hides whether an optional scalar is set
    return Backend(
        group=group_of(found),
        balancing_mode=str(found.balancing_mode),
        capacity_ratio=float(found.capacity_scaler) if scaler.HasField("capacity_scaler") else None,
        healthy=None if health is None else health[0],
        unhealthy=None if health is None else health[1],
        other=0 if health is None else health[2],
    )
