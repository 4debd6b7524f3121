"""Compute Engine, as far as one tier's chain needs it: load balancer, zones, machines, groups."""

from __future__ import annotations

from emulator.apis.compute.api import BackendServices, Collection, Operations, Projects
from emulator.apis.compute.group_api import (
    InstanceGroupManagers,
    InstanceGroups,
    NetworkEndpointGroups,
)
from emulator.apis.compute.model import COLLECTIONS
from emulator.context import Cloud
from emulator.wire.mount import Mount

_SERVICES = "google.cloud.compute_v1.services"


def build(cloud: Cloud) -> list[Mount]:
    """Mount every collection; REST only.

    The library's paths start with /compute/v1/ themselves: its endpoint may be the bare address or
    end in /compute; gcloud's override ends in /compute/v1/.
    """
    handlers: dict[str, object] = {
        "projects": Projects(cloud),
        "backend_services": BackendServices(cloud),
        "network_endpoint_groups": NetworkEndpointGroups(cloud),
        "instance_groups": InstanceGroups(cloud),
        "instance_group_managers": InstanceGroupManagers(cloud),
        "global_operations": Operations(cloud, "global"),
        "region_operations": Operations(cloud, "region"),
        "zone_operations": Operations(cloud, "zone"),
    }
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
