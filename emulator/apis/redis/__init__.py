"""Memorystore for Redis v1: instances and their life; no keys are served behind them."""

from __future__ import annotations

from emulator.apis.redis.api import CloudRedis
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    package = "google.cloud.redis_v1.services.cloud_redis"
    return [Mount("/redis", f"{package}.transports", CloudRedis(cloud))]
