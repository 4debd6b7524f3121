"""Records of the load balancer: forwarding rules, URL maps, backend services and their health."""

from __future__ import annotations

from dataclasses import dataclass

Shares = tuple[tuple[str, int], ...]  # backend service → weight, as the API keeps them


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
class PathMatcher:
    """A URL map's path matcher with the hosts that select it; shares as in `PathRule`."""

    name: str
    hosts: tuple[str, ...]
    default_service: str
    rules: tuple[PathRule, ...]
    default_shares: Shares = ()


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
