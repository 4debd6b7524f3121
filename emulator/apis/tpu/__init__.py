"""Cloud TPU API v2: single VMs of v5e, v5p and v6e; TPU7x is refused, as by Google."""

from __future__ import annotations

from emulator.apis.tpu.api import Tpu
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    return [Mount("/tpu", "google.cloud.tpu_v2.services.tpu.transports", Tpu(cloud))]
