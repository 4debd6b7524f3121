"""What Memorystore for Redis refuses of an instance, and the defaults that it fills in.

Rules are those of the API's reference and of gcloud's help; the words are the emulator's own where
none of Google's were found.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.cloud.redis_v1.types import cloud_redis as types
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.apis.instances import network_named
from emulator.context import Cloud
from emulator.wire.errors import ApiError, failed_precondition, invalid

Instance = types.Instance
VERSIONS: Final = ("REDIS_3_2", "REDIS_4_0", "REDIS_5_0", "REDIS_6_X", "REDIS_7_0", "REDIS_7_2")
CHANGEABLE: Final = frozenset(
    {"display_name", "labels", "memory_size_gb", "redis_configs", "replica_count",
     "read_replicas_mode", "secondary_ip_range", "auth_enabled", "persistence_config",
     "maintenance_policy"}
)  # fmt: skip
_MOST_GB: Final = 300
_REPLICAS_GB: Final = 5
_POLICIES: Final = ("allkeys-lfu", "allkeys-lru", "allkeys-random", "noeviction", "volatile-lfu",
                    "volatile-lru", "volatile-random", "volatile-ttl")  # fmt: skip
# Parameter → the version from which it may be set.
_CONFIGS: Final = {
    "maxmemory-policy": "REDIS_3_2", "notify-keyspace-events": "REDIS_3_2",
    "activedefrag": "REDIS_4_0", "lfu-decay-time": "REDIS_4_0", "lfu-log-factor": "REDIS_4_0",
    "maxmemory-gb": "REDIS_4_0",
    "stream-node-max-bytes": "REDIS_5_0", "stream-node-max-entries": "REDIS_5_0",
}  # fmt: skip
_OUTPUT: Final = ("host", "port", "current_location_id", "create_time", "state", "status_message",
                  "persistence_iam_identity", "server_ca_certs", "maintenance_schedule", "nodes",
                  "read_endpoint", "read_endpoint_port", "suspension_reasons",
                  "available_maintenance_versions")  # fmt: skip


def bad(field: str, value: object, why: str = "") -> ApiError:
    """INVALID_ARGUMENT of one of the instance's fields."""
    text = f"Invalid value: {value}" + (f". {why}" if why else "")
    return invalid(text, field=f"instance.{field}")


def drawn_up(cloud: Cloud, asked: Any, zones: Iterable[str]) -> Any:
    """The instance that a request describes, checked and with defaults, before it has addresses."""
    made = Instance(asked)
    for name in _OUTPUT:
        Instance.pb(made).ClearField(name)
    if not made.tier:
        raise bad("tier", "TIER_UNSPECIFIED")
    if made.customer_managed_key:
        raise ApiError("UNIMPLEMENTED", "The emulator has no customer-managed keys.")
    if made.maintenance_version:
        raise bad("maintenance_version", made.maintenance_version, "No such version is available.")
    made.redis_version = made.redis_version or VERSIONS[-1]
    if made.redis_version not in VERSIONS:
        raise bad("redis_version", made.redis_version)
    _network(cloud, made)
    for name in ("location_id", "alternative_location_id"):
        if getattr(made, name) and getattr(made, name) not in zones:
            raise bad(name, getattr(made, name))
    if made.alternative_location_id and (
        made.tier == Instance.Tier.BASIC or made.alternative_location_id == made.location_id
    ):
        raise bad("alternative_location_id", made.alternative_location_id)
    made.connect_mode = made.connect_mode or Instance.ConnectMode.DIRECT_PEERING
    made.transit_encryption_mode = (
        made.transit_encryption_mode or Instance.TransitEncryptionMode.DISABLED
    )
    made.read_replicas_mode = (
        made.read_replicas_mode or Instance.ReadReplicasMode.READ_REPLICAS_DISABLED
    )
    if not made.replica_count and made.tier == Instance.Tier.STANDARD_HA:
        made.replica_count = 2 if _replicas(made) else 1
    check(made)
    return made


def _network(cloud: Cloud, made: Any) -> None:
    default = f"projects/{cloud.project.id}/global/networks/default"
    made.authorized_network = made.authorized_network or default
    field = "instance.authorized_network"
    parts = made.authorized_network.split("/")
    if len(parts) == 5 and parts[1] not in (cloud.project.id, cloud.project.number):
        words = "authorized_network must exist in the same project as redis instance"
        error = invalid(f"Invalid value: {made.authorized_network}", field=field)
        raise ApiError("INVALID_ARGUMENT", words, details=error.details)
    made.authorized_network = network_named(cloud, made.authorized_network, field)


def _replicas(made: Any) -> bool:
    return made.read_replicas_mode == Instance.ReadReplicasMode.READ_REPLICAS_ENABLED


