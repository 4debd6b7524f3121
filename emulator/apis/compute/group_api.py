"""Handlers of groups: NEGs and their endpoints, instance groups and their managers."""

from __future__ import annotations

from typing import Any

from emulator.apis.compute import groups
from emulator.apis.compute.api import Collection, reply
from emulator.apis.compute.fields import as_body, check_name, link_of, path_of
from emulator.apis.compute.model import Body, fingerprint
from emulator.apis.compute.refusals import bad_value, missing, refused, stale, unset
from emulator.apis.compute.specs import SPECS
from emulator.apis.compute.writes import Writable, start
from emulator.context import Cloud
from emulator.wire.call import Call


class NetworkEndpointGroups(Writable):
    """Zonal NEGs; their size is that of the moment.

    Attributes:
        library_name: how the names of the requests' bodies begin in the library.
    """

    library_name = "network_endpoint_groups"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud, SPECS["networkEndpointGroups"])

    def bodies(self, scope: str) -> dict[str, Body]:
        return {
            name: {**body, "size": len(groups.endpoints_of(self._cloud, body["selfLink"]))}
            for name, body in super().bodies(scope).items()
        }

    def list_network_endpoints(self, request: Any, call: Call) -> Any:
        """The endpoints, with their health where asked; paged as any list."""
        body = self.find(request, call)
        endpoints = groups.network_endpoints(self._cloud, body["selfLink"])
        path = f"{self._path(self.scope(request))}/{body['name']}"
        shown, token = self.select(request, endpoints, path)
        answer: Body = {
            "kind": "compute#networkEndpointGroupsListNetworkEndpoints",
            "id": path,
            "items": shown,
        }
        return reply(call, {**answer, "nextPageToken": token} if token else answer)

    def attach_network_endpoints(self, request: Any, call: Call) -> Any:
        """Add endpoints; those that GKE keeps in step it puts back as they were."""
        return self._endpoints(request, call, "attach")

    def detach_network_endpoints(self, request: Any, call: Call) -> Any:
        """Take endpoints out."""
        return self._endpoints(request, call, "detach")

    def _endpoints(self, request: Any, call: Call, way: str) -> Any:
        asked = getattr(request, f"{self.library_name}_{way}_endpoints_request_resource")
        scope, verb = self.scope(request), f"{way}NetworkEndpoints"
        state = self.state
        with self._cloud.lock:
            if (again := self.replayed(request, verb)) is not None:
                return reply(call, again)
            path, body = self.idle(request, call, scope)
            given = [
                self._endpoint(scope, body, as_body(e), i)
                for i, e in enumerate(asked.network_endpoints)
            ]
            if not given:
                raise unset("networkEndpoints")
            kept = state.endpoints.get(path, [])
            absent = [e for e in given if e not in kept]
            if way == "detach" and absent and path not in state.follows:
                raise bad_value("networkEndpoints", absent[0], "The endpoint is not attached.")
            left = [e for e in kept if e not in given]
            after = [*kept, *absent] if way == "attach" else left

            def effect() -> None:
                state.endpoints[path] = after

            return reply(call, start(self._cloud, verb, path, None, 5.0, request, effect))

    def _endpoint(self, scope: str, body: Body, given: Body, index: int) -> Body:
        where = f"networkEndpoints[{index}]"
        given.setdefault("port", body.get("defaultPort"))
        if given["port"] is None or not 1 <= given["port"] <= 65535:
            raise bad_value(f"{where}.port", given["port"], "Must be between 1 and 65535.")
        if body["networkEndpointType"] != "GCE_VM_IP_PORT":
            if "ipAddress" not in given:
                raise unset(f"{where}.ipAddress")
            return given
        if "instance" not in given:
            raise unset(f"{where}.instance")
        name = str(given["instance"]).rsplit("/", 1)[-1]
        node = groups.node_named(self._cloud, scope, name)
        if node is None:
            raise missing(f"projects/{self._cloud.project.id}/{scope}/instances/{name}")
        given["instance"] = name
        if given.setdefault("ipAddress", node.internal_ip) != node.internal_ip:
            raise bad_value(
                f"{where}.ipAddress", given["ipAddress"],
                f"It is not an address of the instance '{name}'.",
            )  # fmt: skip
        return given


