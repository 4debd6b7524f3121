"""What Managed Lustre refuses of an instance: rules of its documentation, words of the emulator."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any, Final

from google.cloud.lustre_v1.types import instance as types

from emulator.apis.compute.catalogue import region_of
from emulator.apis.compute.model import state_of
from emulator.apis.instances import network_named
from emulator.apis.lustre.model import DYNAMIC, TIERS
from emulator.context import Cloud
from emulator.wire.errors import ApiError, invalid

Instance = types.Instance
_FILESYSTEM: Final = re.compile(r"[A-Za-z0-9]{1,8}")
_RULE: Final = re.compile(r"[A-Za-z0-9_]{1,16}")
CHANGEABLE: Final = frozenset(
    {"capacity_gib", "description", "labels", "access_rules_options", "maintenance_policy"}
)
_OUTPUT: Final = ("state", "mount_point", "create_time", "update_time", "state_reason", "uid",
                  "upcoming_maintenance_schedule", "available_version",
                  "effective_version")  # fmt: skip
_NO_SQUASH: Final = types.AccessRulesOptions.SquashMode.NO_SQUASH


def bad(field: str, text: str) -> ApiError:
    """INVALID_ARGUMENT of one of the instance's fields."""
    return invalid(text, field=f"instance.{field}")


def drawn_up(cloud: Cloud, zone: str, asked: Any) -> Any:
    """The instance that a request describes, checked, without what the service gives to it."""
    made = Instance(asked)
    for name in _OUTPUT:
        Instance.pb(made).ClearField(name)
    if not _FILESYSTEM.fullmatch(made.filesystem):
        raise bad("filesystem", f"Invalid filesystem name '{made.filesystem}': eight letters and "
                                "digits at most.")  # fmt: skip
    made.network = network_named(cloud, made.network, "instance.network")
    if made.kms_key:
        raise ApiError("UNIMPLEMENTED", "The emulator has no customer-managed keys.")
    if made.target_version:
        raise ApiError("UNIMPLEMENTED", "The emulator knows no versions of Managed Lustre.")
    _check_tier(made)
    _check_policy(cloud, zone, made.placement_policy)
    check(made)
    return made


def _check_tier(made: Any) -> None:
    dynamic = made.dynamic_tier_options.mode == types.DynamicTierOptions.Mode.DEFAULT_CACHE
    given = made.per_unit_storage_throughput
    if dynamic and given:
        raise bad("per_unit_storage_throughput", "Must not be set with the Dynamic tier.")
    if not dynamic and (given not in TIERS or given == DYNAMIC):
        raise bad("per_unit_storage_throughput",
                  f"Invalid value: {given}. Must be one of 125, 250, 500, 1000.")  # fmt: skip


def _check_policy(cloud: Cloud, zone: str, given: str) -> None:
    if not given:
        return
    policies = state_of(cloud).of("resourcePolicies", f"regions/{region_of(zone)}")
    found = re.fullmatch(r"projects/[^/]+/locations/[^/]+/resourcePolicies/([^/]+)", given)
    if found is None or found[1] not in policies:
        raise bad("placement_policy", f"The placement policy '{given}' was not found.")


def check(made: Any) -> None:
    """Pass an instance as it is to be, new or changed."""
    per_tib = made.per_unit_storage_throughput or DYNAMIC
    tier, capacity = TIERS[per_tib], made.capacity_gib
    if not tier.holds(capacity):
        raise bad(
            "capacity_gib",
            f"Invalid capacity {capacity} GiB for {per_tib} MBps per TiB: between {tier.least} and "
            f"{tier.most}, in steps of {tier.step_at(capacity)}.",
        )
    if "access_rules_options" in made:
        _check_rules(made.access_rules_options)
    if "maintenance_policy" in made:
        _check_maintenance(made.maintenance_policy)


def _check_rules(options: Any) -> None:
    where, modes = "access_rules_options", types.AccessRulesOptions.SquashMode
    if not options.default_squash_mode:
        raise bad(f"{where}.default_squash_mode", "Must be set.")
    ids = options.default_squash_uid or options.default_squash_gid
    if options.default_squash_mode == _NO_SQUASH and ids:
        raise bad(f"{where}.default_squash_uid", "Must not be set with NO_SQUASH.")
    taken: list[Any] = []
    for index, rule in enumerate(options.access_rules):
        place = f"{where}.access_rules[{index}]"
        if not _RULE.fullmatch(rule.name):
            raise bad(f"{place}.name", f"Invalid name '{rule.name}'.")
        if rule.squash_mode != modes.NO_SQUASH:
            raise bad(f"{place}.squash_mode", "Must be NO_SQUASH within a rule.")
        if not rule.ip_address_ranges:
            raise bad(f"{place}.ip_address_ranges", "Must be set.")
        for text in rule.ip_address_ranges:
            try:
                block = ip_network(text)
            except ValueError as error:
                raise bad(f"{place}.ip_address_ranges", f"{error}.") from error
            if any(block.version == t.version and block.overlaps(t) for t in taken):
                raise bad(f"{place}.ip_address_ranges", f"{text} overlaps another range.")
            taken.append(block)


def _check_maintenance(policy: Any) -> None:
    where = "maintenance_policy.weekly_maintenance_windows"
    if len(policy.weekly_maintenance_windows) != 1:
        raise bad(where, "One window must be set.")
    (window,) = policy.weekly_maintenance_windows
    if not window.day_of_week or not 0 <= window.start_time.hours <= 23:
        raise bad(where, "A day of the week and a time of day must be set.")
    if len(policy.maintenance_exclusion_window) > 1:
        raise bad("maintenance_policy.maintenance_exclusion_window", "At most one.")


def check_change(before: Any, after: Any, paths: Iterable[str]) -> None:
    """Pass an update: capacities only grow, and the tier stays."""
    for path in sorted({p.partition(".")[0] for p in paths} - CHANGEABLE):
        raise invalid(f"Field '{path}' cannot be updated.", field="update_mask")
    tier = TIERS[before.per_unit_storage_throughput or DYNAMIC]
    most = tier.limit_of(before.capacity_gib)
    if after.capacity_gib < before.capacity_gib:
        raise bad("capacity_gib", "The capacity of an instance cannot be decreased.")
    if after.capacity_gib > most:
        raise bad("capacity_gib", f"This instance can only be expanded up to {most} GiB.")
    check(after)
