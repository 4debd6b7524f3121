"""Parallelstore v1: by invitation only, so that no instance can be made here."""

from __future__ import annotations

from emulator.apis.parallelstore.api import Parallelstore
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    package = "google.cloud.parallelstore_v1.services.parallelstore"
    return [Mount("/parallelstore", f"{package}.transports", Parallelstore(cloud))]
