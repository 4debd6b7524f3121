"""Service Usage v1: enable, disable, get and list the project's services."""

from __future__ import annotations

from emulator.apis.serviceusage.api import ServiceUsage
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    package = "google.cloud.service_usage_v1.services.service_usage"
    return [Mount("/serviceusage", f"{package}.transports", ServiceUsage(cloud))]
