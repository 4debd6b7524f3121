"""Google's own clients pointed at an emulator, over either wire."""

from __future__ import annotations

import importlib
from typing import Any

import grpc
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials

from tests.processes import EmulatorProcess

PROJECT = "heartwood-demo"
LOCATION = f"projects/{PROJECT}/locations/us-central1"
CLUSTER = f"{LOCATION}/clusters/hw-serving"
WIRES = ("grpc", "rest")

# Client → (library package, service folder, prefix of its REST endpoint).
_SERVICES = {
    "TpuClient": ("google.cloud.tpu_v2", "tpu", "/tpu"),
    "ClusterManagerClient": ("google.cloud.container_v1", "cluster_manager", "/container"),
    "EndpointServiceClient": ("google.cloud.aiplatform_v1", "endpoint_service", "/aiplatform"),
    "ModelServiceClient": ("google.cloud.aiplatform_v1", "model_service", "/aiplatform"),
}


def make_client(name: str, wire: str, emulator: EmulatorProcess) -> Any:
    """A client of a service that has both transports."""
    package, folder, prefix = _SERVICES[name]
    client_class = getattr(importlib.import_module(package), name)
    if wire == "rest":
        options = ClientOptions(api_endpoint=emulator.rest_url + prefix)
        return client_class(
            credentials=AnonymousCredentials(), transport="rest", client_options=options
        )
    transports = importlib.import_module(f"{package}.services.{folder}.transports")
    transport_class = getattr(transports, name.replace("Client", "GrpcTransport"))
    unlimited = [("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(emulator.grpc_target, options=unlimited)
    return client_class(transport=transport_class(channel=channel))


def make_compute(name: str, emulator: EmulatorProcess, prefix: str = "/compute") -> Any:
    """A client of compute, which knows REST alone."""
    client_class = getattr(importlib.import_module("google.cloud.compute_v1"), name)
    options = ClientOptions(api_endpoint=emulator.rest_url + prefix)
    return client_class(credentials=AnonymousCredentials(), client_options=options)
