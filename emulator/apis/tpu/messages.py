"""The Cloud TPU API's state in Google's messages (google.cloud.tpu.v2)."""

from __future__ import annotations

from google.cloud.tpu_v2.types import cloud_tpu as types
from google.protobuf.timestamp_pb2 import Timestamp

from core import tpu
from emulator.apis.tpu import model


def node_message(node: model.TpuVm) -> types.Node:
    """A node as the API shows it; what a caller chose stands as it was given."""
    generation = node.generation
    hosts = tpu.hosts_per_slice(generation, node.topology)
    net = node.number % 200
    message = types.Node(
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
        create_time=timestamp(node.created_at),
        labels=dict(node.labels),
        id=node.number,
        api_version=types.Node.ApiVersion.V2,
        scheduling_config=types.SchedulingConfig(preemptible=False, reserved=False),
    )
    if node.queued:
        message.queued_resource = node.queued
    if node.given is not None:
        _overlay(message, types.Node(node.given))
    return message


def _overlay(message: types.Node, given: types.Node) -> None:
    for name in ("description", "runtime_version", "metadata", "tags", "data_disks"):
        if value := getattr(given, name):
            setattr(message, name, value)
    for name in ("service_account", "shielded_instance_config", "scheduling_config"):
        if name in given:
            setattr(message, name, getattr(given, name))
    config = given.network_config
    if config.network:
        message.network_config.network = config.network
    if config.subnetwork:
        message.network_config.subnetwork = config.subnetwork
    message.network_config.enable_external_ips = config.enable_external_ips


def timestamp(at: float) -> Timestamp:
    """Unix seconds as a message."""
    stamp = Timestamp()
    stamp.FromNanoseconds(int(at * 1e9))
    return stamp


def queued_message(queued: model.Queued) -> types.QueuedResource:
    """A queued resource with its state."""
    message = types.QueuedResource(queued.given)
    message.name = queued.name
    message.create_time = timestamp(queued.created_at)
    initiator = types.QueuedResourceState.StateInitiator[queued.initiator]
    message.state = types.QueuedResourceState(
        state=types.QueuedResourceState.State[queued.state], state_initiator=initiator
    )
    return message


def metadata(target: str, verb: str, at: float) -> types.OperationMetadata:
    """What an operation tells of itself."""
    return types.OperationMetadata(
        create_time=timestamp(at), target=target, verb=verb, api_version="v2"
    )
