"""Google's own clients pointed at an emulator, over either wire."""

from __future__ import annotations

import importlib
from typing import Any, Final

import grpc
import httpx
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials

from tests.processes import EmulatorProcess

PROJECT = "heartwood-demo"
LOCATION = f"projects/{PROJECT}/locations/us-central1"
CLUSTER = f"{LOCATION}/clusters/hw-serving"
WIRES = ("grpc", "rest")
# One for all: what httpx's functions make anew for each call reads the machine's certificates,
# 30 ms of processor time.
HTTP: Final = httpx.Client(timeout=120, trust_env=False)

# Client → (library package, service folder, prefix of its REST endpoint).
_SERVICES = {
    "ServiceUsageClient": (
        "google.cloud.service_usage_v1", "service_usage", "/serviceusage"),
    "ProjectsClient": ("google.cloud.resourcemanager_v3", "projects", "/cloudresourcemanager"),
    "IAMClient": ("google.cloud.iam_admin_v1", "iam", "/iam"),
    "ConfigServiceV2Client": ("google.cloud.logging_v2", "config_service_v2", "/logging"),
    "LoggingServiceV2Client": ("google.cloud.logging_v2", "logging_service_v2", "/logging"),
    "MetricsServiceV2Client": ("google.cloud.logging_v2", "metrics_service_v2", "/logging"),
    "CloudQuotasClient": ("google.cloud.cloudquotas_v1", "cloud_quotas", "/cloudquotas"),
    "PublisherClient": ("google.pubsub_v1", "publisher", "/pubsub"),
    "SubscriberClient": ("google.pubsub_v1", "subscriber", "/pubsub"),
    "ArtifactRegistryClient": (
        "google.cloud.artifactregistry_v1", "artifact_registry", "/artifactregistry"),
    "TpuClient": ("google.cloud.tpu_v2", "tpu", "/tpu"),
    "ClusterManagerClient": ("google.cloud.container_v1", "cluster_manager", "/container"),
    "EndpointServiceClient": ("google.cloud.aiplatform_v1", "endpoint_service", "/aiplatform"),
    "CloudRedisClient": ("google.cloud.redis_v1", "cloud_redis", "/redis"),
    "LustreClient": ("google.cloud.lustre_v1", "lustre", "/lustre"),
    "ParallelstoreClient": (
        "google.cloud.parallelstore_v1", "parallelstore", "/parallelstore"),
    "RecommenderClient": ("google.cloud.recommender_v1", "recommender", "/recommender"),
    "ModelServiceClient": ("google.cloud.aiplatform_v1", "model_service", "/aiplatform"),
}  # fmt: skip


def make_client(name: str, wire: str, emulator: EmulatorProcess) -> Any:
    """A client of a service that has both transports."""
    package, folder, prefix = _SERVICES[name]
    client_module = importlib.import_module(f"{package}.services.{folder}")
    client_class = getattr(client_module, name)
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
