"""HTTP rules of Monitoring's methods, whose library has no REST transport.

Each is a method of Google's discovery document monitoring.v3; a test holds this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emulator.wire.library import HttpRule

Rules = Mapping[str, tuple[HttpRule, ...]]


def _rule(verb: str, uri: str, body: str = "") -> tuple[HttpRule, ...]:
    return (HttpRule(verb, f"/v3/{uri}", body),)


def _life_cycle(one: str, many: str, folder: str, field: str, parent: str = "name") -> Rules:
    """The five usual methods of a resource: create, get, list, update, delete."""
    name = f"projects/*/{folder}"
    return {
        f"create_{one}": _rule("POST", f"{{{parent}=projects/*}}/{folder}", field),
        f"list_{many}": _rule("GET", f"{{{parent}=projects/*}}/{folder}"),
        f"get_{one}": _rule("GET", f"{{name={name}/*}}"),
        f"update_{one}": _rule("PATCH", f"{{{field}.name={name}/*}}", field),
        f"delete_{one}": _rule("DELETE", f"{{name={name}/*}}"),
    }


METRICS: Final[Rules] = {
    "list_time_series": _rule("GET", "{name=projects/*}/timeSeries"),
    "create_time_series": _rule("POST", "{name=projects/*}/timeSeries", "*"),
    "list_metric_descriptors": _rule("GET", "{name=projects/*}/metricDescriptors"),
    "get_metric_descriptor": _rule("GET", "{name=projects/*/metricDescriptors/**}"),
    "create_metric_descriptor": _rule(
        "POST", "{name=projects/*}/metricDescriptors", "metric_descriptor"
    ),
    "delete_metric_descriptor": _rule("DELETE", "{name=projects/*/metricDescriptors/**}"),
    "list_monitored_resource_descriptors": _rule(
        "GET", "{name=projects/*}/monitoredResourceDescriptors"
    ),
    "get_monitored_resource_descriptor": _rule(
        "GET", "{name=projects/*/monitoredResourceDescriptors/**}"
    ),
}
POLICIES: Final = _life_cycle("alert_policy", "alert_policies", "alertPolicies", "alert_policy")
_CHANNEL: Final = "{name=projects/*/notificationChannels/*}"
CHANNELS: Final[Rules] = {
    **_life_cycle("notification_channel", "notification_channels", "notificationChannels",
                  "notification_channel"),
    "list_notification_channel_descriptors": _rule(
        "GET", "{name=projects/*}/notificationChannelDescriptors"),
    "get_notification_channel_descriptor": _rule(
        "GET", "{name=projects/*/notificationChannelDescriptors/*}"),
    "send_notification_channel_verification_code": _rule(
        "POST", f"{_CHANNEL}:sendVerificationCode", "*"),
    "get_notification_channel_verification_code": _rule(
        "POST", f"{_CHANNEL}:getVerificationCode", "*"),
    "verify_notification_channel": _rule("POST", f"{_CHANNEL}:verify", "*"),
}  # fmt: skip
_OBJECTIVE: Final = "services/*/serviceLevelObjectives"
SERVICES: Final[Rules] = {
    **_life_cycle("service", "services", "services", "service", "parent"),
    "create_service_level_objective": _rule(
        "POST", "{parent=projects/*/services/*}/serviceLevelObjectives", "service_level_objective"),
    "list_service_level_objectives": _rule(
        "GET", "{parent=projects/*/services/*}/serviceLevelObjectives"),
    "get_service_level_objective": _rule("GET", f"{{name=projects/*/{_OBJECTIVE}/*}}"),
    "update_service_level_objective": _rule(
        "PATCH", f"{{service_level_objective.name=projects/*/{_OBJECTIVE}/*}}",
        "service_level_objective"),
    "delete_service_level_objective": _rule("DELETE", f"{{name=projects/*/{_OBJECTIVE}/*}}"),
}  # fmt: skip

# Not served: a REST caller shall read so (501) as a gRPC caller does, instead of a bare 404.
NOT_SERVED: Final[Mapping[str, Rules]] = {
    "group": {
        name: rules
        for name, rules in _life_cycle("group", "groups", "groups", "group").items()
        if not name.startswith("update")
    },
    "query": {"query_time_series": _rule("POST", "{name=projects/*}/timeSeries:query", "*")},
    "snooze": {
        name: rules
        for name, rules in _life_cycle("snooze", "snoozes", "snoozes", "snooze", "parent").items()
        if not name.startswith("delete")
    },
    "uptime_check": _life_cycle("uptime_check_config", "uptime_check_configs",
                                "uptimeCheckConfigs", "uptime_check_config", "parent"),
}  # fmt: skip
