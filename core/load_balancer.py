"""Records of the load balancer: forwarding rules, URL maps, backend services and their health."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backend:
    """One group behind a backend service with the health of its members.

    `healthy` and `unhealthy` count endpoints; both None when health could not be read.
    """

    group: str
    balancing_mode: str
    capacity_ratio: float | None
    healthy: int | None
    unhealthy: int | None


@dataclass(frozen=True, slots=True)
class BackendService:
    """A global backend service."""

    name: str
    protocol: str
    scheme: str
    timeout_s: int
    health_checks: tuple[str, ...]
    backends: tuple[Backend, ...]


@dataclass(frozen=True, slots=True)
class PathRule:
    """Paths of a path matcher that go to one backend service."""

    paths: tuple[str, ...]
    service: str


@dataclass(frozen=True, slots=True)
class PathMatcher:
    """A URL map's path matcher with the hosts that select it."""

    name: str
    hosts: tuple[str, ...]
    default_service: str
    rules: tuple[PathRule, ...]


@dataclass(frozen=True, slots=True)
class UrlMap:
    """A URL map: host → path matcher → backend service."""

    name: str
    default_service: str
    matchers: tuple[PathMatcher, ...]


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
