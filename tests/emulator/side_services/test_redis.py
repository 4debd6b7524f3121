"""Memorystore for Redis over both wires: an instance's life, its rules, and who must wait."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulator.clients import LOCATION, PROJECT, WIRES, make_client
from tests.emulator.lifecycle.conftest import POLL
from tests.emulator.side_services.conftest import Held
from tests.processes import EmulatorProcess

NETWORK = f"projects/{PROJECT}/global/networks/hw-net"
CACHE: dict[str, Any] = {
    "tier": "STANDARD_HA", "memory_size_gb": 16, "authorized_network": NETWORK,
    "auth_enabled": True, "transit_encryption_mode": "SERVER_AUTHENTICATION",
    "labels": {"team": "serving"}, "redis_configs": {"maxmemory-policy": "allkeys-lru"},
}  # fmt: skip


def _done(operation: Any) -> Any:
    return operation.result(polling=POLL)


@pytest.mark.parametrize("wire", WIRES)
def test_an_instance_lives_and_dies(beside: EmulatorProcess, held: Held, wire: str) -> None:
    """CREATING → READY with addresses, AUTH and a certificate; who comes too early is refused."""
    redis = make_client("CloudRedisClient", wire, beside)
    name = f"{LOCATION}/instances/cache-{wire}"
    with held("redis", "create_instance"):
        operation = redis.create_instance(
            parent=LOCATION, instance_id=f"cache-{wire}", instance=CACHE
        )
        assert (operation.metadata.verb, operation.metadata.target) == ("create", name)
        new = redis.get_instance(name=name)
        assert (new.state.name, new.host) == ("CREATING", "")
        with pytest.raises(exceptions.BadRequest, match="wait until instance is in READY"):
            redis.delete_instance(name=name)
        with pytest.raises((exceptions.AlreadyExists, exceptions.Conflict)):
            redis.create_instance(parent=LOCATION, instance_id=f"cache-{wire}", instance=CACHE)
    made = _done(operation)
    assert (made.state.name, made.port, made.redis_version) == ("READY", 6378, "REDIS_7_2")
    assert len({node.zone for node in made.nodes}) == 2
    assert made.server_ca_certs[0].cert.startswith("-----BEGIN CERTIFICATE-----")
    secret = redis.get_instance_auth_string(name=name).auth_string
    assert len(secret) == 36
    assert name in [i.name for i in redis.list_instances(parent=LOCATION)]
    everywhere = f"projects/{PROJECT}/locations/-"
    assert name in [i.name for i in redis.list_instances(parent=everywhere)]

    moved = _done(redis.failover_instance(request={"name": name}))
    assert moved.current_location_id not in ("", made.current_location_id)
    window = {"day": "SUNDAY", "start_time": {"hours": 3}}
    change = {"name": name, "memory_size_gb": 32, "labels": {"x": "y"}, "auth_enabled": False,
              "maintenance_policy": {"weekly_maintenance_window": [window]}}  # fmt: skip
    mask = {"paths": ["memory_size_gb", "auth_enabled", "maintenance_policy"]}
    after = _done(redis.update_instance(instance=change, update_mask=mask))
    assert (after.memory_size_gb, dict(after.labels)) == (32, {"team": "serving"})
    (kept,) = after.maintenance_policy.weekly_maintenance_window
    assert kept.duration.total_seconds() == 3600
    with pytest.raises(exceptions.BadRequest, match="AUTH is not enabled"):
        redis.get_instance_auth_string(name=name)
    _done(redis.delete_instance(name=name))
    with pytest.raises(exceptions.NotFound):
        redis.get_instance(name=name)


def test_sizes_and_versions(beside: EmulatorProcess, peered: str) -> None:
    """What the tiers cannot have is refused; an upgrade goes up only; replicas come for good."""
    redis = make_client("CloudRedisClient", "rest", beside)

    def refused(words: str, **fields: Any) -> None:
        with pytest.raises(exceptions.BadRequest, match=words):
            redis.create_instance(
                parent=LOCATION, instance_id="no", instance={**CACHE, **fields}
            )  # fmt: skip

    refused("between 1 and 300", memory_size_gb=301)
    refused("between 1 and 300", memory_size_gb=0)
    refused("TIER_UNSPECIFIED", tier="TIER_UNSPECIFIED")
    refused("basic tier", tier="BASIC", replica_count=1)
    refused("at least 5 GB", memory_size_gb=4, read_replicas_mode="READ_REPLICAS_ENABLED")
    refused("Invalid value: REDIS_9", redis_version="REDIS_9")
    refused("Not a parameter", redis_configs={"save": ""})
    refused("Not a parameter", redis_version="REDIS_3_2", redis_configs={"maxmemory-gb": "1"})
    refused("Invalid value", authorized_network=f"projects/{PROJECT}/global/networks/default")
    refused("must exist in the same project",
            authorized_network="projects/other/global/networks/hw-net")  # fmt: skip
    refused("Invalid value: us-east1-d", location_id="us-east1-d")
    refused("Only hours", maintenance_policy={"weekly_maintenance_window": [
        {"day": "MONDAY", "start_time": {"hours": 1, "minutes": 30}}]})  # fmt: skip
    with pytest.raises(exceptions.BadRequest, match="lower-case"):
        redis.create_instance(parent=LOCATION, instance_id="A", instance=CACHE)
    with pytest.raises(exceptions.Forbidden, match="not found or access is unauthorized"):
        redis.list_instances(parent=f"projects/{PROJECT}/locations/nowhere")

    old = {**CACHE, "redis_version": "REDIS_6_X", "transit_encryption_mode": "DISABLED",
           "connect_mode": "PRIVATE_SERVICE_ACCESS", "reserved_ip_range": peered,
           "persistence_config": {"persistence_mode": "RDB"}}  # fmt: skip
    made = _done(redis.create_instance(parent=LOCATION, instance_id="old", instance=old))
    assert made.port == 6379
    assert made.persistence_config.rdb_snapshot_period.name == "TWENTY_FOUR_HOURS"
    assert made.persistence_config.rdb_next_snapshot_time > made.create_time
    with pytest.raises(exceptions.BadRequest, match="only be upgraded"):
        redis.upgrade_instance(name=made.name, redis_version="REDIS_5_0")
    newer = _done(redis.upgrade_instance(name=made.name, redis_version="REDIS_7_0"))
    assert newer.redis_version == "REDIS_7_0"
    replicas = {"name": made.name, "read_replicas_mode": "READ_REPLICAS_ENABLED",
                "secondary_ip_range": "auto", "replica_count": 2}  # fmt: skip
    paths = ["read_replicas_mode", "secondary_ip_range", "replica_count"]
    wide = _done(redis.update_instance(instance=replicas, update_mask={"paths": paths}))
    assert (len(wide.nodes), wide.host) == (3, made.host)
    assert wide.read_endpoint
    for _ in range(2):  # to the last of three zones, which goes with its replica
        wide = _done(redis.failover_instance(request={"name": made.name}))
    assert wide.current_location_id == wide.nodes[2].zone
    fewer = {"name": made.name, "replica_count": 1}
    left = _done(redis.update_instance(instance=fewer, update_mask={"paths": ["replica_count"]}))
    assert left.current_location_id == left.nodes[0].zone
    assert _done(redis.failover_instance(request={"name": made.name})).current_location_id
    replicas["read_replicas_mode"] = "READ_REPLICAS_DISABLED"
    with pytest.raises(exceptions.BadRequest, match="cannot be disabled"):
        redis.update_instance(instance=replicas, update_mask={"paths": paths[:1]})
    with pytest.raises(exceptions.BadRequest, match="cannot be updated"):
        redis.update_instance(instance=replicas, update_mask={"paths": ["tier"]})


def test_operations_and_places(beside: EmulatorProcess, held: Held) -> None:
    """An operation can be listed, cancelled and forgotten; what it began goes with it.

    By REST: by gRPC one service tells of operations and places for all of them.
    """
    redis = make_client("CloudRedisClient", "rest", beside)
    basic = {"tier": "BASIC", "memory_size_gb": 1, "authorized_network": NETWORK}
    with held("redis", "create_instance"):
        begun = redis.create_instance(parent=LOCATION, instance_id="gone", instance=basic)
        name = begun.operation.name
        running = redis.list_operations({"name": LOCATION, "filter": ""}).operations
        assert name in [o.name for o in running]
        redis.cancel_operation({"name": name})
    assert redis.get_operation({"name": name}).error.code == 1
    with pytest.raises(exceptions.NotFound):
        redis.get_instance(name=f"{LOCATION}/instances/gone")
    redis.delete_operation({"name": name})
    with pytest.raises(exceptions.NotFound):
        redis.get_operation({"name": name})
    listed = redis.list_locations({"name": f"projects/{PROJECT}"}).locations
    assert "us-central1" in [p.location_id for p in listed]
    assert redis.get_location({"name": LOCATION}).location_id == "us-central1"
    _done(redis.create_instance(parent=LOCATION, instance_id="basic", instance=basic))
    with pytest.raises(exceptions.BadRequest, match="standard tier"):
        redis.failover_instance(request={"name": f"{LOCATION}/instances/basic"})
