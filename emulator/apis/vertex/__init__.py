"""Vertex AI: endpoints with deployed models, the model registry."""

from __future__ import annotations

from emulator.apis.vertex.api import EndpointService, ModelService
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount both services."""
    services = "google.cloud.aiplatform_v1.services"
    return [
        Mount("/aiplatform", f"{services}.endpoint_service.transports", EndpointService(cloud)),
        Mount("/aiplatform", f"{services}.model_service.transports", ModelService(cloud)),
    ]
