"""Queued resources: asked for, accepted, provisioned when there are chips, suspended, deleted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from google.cloud.tpu_v2.types import cloud_tpu as types
from google.longrunning import operations_pb2

from core import tpu
from emulator.apis.tpu import model
from emulator.apis.tpu.lookup import PARENT, SERVICE
from emulator.apis.tpu.messages import metadata, queued_message
from emulator.apis.tpu.writes import NodeWrites
from emulator.operations import Job
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid, not_found
from emulator.wire.longrunning import operation_message
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_NAME: Final = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_ACCEPT_S: Final = 10.0
_WAIT_S: Final = 60.0
_DELETE_S: Final = 20.0
_RESTING: Final = ("ACCEPTED", "WAITING_FOR_RESOURCES", "FAILED", "SUSPENDED")


class QueuedResources(NodeWrites):
    """The methods of queued resources."""

    def list_queued_resources(
        self, request: types.ListQueuedResourcesRequest, call: Call
    ) -> types.ListQueuedResourcesResponse:
        zone = self.location(request.parent)
        found = [
            q for n, q in self._state.queued.items() if zone == "-" or f"/locations/{zone}/" in n
        ]
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListQueuedResourcesResponse(
            queued_resources=[queued_message(q) for q in shown], next_page_token=token
        )

    def get_queued_resource(
        self, request: types.GetQueuedResourceRequest, call: Call
    ) -> types.QueuedResource:
        return queued_message(self._queued(request.name))

    def create_queued_resource(
        self, request: types.CreateQueuedResourceRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to queue; the operation ends once it is accepted, the nodes come later."""
        zone = self.location(request.parent)
        asked = request.queued_resource
        with self._cloud.lock:
            if not _NAME.fullmatch(request.queued_resource_id):
                raise invalid(
                    f"Invalid queued resource ID '{request.queued_resource_id}'.",
                    field="queued_resource_id",
                )
            base = f"projects/{self._cloud.project.id}/locations/{zone}"
            name = f"{base}/queuedResources/{request.queued_resource_id}"
            if name in self._state.queued:
                raise ApiError("ALREADY_EXISTS", f"Resource '{name}' already exists")
            nodes = self._wanted(zone, asked)
            queued = model.Queued(
                name, asked, [n.full_name for n in nodes], self._cloud.clock.now()
            )
            self._state.queued[name] = queued
            return operation_message(self._accept(queued, "create"))

    def _accept(self, queued: model.Queued, verb: str) -> Job:
        def effect() -> None:
            queued.state = "ACCEPTED"
            self._behind(queued, _WAIT_S, lambda: self._provision(queued))

        return self._start(queued, verb, _ACCEPT_S, effect)

    def _provision(self, queued: model.Queued) -> None:
        """Make the nodes, or wait on for chips."""
        zone = queued.name.split("/")[3]
        if queued.state not in ("ACCEPTED", "WAITING_FOR_RESOURCES"):
            return
        try:
            nodes = self._wanted(zone, queued.given)
            self.check_quota(nodes)
        except ApiError:
            queued.state = "FAILED"
            return
        if self._no_stock(nodes):
            queued.state = "WAITING_FOR_RESOURCES"
            self._behind(queued, _WAIT_S, lambda: self._provision(queued))
            return
        queued.state = "PROVISIONING"
        for node in nodes:
            node = replace(node, queued=queued.name)
            model.add(self._cloud, self._state, node, self.told(node.full_name, "create"))
        self._behind(queued, model.CREATE_S + 1.0, lambda: _active(queued))

    def _no_stock(self, nodes: list[model.TpuVm]) -> bool:
        first = nodes[0]
        stock = model.STOCK.get((first.generation.name, first.zone))
        used = model.chips_in(self._state, first.generation, first.zone)
        return stock is not None and used + sum(
            tpu.chips(n.topology) for n in nodes
        ) > stock  # fmt: skip

    def _behind(self, queued: model.Queued, seconds: float, effect: Any) -> None:
        """Work that no caller sees as an operation."""
        name = f"queue/{queued.name}/{self._cloud.new_id('tpu.queue', 8)}"
        self._cloud.operations.start(name, "tpu-queue", queued.name, seconds, effect)

    def delete_queued_resource(
        self, request: types.DeleteQueuedResourceRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to delete; one with nodes only by force, which takes the nodes along."""
        with self._cloud.lock:
            queued = self._queued(request.name)
            if queued.state not in _RESTING and not (request.force and queued.state == "ACTIVE"):
                raise failed_precondition(
                    f"Queued resource '{queued.name}' is in state {queued.state}; delete its nodes "
                    "first, or use force once it is ACTIVE."
                )
            nodes = [self._state.nodes[n] for n in queued.nodes if n in self._state.nodes]
            queued.state, queued.initiator = "DELETING", "USER"
            for node in nodes:
                if node.state != "DELETING":
                    data = self.told(node.full_name, "delete", gone=True)
                    model.remove(self._cloud, self._state, node, data)

            def effect() -> None:
                self._state.queued.pop(queued.name, None)

            seconds = model.DELETE_S + _DELETE_S if nodes else _DELETE_S
            return operation_message(self._start(queued, "delete", seconds, effect))

    def reset_queued_resource(
        self, request: types.ResetQueuedResourceRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin anew with one that is suspended or failed."""
        with self._cloud.lock:
            queued = self._queued(request.name)
            if queued.state not in ("SUSPENDED", "FAILED"):
                raise failed_precondition(
                    f"Queued resource '{queued.name}' is in state {queued.state}; only SUSPENDED "
                    "and FAILED ones can be reset."
                )
            return operation_message(self._accept(queued, "reset"))

    def _start(self, queued: model.Queued, verb: str, seconds: float, effect: Any) -> Job:
        name = queued.name
        data: dict[str, Any] = {"metadata": metadata(name, verb, self._cloud.clock.now())}
        if verb != "delete":
            data["response"] = lambda: queued_message(queued)
        parent = name.rsplit("/queuedResources/", 1)[0]
        operation = f"{parent}/operations/operation-{model.operation_id(self._cloud, name, verb)}"

        def fail() -> None:
            queued.state = "FAILED"

        return self._cloud.operations.start(
            operation, "tpu", name, seconds, effect, data, undo=fail
        )

    def _wanted(self, zone: str, asked: types.QueuedResource) -> list[model.TpuVm]:
        """The nodes that a queued resource describes."""
        specs = list(asked.tpu.node_spec)
        if len(specs) != 1:
            raise invalid("Exactly one tpu.node_spec must be given.", field="queued_resource.tpu")
        spec = specs[0]
        if spec.parent and self.location(spec.parent) != zone:
            raise invalid("The node's parent must be that of the queued resource.")
        if not spec.multislice_params.node_count:
            return [self.new_node(zone, spec.node_id, spec.node)]
        if spec.node_id:
            raise invalid("node_id and multislice_params exclude each other.")
        prefix = spec.multislice_params.node_id_prefix or "slice"
        count = spec.multislice_params.node_count
        if not 2 <= count <= 256:
            raise invalid("multislice_params.node_count must be from 2 to 256.")
        return [self.new_node(zone, f"{prefix}-{i}", spec.node) for i in range(count)]

    def _queued(self, asked: str) -> model.Queued:
        parts = parse_name(f"{PARENT}/queuedResources/{{queued}}", asked)
        check_project(self._cloud.project, parts["project"], service=SERVICE)
        base = f"projects/{self._cloud.project.id}/locations/{parts['location']}"
        found = self._state.queued.get(f"{base}/queuedResources/{parts['queued']}")
        if found is None:
            raise not_found(asked)
        return found


def _active(queued: model.Queued) -> None:
    if queued.state == "PROVISIONING":
        queued.state = "ACTIVE"
