"""Handlers of google.cloud.tpu.v2.Tpu."""

from __future__ import annotations

from typing import Final

from google.cloud.location import locations_pb2
from google.cloud.tpu_v2.types import cloud_tpu as types
from google.longrunning import operations_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from core import tpu
from emulator.apis.tpu import model
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid, not_found
from emulator.wire.longrunning import LongRunning, operation_message
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_PARENT: Final = "projects/{project}/locations/{location}"
_SERVICE: Final = "tpu.googleapis.com"


class Tpu(LongRunning):
    """TPU VMs of the generations that this API still supports."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._state = cloud.store(model.TpuState, lambda: model.initial_state(cloud))

    def list_nodes(self, request: types.ListNodesRequest, call: Call) -> types.ListNodesResponse:
        zone = self._location(request.parent)
        nodes = [n for n in self._state.nodes.values() if zone in ("-", n.zone)]
        shown, token = page(
            nodes, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListNodesResponse(nodes=[_node(n) for n in shown], next_page_token=token)

    def get_node(self, request: types.GetNodeRequest, call: Call) -> types.Node:
        return _node(self._find(request.name))

    def stop_node(self, request: types.StopNodeRequest, call: Call) -> operations_pb2.Operation:
        return self._begin(request.name, "stop")

    def start_node(self, request: types.StartNodeRequest, call: Call) -> operations_pb2.Operation:
        return self._begin(request.name, "start")

    def _begin(self, asked: str, verb: str) -> operations_pb2.Operation:
        with self._cloud.lock:
            node = self._find(asked)
            wanted = model.LIFECYCLE[verb][0]
            if node.state != wanted:
                raise failed_precondition(
                    f"Cannot {verb} TPU '{node.full_name}' in state {node.state}: it must be "
                    f"{wanted}."
                )
            if tpu.is_multi_host(node.generation, node.topology):
                raise failed_precondition("TPU Pods cannot be stopped or started.")
            name = node.full_name
            metadata = types.OperationMetadata(
                create_time=_timestamp(self._cloud.clock.now()),
                target=name,
                verb="update",
                api_version="v2",
            )
            nodes = self._state.nodes
            data = {"metadata": metadata, "response": lambda: _node(nodes[name])}
            return operation_message(model.begin(self._cloud, self._state, name, verb, data))

    def _find(self, asked: str) -> model.TpuVm:
        parts = parse_name(f"{_PARENT}/nodes/{{node}}", asked)
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        name = (
            f"projects/{self._cloud.project.id}/locations/{parts['location']}/nodes/{parts['node']}"
        )
        node = self._state.nodes.get(name)
        if node is None:
            raise not_found(asked)
        return node

    def create_node(self, request: types.CreateNodeRequest, call: Call) -> object:
        """Refuses what Google refuses; making nodes is not served yet."""
        self._location(request.parent)
        asked = request.node.accelerator_type.lower()
        if asked.startswith(("v7", "tpu7", "tpu-v7")):
            raise invalid(
                f"Accelerator type '{request.node.accelerator_type}' is not supported by the Cloud "
                "TPU API. Create TPU7x with Google Kubernetes Engine or Compute Engine.",
                field="node.accelerator_type",
            )
        raise ApiError("UNIMPLEMENTED", "The emulator does not create TPU nodes yet.")

    def list_accelerator_types(
        self, request: types.ListAcceleratorTypesRequest, call: Call
    ) -> types.ListAcceleratorTypesResponse:
        found = self._accelerator_types(self._location(request.parent), request.parent)
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListAcceleratorTypesResponse(accelerator_types=shown, next_page_token=token)

    def get_accelerator_type(
        self, request: types.GetAcceleratorTypeRequest, call: Call
    ) -> types.AcceleratorType:
        parent, _, name = request.name.rpartition("/acceleratorTypes/")
        for found in self._accelerator_types(self._location(parent), parent):
            if found.type_ == name:
                return found
        raise not_found(request.name)

    def list_runtime_versions(
        self, request: types.ListRuntimeVersionsRequest, call: Call
    ) -> types.ListRuntimeVersionsResponse:
        self._location(request.parent)
        found = [_runtime(request.parent, v) for v in model.RUNTIMES]
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListRuntimeVersionsResponse(runtime_versions=shown, next_page_token=token)

    def get_runtime_version(
        self, request: types.GetRuntimeVersionRequest, call: Call
    ) -> types.RuntimeVersion:
        parent, _, version = request.name.rpartition("/runtimeVersions/")
        self._location(parent)
        if version not in model.RUNTIMES:
            raise not_found(request.name)
        return _runtime(parent, version)

    def list_queued_resources(
        self, request: types.ListQueuedResourcesRequest, call: Call
    ) -> types.ListQueuedResourcesResponse:
        self._location(request.parent)
        return types.ListQueuedResourcesResponse()

    def list_locations(
        self, request: locations_pb2.ListLocationsRequest, call: Call
    ) -> locations_pb2.ListLocationsResponse:
        check_project(
            self._cloud.project,
            parse_name("projects/{project}", request.name)["project"],
            service=_SERVICE,
        )
        shown, token = page(
            model.zones(), request.page_size, request.page_token,
            scope=request.name, default=100, most=1000,
        )  # fmt: skip
        return locations_pb2.ListLocationsResponse(
            locations=[_location(request.name, z) for z in shown], next_page_token=token
        )

    def get_location(
        self, request: locations_pb2.GetLocationRequest, call: Call
    ) -> locations_pb2.Location:
        zone = self._location(request.name)
        return _location(request.name.split("/locations/")[0], zone)

    def _location(self, parent: str) -> str:
        parts = parse_name(_PARENT, parent, field="parent")
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        zone = parts["location"]
        if zone != "-" and zone not in model.zones():
            raise ApiError(
                "PERMISSION_DENIED",
                f"Location {zone} is not found or access is unauthorized.",
                reason="LOCATION_ACCESS_DENIED",
                domain=_SERVICE,
                metadata={"location": zone},
            )
        return zone

    def _accelerator_types(self, zone: str, parent: str) -> list[types.AcceleratorType]:
        return [
            types.AcceleratorType(
                name=f"{parent}/acceleratorTypes/{model.accelerator_type(g, t)}",
                type_=model.accelerator_type(g, t),
                accelerator_configs=[
                    types.AcceleratorConfig(
                        type_=types.AcceleratorConfig.Type[g.tpu_api_type or ""], topology=t
                    )
                ],
            )
            for g in model.generations_in(zone)
            for t in tpu.legal_topologies(g)
        ]


def _node(node: model.TpuVm) -> types.Node:
    generation = node.generation
    hosts = tpu.hosts_per_slice(generation, node.topology)
    net = node.number % 200
    return types.Node(
        name=node.full_name,
        accelerator_type=node.accelerator_type,
        accelerator_config=types.AcceleratorConfig(
            type_=types.AcceleratorConfig.Type[generation.tpu_api_type or ""],
            topology=node.topology,
        ),
        state=types.Node.State[node.state],
        health=types.Node.Health[node.health],
        runtime_version=generation.tpu_api_runtime or "",
        network_config=types.NetworkConfig(
            network=f"projects/{node.project}/global/networks/default",
            subnetwork=f"projects/{node.project}/regions/{node.zone[:-2]}/subnetworks/default",
            enable_external_ips=False,
        ),
        network_endpoints=[
            types.NetworkEndpoint(ip_address=f"10.128.{net}.{i + 2}", port=8470)
            for i in range(hosts)
        ],
        create_time=_timestamp(node.created_at),
        labels=dict(node.labels),
        id=node.number,
        api_version=types.Node.ApiVersion.V2,
        scheduling_config=types.SchedulingConfig(preemptible=False, reserved=False),
    )


def _timestamp(at: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(at * 1e9))
    return stamp


def _runtime(parent: str, version: str) -> types.RuntimeVersion:
    return types.RuntimeVersion(name=f"{parent}/runtimeVersions/{version}", version=version)


def _location(parent: str, zone: str) -> locations_pb2.Location:
    return locations_pb2.Location(name=f"{parent}/locations/{zone}", location_id=zone)
