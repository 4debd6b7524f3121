"""Compute Engine, as far as one tier's chain needs it: network, load balancer, policies, groups."""

from __future__ import annotations

from emulator.apis.compute.api import Collection, Projects
from emulator.apis.compute.global_groups import GlobalNetworkEndpointGroups
from emulator.apis.compute.group_api import (
    InstanceGroupManagers,
    InstanceGroups,
    NetworkEndpointGroups,
)
from emulator.apis.compute.model import COLLECTIONS
from emulator.apis.compute.operation_api import Operations
from emulator.apis.compute.specs import ALL
from emulator.apis.compute.verbs import (
    BackendServices,
    ForwardingRules,
    Labelled,
    Networks,
    Reservations,
    SecurityPolicies,
    Subnetworks,
    TargetProxies,
    UrlMaps,
)
from emulator.apis.compute.writes import Writable
from emulator.context import Cloud
from emulator.wire.mount import Mount

_SERVICES = "google.cloud.compute_v1.services"
_OF_THEIR_OWN = {
    "networks": Networks,
    "subnetworks": Subnetworks,
    "global_addresses": Labelled,
    "backend_services": BackendServices,
    "url_maps": UrlMaps,
    "target_http_proxies": TargetProxies,
    "target_https_proxies": TargetProxies,
    "global_forwarding_rules": ForwardingRules,
    "reservations": Reservations,
    "security_policies": SecurityPolicies,
}


def build(cloud: Cloud) -> list[Mount]:
    """Mount every collection; REST only.

    The library's paths start with /compute/v1/ themselves: its endpoint may be the bare address or
    end in /compute; gcloud's override ends in /compute/v1/.
    """
    handlers: dict[str, object] = {
        "projects": Projects(cloud),
        "network_endpoint_groups": NetworkEndpointGroups(cloud),
        "global_network_endpoint_groups": GlobalNetworkEndpointGroups(cloud),
        "instance_groups": InstanceGroups(cloud),
        "instance_group_managers": InstanceGroupManagers(cloud),
        "global_operations": Operations(cloud, "global"),
        "region_operations": Operations(cloud, "region"),
        "zone_operations": Operations(cloud, "zone"),
    }
    for spec in ALL:
        handlers.setdefault(spec.service, _OF_THEIR_OWN.get(spec.service, Writable)(cloud, spec))
    for service, (plural, kind) in COLLECTIONS.items():
        handlers.setdefault(service, Collection(cloud, plural, kind))
    return [
        Mount(
            "/compute",
            f"{_SERVICES}.{service}.transports",
            handler,
            legacy_errors=True,
            rest_only=True,
        )
        for service, handler in handlers.items()
    ]
