"""Compute's resources as JSON bodies by collection, scope and name, in the order made.

A body is what REST shows, less what every resource has (kind, id, selfLink …), which `stored` adds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from emulator.apis.compute import catalogue, load_balancer
from emulator.context import Cloud
from emulator.operations import Job
from emulator.wire.etags import canonical

HOST: Final = "https://www.googleapis.com/compute/v1"

# Client library's service → (collection in URLs, kind). Services with handlers of their own too.
COLLECTIONS: Final = {
    "addresses": ("addresses", "address"),
    "global_addresses": ("addresses", "address"),
    "health_checks": ("healthChecks", "healthCheck"),
    "backend_services": ("backendServices", "backendService"),
    "url_maps": ("urlMaps", "urlMap"),
    "target_https_proxies": ("targetHttpsProxies", "targetHttpsProxy"),
    "target_http_proxies": ("targetHttpProxies", "targetHttpProxy"),
    "ssl_certificates": ("sslCertificates", "sslCertificate"),
    "forwarding_rules": ("forwardingRules", "forwardingRule"),
    "global_forwarding_rules": ("forwardingRules", "forwardingRule"),
    "network_endpoint_groups": ("networkEndpointGroups", "networkEndpointGroup"),
    "machine_types": ("machineTypes", "machineType"),
    "accelerator_types": ("acceleratorTypes", "acceleratorType"),
    "zones": ("zones", "zone"),
    "regions": ("regions", "region"),
    "networks": ("networks", "network"),
    "subnetworks": ("subnetworks", "subnetwork"),
    "firewalls": ("firewalls", "firewall"),
    "resource_policies": ("resourcePolicies", "resourcePolicy"),
    "reservations": ("reservations", "reservation"),
    "security_policies": ("securityPolicies", "securityPolicy"),
    "instance_groups": ("instanceGroups", "instanceGroup"),
}

Body = dict[str, Any]

_PLACING: Final = ("subnetworks", "addresses")


@dataclass
class ComputeState:
    """Bodies by (collection, scope); scope is "global", "zones/Z" or "regions/R".

    Attributes:
        busy: resource path → the operation that changes it.
        pending: resource path → (collection, body) that a running insert or change will leave.
        requests: requestId → the operation that it began.
        follows: path of a NEG that GKE keeps → the tier whose leaders are its endpoints.
        endpoints: path of any other NEG → what was attached to it.
        named_ports: path of a pool's instance group → its named ports.
        members: path of an unmanaged instance group → links of its instances.
        attached_at: path of a managed certificate → Unix seconds since which a rule serves it.
        serial: number of resources made so far; ids follow from it.
        placings: counts changes of subnetworks and addresses, which GKE's Gateways go by.
    """

    bodies: dict[tuple[str, str], dict[str, Body]] = field(default_factory=dict)
    busy: dict[str, Job] = field(default_factory=dict)
    pending: dict[str, tuple[str, Body]] = field(default_factory=dict)
    requests: dict[str, Job] = field(default_factory=dict)
    follows: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, list[Body]] = field(default_factory=dict)
    named_ports: dict[str, list[Body]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    attached_at: dict[str, float] = field(default_factory=dict)
    serial: int = 0
    placings: int = 0

    def put(self, collection: str, scope: str, body: Body) -> None:
        """Add or replace."""
        self.bodies.setdefault((collection, scope), {})[body["name"]] = body
        self.placings += collection in _PLACING

    def of(self, collection: str, scope: str) -> dict[str, Body]:
        """All of one scope by name."""
        return self.bodies.get((collection, scope), {})

    def scopes(self, collection: str) -> list[str]:
        """Scopes in which the collection holds something."""
        return [s for (c, s), found in self.bodies.items() if c == collection and found]

    def drop(self, collection: str, scope: str, name: str) -> None:
        """Remove."""
        self.bodies.get((collection, scope), {}).pop(name, None)
        self.placings += collection in _PLACING

    def at(self, path: str) -> Body | None:
        """The body of a resource's path, "projects/P/SCOPE/COLLECTION/NAME"."""
        scope, collection, name = parts_of(path)
        return self.of(collection, scope).get(name)


def initial_state(cloud: Cloud) -> ComputeState:
    """Zones and machine types of every project; the load balancer of one that serves."""
    state = ComputeState()
    items: Iterable[tuple[str, str, Body]] = (
        *catalogue.resources(cloud.project),
        *load_balancer.resources(cloud),
    )
    for collection, scope, body in items:
        state.put(collection, scope, stored(cloud, collection, scope, body))
    for tier in load_balancer.served_tiers(cloud):
        group = load_balancer.neg_name(tier.name)
        path = f"projects/{cloud.project.id}/zones/{tier.zone}/networkEndpointGroups/{group}"
        state.follows[path] = tier.name
    return state


def state_of(cloud: Cloud) -> ComputeState:
    """The project's state, made on first use."""
    return cloud.store(ComputeState, lambda: initial_state(cloud))


def parts_of(path: str) -> tuple[str, str, str]:
    """(scope, collection, name) of a resource's path."""
    _, _, rest = path.partition("/")[2].partition("/")
    scope, collection, name = rest.rsplit("/", 2)
    return scope, collection, name


def stored(
    cloud: Cloud, collection: str, scope: str, body: Body, serial: int = 0, at: float | None = None
) -> Body:
    """The body with what every resource has; `serial` tells namesakes made later apart."""
    kinds = dict(COLLECTIONS.values())
    path = f"projects/{cloud.project.id}/{scope}/{collection}/{body['name']}"
    if collection in ("zones", "regions"):
        path = f"projects/{cloud.project.id}/{collection}/{body['name']}"
    extra: Body = {
        "kind": f"compute#{kinds[collection]}",
        "id": numeric_id(f"{path}#{serial}" if serial else path),
        "creationTimestamp": timestamp(cloud.clock.epoch() if at is None else at),
        "selfLink": f"{HOST}/{path}",
    }
    if scope.startswith("zones/") and collection != "acceleratorTypes":
        zone = scope.removeprefix("zones/")
        plain = collection in ("machineTypes",)
        extra["zone"] = zone if plain else f"{HOST}/projects/{cloud.project.id}/{scope}"
    elif scope.startswith("zones/"):
        extra["zone"] = f"{HOST}/projects/{cloud.project.id}/{scope}"
    elif scope.startswith("regions/"):
        extra["region"] = f"{HOST}/projects/{cloud.project.id}/{scope}"
    return {**extra, **body}


def link(project: str, *parts: str) -> str:
    """The URL of a resource."""
    return "/".join((f"{HOST}/projects/{project}", *parts))


def numeric_id(path: str) -> str:
    """A 64-bit id, the same on every start."""
    digest = hashlib.blake2s(path.encode(), digest_size=8).digest()
    return str(int.from_bytes(digest) >> 1)


def fingerprint(*parts: object) -> str:
    """A resource's fingerprint."""
    digest = hashlib.blake2s(canonical(parts).encode(), digest_size=8).digest()
    return base64.urlsafe_b64encode(digest).decode()


def label_fingerprint(body: Body) -> str:
    """The fingerprint of a resource's labels, also where it has none."""
    return fingerprint(body["name"], body.get("labels") or {})


def timestamp(at: float) -> str:
    """Unix seconds as compute writes them: milliseconds, in the time of Mountain View."""
    pacific = timezone(timedelta(hours=-7))
    return datetime.fromtimestamp(at, UTC).astimezone(pacific).isoformat(timespec="milliseconds")
