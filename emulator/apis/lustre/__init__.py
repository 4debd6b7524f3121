"""Managed Lustre v1: instances and transfers of files from and to Cloud Storage."""

from __future__ import annotations

from emulator.apis.lustre.api import Lustre
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    package = "google.cloud.lustre_v1.services.lustre"
    return [Mount("/lustre", f"{package}.transports", Lustre(cloud))]
