"""Nodes of the Cloud TPU API made, changed and deleted, and what Google refuses of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from google.cloud.tpu_v2.types import cloud_tpu as types
from google.longrunning import operations_pb2

from core import tpu
from emulator.apis.compute.catalogue import region_of
from emulator.apis.compute.model import state_of
from emulator.apis.iam.model import iam_state
from emulator.apis.quotas.model import UNLIMITED, limit, tpu_api_quota
from emulator.apis.tpu import model
from emulator.apis.tpu.lookup import SERVICE, Lookup
from emulator.apis.tpu.messages import metadata, node_message
from emulator.scenario import TIER_LABEL
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.longrunning import operation_message
from emulator.wire.masks import merge

_NAME: Final = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_CHANGEABLE: Final = {"description", "labels", "metadata", "tags", "data_disks"}
_TPU7X: Final = ("v7", "tpu7", "tpu-v7")


class NodeWrites(Lookup):
    """CreateNode, UpdateNode and DeleteNode."""

    def create_node(self, request: types.CreateNodeRequest, call: Call) -> operations_pb2.Operation:
        """Begin to make a node."""
        zone = self.location(request.parent)
        with self._cloud.lock:
            node = self.new_node(zone, request.node_id, request.node)
            self.check_quota([node])
            job = model.add(self._cloud, self._state, node, self.told(node.full_name, "create"))
            return operation_message(job)

    def delete_node(self, request: types.DeleteNodeRequest, call: Call) -> operations_pb2.Operation:
        """Begin to delete a node, whatever it does, unless it comes or goes already."""
        with self._cloud.lock:
            node = self.find(request.name)
            if node.state in ("CREATING", "DELETING"):
                raise failed_precondition(
                    f"TPU '{node.full_name}' is in state {node.state}; it cannot be deleted now."
                )
            data = self.told(node.full_name, "delete", gone=True)
            return operation_message(model.remove(self._cloud, self._state, node, data))

    def update_node(self, request: types.UpdateNodeRequest, call: Call) -> operations_pb2.Operation:
        """Begin to change description, labels, metadata, tags or data disks."""
        with self._cloud.lock:
            node = self.find(request.node.name)
            current = node_message(node)
            after = merge(request.node, types.UpdateNodeRequest.pb(request).update_mask, current)
            for path in request.update_mask.paths:
                if path.partition(".")[0] not in _CHANGEABLE:
                    raise invalid(f"Field '{path}' cannot be updated.", field="update_mask")
            if node.state not in ("READY", "STOPPED"):
                raise failed_precondition(f"TPU '{node.full_name}' is in state {node.state}.")
            labels = dict(after.labels)
            if labels.get(TIER_LABEL, "") != node.tier:
                raise ApiError(
                    "UNIMPLEMENTED", f"The emulator does not move a node to another {TIER_LABEL}."
                )
            changed = replace(node, labels=tuple(labels.items()), given=after)
            data = self.told(node.full_name, "update")
            return operation_message(model.alter(self._cloud, self._state, changed, data))

    def told(self, name: str, verb: str, *, gone: bool = False) -> dict[str, Any]:
        """What an operation's message needs: metadata and the answer once it is done."""
        data: dict[str, Any] = {"metadata": metadata(name, verb, self._cloud.clock.now())}
        if not gone:
            data["response"] = lambda: node_message(self._state.nodes[name])
        return data

    def new_node(self, zone: str, node_id: str, asked: types.Node) -> model.TpuVm:
        """The node that a request describes, not yet among the nodes.

        Raises:
            ApiError: what Google refuses of it.
        """
        if zone == "-":
            raise invalid("A node needs a zone.", field="parent")
        if not _NAME.fullmatch(node_id):
            raise invalid(
                f"Invalid node ID '{node_id}'. It must match the pattern "
                "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$.",
                field="node_id",
            )
        project = self._cloud.project
        full = f"projects/{project.id}/locations/{zone}/nodes/{node_id}"
        if full in self._state.nodes:
            raise ApiError("ALREADY_EXISTS", f"Resource '{full}' already exists")
        generation, topology = shape_of(zone, asked)
        _check_runtime(generation, asked.runtime_version)
        self._check_references(zone, asked)
        labels = dict(asked.labels)
        return model.TpuVm(
            project.id, zone, node_id, generation, topology, labels.get(TIER_LABEL, ""),
            self._cloud.clock.now(), labels=tuple(labels.items()), given=asked,
        )  # fmt: skip

    def _check_references(self, zone: str, asked: types.Node) -> None:
        """Pass a node that names no network, subnetwork or service account which is not there."""
        iam_state(self._cloud).check_runs_as(asked.service_account.email, "node.service_account")
        config, compute = asked.network_config, state_of(self._cloud)
        for kind, name, scope in (
            ("network", config.network, "global"),
            ("subnetwork", config.subnetwork, f"regions/{region_of(zone)}"),
        ):
            if name and compute.of(f"{kind}s", scope).get(name.rsplit("/", 1)[-1]) is None:
                raise invalid(
                    f"The {kind} '{name}' was not found.", field=f"node.network_config.{kind}"
                )

    def check_quota(self, nodes: list[model.TpuVm]) -> None:
        """Pass nodes (of one zone and generation) for which the zone's quota suffices."""
        first = nodes[0]
        used = model.chips_in(self._state, first.generation, first.zone)
        name = tpu_api_quota(first.generation)
        most = limit(self._cloud, SERVICE, name, {"zone": first.zone})
        if most is None or most == UNLIMITED:
            return
        if used + sum(tpu.chips(n.topology) for n in nodes) > most:
            raise ApiError(
                "RESOURCE_EXHAUSTED",
                f"Quota limit '{name}' has been exceeded. Limit: {most} in zone {first.zone}.",
                reason="RATE_LIMIT_EXCEEDED", domain=SERVICE,
                metadata={
                    "consumer": f"projects/{self._cloud.project.number}", "quota_limit": name,
                    "quota_limit_value": str(most), "quota_location": first.zone,
                    "service": SERVICE,
                },
            )  # fmt: skip