class _PoolGroups(Collection):
    """A collection with one resource per GKE node pool."""

    def scopes(self) -> list[str]:
        pools = {f"zones/{p.zone}" for p in self._cloud.fleet.pools()}
        return sorted({*pools, *super().scopes()})


class InstanceGroups(_PoolGroups, Writable):
    """Instance groups: those of GKE's node pools, and unmanaged ones."""

    def __init__(self, cloud: Cloud) -> None:
        Writable.__init__(self, cloud, SPECS["instanceGroups"])

    def bodies(self, scope: str) -> dict[str, Body]:
        own = {
            name: {**body, "size": len(groups.members_of(self._cloud, body["selfLink"]))}
            for name, body in Writable.bodies(self, scope).items()
        }
        return {**groups.instance_groups(self._cloud, scope.removeprefix("zones/")), **own}

    def list_instances(self, request: Any, call: Call) -> Any:
        """The group's VMs; paged as any list."""
        body = self.find(request, call)
        items: list[Body] = [
            {"instance": m, "status": "RUNNING"}
            for m in groups.members_of(self._cloud, body["selfLink"])
        ]
        path = str(body["selfLink"])
        shown, token = self.select(request, items, path)
        answer: Body = {
            "kind": "compute#instanceGroupsListInstances", "id": path, "items": shown,
            "selfLink": f"{path}/listInstances",
        }  # fmt: skip
        return reply(call, {**answer, "nextPageToken": token} if token else answer)

    def add_instances(self, request: Any, call: Call) -> Any:
        asked = request.instance_groups_add_instances_request_resource
        return self._members(request, call, "addInstances", asked)

    def remove_instances(self, request: Any, call: Call) -> Any:
        asked = request.instance_groups_remove_instances_request_resource
        return self._members(request, call, "removeInstances", asked)

    def _members(self, request: Any, call: Call, verb: str, asked: Any) -> Any:
        scope, state = self.scope(request), self.state
        with self._cloud.lock:
            path, _ = self.idle(request, call, scope)
            if state.at(path) is None:
                raise refused("The instance group is managed: its instances are its manager's.")
            given = [self._instance(scope, i.instance) for i in asked.instances]
            kept = state.members.get(path, [])
            adding = verb == "addInstances"
            for one in given:
                if (one in kept) == adding:
                    word, reason = (
                        ("already", "memberAlreadyExists") if adding else ("not", "memberNotFound")
                    )
                    raise refused(f"Instance '{one}' is {word} a member of '{path}'.", reason)
            after = [*kept, *given] if adding else [m for m in kept if m not in given]

            def effect() -> None:
                state.members[path] = after

            return reply(call, start(self._cloud, verb, path, None, 5.0, request, effect))

    def _instance(self, scope: str, link: str) -> str:
        path = path_of(self._cloud.project, link)
        name = (path or "").rsplit("/", 1)[-1]
        if path is None or groups.node_named(self._cloud, scope, name) is None:
            raise bad_value("instances", link, "The referenced instance cannot be found.")
        return link_of(path)

    def set_named_ports(self, request: Any, call: Call) -> Any:
        asked = as_body(request.instance_groups_set_named_ports_request_resource)
        scope = self.scope(request)
        with self._cloud.lock:
            path, body = self.idle(request, call, scope)
            told = asked.get("fingerprint")
            if told and told != body.get("fingerprint"):
                raise stale()
            for port in asked.get("namedPorts", []):
                check_name(port.get("name"), "namedPorts.name")
            if self.state.at(path) is None:
                ports = asked.get("namedPorts", [])

                def effect() -> None:
                    self.state.named_ports[path] = ports

                return reply(
                    call, start(self._cloud, "setNamedPorts", path, None, 5.0, request, effect)
                )
            after = {**body, "namedPorts": asked.get("namedPorts", [])}
            after["fingerprint"] = fingerprint(path, after["namedPorts"])
            return reply(call, self.change(path, body, after, request, "setNamedPorts", scope))


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
