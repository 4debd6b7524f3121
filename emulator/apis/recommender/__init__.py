"""Recommender v1: idle resources of the project, found in the emulator's own state."""

from __future__ import annotations

from emulator.apis.recommender.api import Recommender
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    package = "google.cloud.recommender_v1.services.recommender"
    return [Mount("/recommender", f"{package}.transports", Recommender(cloud))]
