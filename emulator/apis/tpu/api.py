"""Handlers of google.cloud.tpu.v2.Tpu."""

from __future__ import annotations

from google.cloud.location import locations_pb2
from google.cloud.tpu_v2.types import cloud_tpu as types
from google.longrunning import operations_pb2

from core import tpu
from emulator.apis.tpu import model
from emulator.apis.tpu.lookup import SERVICE
from emulator.apis.tpu.messages import node_message, timestamp
from emulator.apis.tpu.queued import QueuedResources
from emulator.wire.call import Call
from emulator.wire.errors import failed_precondition, not_found
from emulator.wire.longrunning import operation_message
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page


class Tpu(QueuedResources):
    """TPU VMs of the generations that this API still supports; most writes stand in writes.py."""

    def list_nodes(self, request: types.ListNodesRequest, call: Call) -> types.ListNodesResponse:
        zone = self.location(request.parent)
        nodes = [n for n in self._state.nodes.values() if zone in ("-", n.zone)]
        shown, token = page(
            nodes, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListNodesResponse(
            nodes=[node_message(n) for n in shown], next_page_token=token
        )

    def get_node(self, request: types.GetNodeRequest, call: Call) -> types.Node:
        return node_message(self.find(request.name))

    def stop_node(self, request: types.StopNodeRequest, call: Call) -> operations_pb2.Operation:
        return self._begin(request.name, "stop")

    def start_node(self, request: types.StartNodeRequest, call: Call) -> operations_pb2.Operation:
        return self._begin(request.name, "start")

    def _begin(self, asked: str, verb: str) -> operations_pb2.Operation:
        with self._cloud.lock:
            node = self.find(asked)
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
                create_time=timestamp(self._cloud.clock.now()),
                target=name,
                verb="update",
                api_version="v2",
            )
            nodes = self._state.nodes
            data = {"metadata": metadata, "response": lambda: node_message(nodes[name])}
            return operation_message(model.begin(self._cloud, self._state, name, verb, data))

    def list_accelerator_types(
        self, request: types.ListAcceleratorTypesRequest, call: Call
    ) -> types.ListAcceleratorTypesResponse:
        found = self._accelerator_types(self.location(request.parent), request.parent)
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListAcceleratorTypesResponse(accelerator_types=shown, next_page_token=token)

    def get_accelerator_type(
        self, request: types.GetAcceleratorTypeRequest, call: Call
    ) -> types.AcceleratorType:
        parent, _, name = request.name.rpartition("/acceleratorTypes/")
        for found in self._accelerator_types(self.location(parent), parent):
            if found.type_ == name:
                return found
        raise not_found(request.name)

    def list_runtime_versions(
        self, request: types.ListRuntimeVersionsRequest, call: Call
    ) -> types.ListRuntimeVersionsResponse:
        self.location(request.parent)
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
        self.location(parent)
        if version not in model.RUNTIMES:
            raise not_found(request.name)
        return _runtime(parent, version)

    def list_locations(
        self, request: locations_pb2.ListLocationsRequest, call: Call
    ) -> locations_pb2.ListLocationsResponse:
        check_project(
            self._cloud.project,
            parse_name("projects/{project}", request.name)["project"],
            service=SERVICE,
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
        zone = self.location(request.name)
        return _location(request.name.split("/locations/")[0], zone)

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


def _runtime(parent: str, version: str) -> types.RuntimeVersion:
    return types.RuntimeVersion(name=f"{parent}/runtimeVersions/{version}", version=version)


def _location(parent: str, zone: str) -> locations_pb2.Location:
    return locations_pb2.Location(name=f"{parent}/locations/{zone}", location_id=zone)
