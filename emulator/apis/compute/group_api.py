"""Handlers of the groups that follow the fleet: NEGs and managed instance groups."""

from __future__ import annotations

from typing import Any

from emulator.apis.compute import groups
from emulator.apis.compute.api import Collection, reply
from emulator.apis.compute.model import Body
from emulator.context import Cloud
from emulator.wire.call import Call


class NetworkEndpointGroups(Collection):
    """Zonal NEGs; their size is that of the moment."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud, "networkEndpointGroups", "networkEndpointGroup")

    def bodies(self, scope: str) -> dict[str, Body]:
        found = super().bodies(scope)
        return {
            name: {
                **body,
                "size": len(groups.endpoints(self._cloud, groups.tier_of_group(self._cloud, name))),
            }
            for name, body in found.items()
        }

    def list_network_endpoints(self, request: Any, call: Call) -> Any:
        """The endpoints; paged as any list."""
        body = self.find(request, call)
        tier = groups.tier_of_group(self._cloud, body["name"])
        endpoints = groups.network_endpoints(self._cloud, tier)
        path = f"{self._path(self.scope(request))}/{body['name']}"
        shown, token = self.select(request, endpoints, path)
        answer: Body = {
            "kind": "compute#networkEndpointGroupsListNetworkEndpoints",
            "id": path,
            "items": shown,
        }
        return reply(call, {**answer, "nextPageToken": token} if token else answer)


class _PoolGroups(Collection):
    """A collection with one resource per GKE node pool."""

    def scopes(self) -> list[str]:
        return sorted({f"zones/{p.zone}" for p in self._cloud.fleet.pools()})


class InstanceGroups(_PoolGroups):
    """Instance groups of GKE's node pools."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud, "instanceGroups", "instanceGroup")

    def bodies(self, scope: str) -> dict[str, Body]:
        return groups.instance_groups(self._cloud, scope.removeprefix("zones/"))


class InstanceGroupManagers(_PoolGroups):
    """Managed instance groups of GKE's node pools; their targetSize is the pools' real size."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud, "instanceGroupManagers", "instanceGroupManager")

    def bodies(self, scope: str) -> dict[str, Body]:
        return groups.group_managers(self._cloud, scope.removeprefix("zones/"))

    def list_managed_instances(self, request: Any, call: Call) -> Any:
        """The VMs of one group; paged as any list."""
        body = self.find(request, call)
        instances = groups.managed_instances(self._cloud, body["name"])
        shown, token = self.select(request, instances, str(body["selfLink"]))
        answer: Body = {"managedInstances": shown}
        return reply(call, {**answer, "nextPageToken": token} if token else answer)
