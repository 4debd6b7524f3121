"""Records of the load balancer: forwarding rules, URL maps, backend services and their health."""

from __future__ import annotations

from dataclasses import dataclass

Shares = tuple[tuple[str, int], ...]  # backend service → weight, as the API keeps them


@dataclass(frozen=True, slots=True)
class Backend:
    """One group behind a backend service with the health of its members.

    `healthy` and `unhealthy` count endpoints; both None when health could not be read. `other` are
    neither: draining, or not probed yet.
    """

    group: str
    balancing_mode: str
    capacity_ratio: float | None
    healthy: int | None
    unhealthy: int | None
    other: int = 0


@dataclass(frozen=True, slots=True)
class BackendService:
    """A global backend service. `fingerprint` tells a later read whether it changed."""

    name: str
    protocol: str
    scheme: str
    timeout_s: int
    health_checks: tuple[str, ...]
    backends: tuple[Backend, ...]
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class PathRule:
    """Paths of a path matcher that go to one backend service, or to several by weight.

    `service` is in words where several share; `shares` names them then, and is empty otherwise.
    """

    paths: tuple[str, ...]
    service: str
    shares: Shares = ()


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """What a request's path must be, as "exact", "prefix", "regex" or "template".

    `conditions`: what else is asked, of headers and the query, in words.
    """

    kind: str
    value: str
    ignore_case: bool = False
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteRule:
    """A rule that one of `matches` selects; the lowest `priority` is tried first."""

    priority: int
    matches: tuple[RouteMatch, ...]
    service: str
    shares: Shares = ()


@dataclass(frozen=True, slots=True)
class PathMatcher:
    """A URL map's path matcher with the hosts that select it; shares as in `PathRule`.

    It has path rules or route rules, not both.
    """

    name: str
    hosts: tuple[str, ...]
    default_service: str
    rules: tuple[PathRule, ...]
    default_shares: Shares = ()
    route_rules: tuple[RouteRule, ...] = ()


@dataclass(frozen=True, slots=True)
class UrlMap:
    """A URL map: host → path matcher → backend service; shares as in `PathRule`."""

    name: str
    default_service: str
    matchers: tuple[PathMatcher, ...]
    default_shares: Shares = ()
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ForwardingRule:
    """A global forwarding rule: where clients come in."""

    name: str
    address: str
    ports: str
    scheme: str
    target: str


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """All that stands between clients and tiers."""

    forwarding_rules: tuple[ForwardingRule, ...]
    url_maps: tuple[UrlMap, ...]
    backend_services: tuple[BackendService, ...]