def check(made: Any) -> None:
    """Pass an instance as it is to be, new or changed."""
    size = made.memory_size_gb
    if not 1 <= size <= _MOST_GB:
        raise bad("memory_size_gb", size, f"Must be between 1 and {_MOST_GB}.")
    if made.tier == Instance.Tier.BASIC:
        if _replicas(made):
            raise bad("read_replicas_mode", "READ_REPLICAS_ENABLED", "Not valid for basic tier.")
        if made.replica_count:
            raise bad("replica_count", made.replica_count, "Must be 0 for basic tier.")
    elif _replicas(made):
        if size < _REPLICAS_GB or _older(made.redis_version, "REDIS_5_0"):
            words = "Read replicas need at least 5 GB and Redis 5.0."
            raise bad("read_replicas_mode", "READ_REPLICAS_ENABLED", words)
        if not 1 <= made.replica_count <= 5:
            raise bad("replica_count", made.replica_count, "Must be between 1 and 5.")
    elif made.replica_count != 1:
        raise bad("replica_count", made.replica_count, "Must be 1 without read replicas.")
    for key, value in made.redis_configs.items():
        _config(made, key, value)
    windows = made.maintenance_policy.weekly_maintenance_window
    if len(made.maintenance_policy.description) > 512:
        raise bad("maintenance_policy.description", "…", "At most 512 characters.")
    if len(windows) > 1:
        raise bad("maintenance_policy.weekly_maintenance_window", len(windows), "At most one.")
    for window in windows:
        start = window.start_time
        if not window.day or not 0 <= start.hours <= 23:
            raise bad("maintenance_policy.weekly_maintenance_window", window.day)
        if start.minutes or start.seconds or start.nanos:
            field = "maintenance_policy.weekly_maintenance_window.start_time"
            raise bad(field, start.minutes, "Only hours can be set.")


def _config(made: Any, key: str, value: str) -> None:
    since = _CONFIGS.get(key)
    if since is None or _older(made.redis_version, since):
        raise bad("redis_configs", key, f"Not a parameter of {made.redis_version}.")
    if key == "maxmemory-policy" and value not in _POLICIES:
        raise bad("redis_configs", value, f"One of {', '.join(_POLICIES)}.")
    if key == "maxmemory-gb":
        try:
            fits = 0 < float(value) <= made.memory_size_gb
        except ValueError:
            fits = False
        if not fits:
            raise bad("redis_configs", value, "More than 0 and at most the instance's size.")


def _older(version: str, than: str) -> bool:
    return VERSIONS.index(version) < VERSIONS.index(than)


def settle(made: Any, now: Timestamp) -> None:
    """Fill in what the service itself says of persistence and maintenance."""
    config, modes = made.persistence_config, types.PersistenceConfig
    if config.persistence_mode == modes.PersistenceMode.RDB:
        day = modes.SnapshotPeriod.TWENTY_FOUR_HOURS
        config.rdb_snapshot_period = config.rdb_snapshot_period or day
        plain = types.PersistenceConfig.pb(config)
        if not plain.HasField("rdb_snapshot_start_time"):
            plain.rdb_snapshot_start_time.CopyFrom(now)
        period_s = {"ONE_HOUR": 3600, "SIX_HOURS": 21600, "TWELVE_HOURS": 43200}.get(
            modes.SnapshotPeriod(config.rdb_snapshot_period).name, 86400
        )
        start = plain.rdb_snapshot_start_time.seconds
        past = max(now.seconds - start, -1) // period_s + 1
        plain.rdb_next_snapshot_time.seconds = start + past * period_s
    else:
        made.persistence_config = modes(persistence_mode=modes.PersistenceMode.DISABLED)
    policy = made.maintenance_policy
    if policy.weekly_maintenance_window:
        plain = types.MaintenancePolicy.pb(policy)
        if not plain.HasField("create_time"):
            plain.create_time.CopyFrom(now)
        plain.update_time.CopyFrom(now)
        for window in plain.weekly_maintenance_window:
            window.duration.seconds = 3600
    elif "maintenance_policy" in made:
        Instance.pb(made).ClearField("maintenance_policy")


def check_change(before: Any, after: Any, paths: Iterable[str]) -> None:
    """Pass an update, which may change some fields only, and read replicas only by themselves."""
    names = {path.partition(".")[0] for path in paths}
    for name in sorted(names - CHANGEABLE):
        raise invalid(f"Field '{name}' cannot be updated.", field="update_mask")
    if before.read_replicas_mode != after.read_replicas_mode:
        if not _replicas(after):
            raise failed_precondition("Read replicas cannot be disabled once they are enabled.")
        if names - {"read_replicas_mode", "secondary_ip_range", "replica_count"}:
            raise invalid("Read replicas cannot be enabled together with other updates.",
                          field="update_mask")  # fmt: skip
        if not after.secondary_ip_range:
            raise bad("secondary_ip_range", "", "Required when read replicas are enabled.")
    check(after)


def check_upgrade(before: Any, version: str) -> None:
    """Pass a version that is newer than the instance's."""
    if version not in VERSIONS:
        raise invalid(f"Invalid value: {version}", field="redis_version")
    if not _older(before.redis_version, version):
        raise invalid(
            f"Invalid value: {version}. The instance has {before.redis_version} already; it can "
            "only be upgraded.",
            field="redis_version",
        )
