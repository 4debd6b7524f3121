"""Cloud Quotas v1: the quotas of the project's services, and requests for more."""

from __future__ import annotations

from emulator.apis.quotas.api import CloudQuotas
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    package = "google.cloud.cloudquotas_v1.services.cloud_quotas"
    return [Mount("/cloudquotas", f"{package}.transports", CloudQuotas(cloud))]