def shape_of(zone: str, asked: types.Node) -> tuple[tpu.Generation, str]:
    """Generation and topology of a request's node; TPU7x and what the zone lacks are refused."""
    text = asked.accelerator_type.lower()
    if text.startswith(_TPU7X):
        raise invalid(
            f"Accelerator type '{asked.accelerator_type}' is not supported by the Cloud TPU API. "
            "Create TPU7x with Google Kubernetes Engine or Compute Engine.",
            field="node.accelerator_type",
        )
    configured = asked.accelerator_config
    if bool(text) == bool(configured.topology):
        raise invalid("Exactly one of accelerator_type and accelerator_config must be set.")
    offered = model.generations_in(zone)
    if text:
        for generation in offered:
            for topology in tpu.legal_topologies(generation):
                if model.accelerator_type(generation, topology) == text:
                    return generation, topology
        raise invalid(
            f"Accelerator type '{asked.accelerator_type}' is not available in zone '{zone}'.",
            field="node.accelerator_type",
        )
    name = types.AcceleratorConfig.Type(configured.type_).name
    for generation in offered:
        if generation.tpu_api_type == name:
            try:
                tpu.check_topology(generation, configured.topology)
            except ValueError as error:
                raise invalid(f"{error}.", field="node.accelerator_config") from error
            return generation, configured.topology.lower()
    raise invalid(f"Accelerator type '{name}' is not available in zone '{zone}'.")


def _check_runtime(generation: tpu.Generation, version: str) -> None:
    if not version:
        raise invalid("Runtime version must be set.", field="node.runtime_version")
    if version not in model.RUNTIMES:
        raise invalid(f"Runtime version '{version}' does not exist.", field="node.runtime_version")
    if version != generation.tpu_api_runtime:
        raise invalid(
            f"Runtime version '{version}' does not support {generation.name}; use "
            f"'{generation.tpu_api_runtime}'.",
            field="node.runtime_version",
        )
