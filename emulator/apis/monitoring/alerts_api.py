"""The alerts that policies opened: google.monitoring.v3.AlertService, over REST.

The installed library has no client of it: messages and rules follow the discovery document
monitoring.v3 (projects.alerts), and a test validates answers against it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import proto
from google.api import metric_pb2, monitored_resource_pb2
from google.cloud.monitoring_v3.types import alert
from google.protobuf import struct_pb2, timestamp_pb2

from emulator.apis.monitoring.filters import metric_type
from emulator.apis.monitoring.incidents import Incident, Incidents
from emulator.apis.monitoring.listing import paged, select
from emulator.apis.monitoring.model import SERVICE, canonical, project_of, stamp
from emulator.apis.monitoring.query import TYPE
from emulator.apis.monitoring.series import parse
from emulator.apis.monitoring.slo_selectors import is_selector
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError
from emulator.wire.library import HttpRule, Method
from emulator.wire.mount import Mount

# A package of our own: a later library may register Google's.
__protobuf__ = proto.module(
    package="heartwood.monitoring",
    manifest={
        "PolicySnapshot", "Alert", "ListAlertsRequest", "ListAlertsResponse", "GetAlertRequest",
    },
)  # fmt: skip


class PolicySnapshot(proto.Message):
    """The policy when it opened the alert."""

    name: str = proto.Field(proto.STRING, number=1)
    display_name: str = proto.Field(proto.STRING, number=2)
    user_labels: Any = proto.MapField(proto.STRING, proto.STRING, number=3)
    severity: Any = proto.Field(proto.ENUM, number=4, enum=alert.AlertPolicy.Severity)


class Alert(proto.Message):
    """One alert."""

    class State(proto.Enum):
        """Whether it still runs."""

        STATE_UNSPECIFIED = 0
        OPEN = 1
        CLOSED = 2

    name: str = proto.Field(proto.STRING, number=1)
    state: Any = proto.Field(proto.ENUM, number=2, enum=State)
    open_time: Any = proto.Field(proto.MESSAGE, number=3, message=timestamp_pb2.Timestamp)
    close_time: Any = proto.Field(proto.MESSAGE, number=4, message=timestamp_pb2.Timestamp)
    resource: Any = proto.Field(
        proto.MESSAGE, number=5, message=monitored_resource_pb2.MonitoredResource
    )
    metadata: Any = proto.Field(
        proto.MESSAGE, number=6, message=monitored_resource_pb2.MonitoredResourceMetadata
    )
    metric: Any = proto.Field(proto.MESSAGE, number=7, message=metric_pb2.Metric)
    policy: Any = proto.Field(proto.MESSAGE, number=8, message=PolicySnapshot)


class ListAlertsRequest(proto.Message):
    """What projects.alerts.list takes."""

    parent: str = proto.Field(proto.STRING, number=1)
    filter: str = proto.Field(proto.STRING, number=2)
    order_by: str = proto.Field(proto.STRING, number=3)
    page_size: int = proto.Field(proto.INT32, number=4)
    page_token: str = proto.Field(proto.STRING, number=5)


class ListAlertsResponse(proto.Message):
    """What it answers."""

    alerts: Any = proto.RepeatedField(proto.MESSAGE, number=1, message=Alert)
    next_page_token: str = proto.Field(proto.STRING, number=2)
    total_size: int = proto.Field(proto.INT32, number=3)


class GetAlertRequest(proto.Message):
    """What projects.alerts.get takes."""

    name: str = proto.Field(proto.STRING, number=1)


def _method(
    name: str, rpc: str, uri: str, request: type[proto.Message], response: type[proto.Message]
) -> Method:
    rules = (HttpRule("GET", uri),)
    return Method("google.monitoring.v3.AlertService", name, rpc, "", request, response, rules,
                  SERVICE)  # fmt: skip


METHODS: Final = (
    _method("list_alerts", "ListAlerts", "/v3/{parent=projects/*}/alerts", ListAlertsRequest,
            ListAlertsResponse),
    _method("get_alert", "GetAlert", "/v3/{name=projects/*/alerts/*}", GetAlertRequest, Alert),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlertsMount(Mount):
    """A service that no installed library describes."""

    def methods(self) -> tuple[Method, ...]:
        return METHODS


class Alerts:
    """Reads of what the policies found."""

    def __init__(self, cloud: Cloud, incidents: Incidents) -> None:
        self._cloud = cloud
        self._incidents = incidents

    def list_alerts(self, request: Any, call: Call) -> Any:
        """Alerts that match a filter, the newest first unless asked otherwise."""
        project = project_of(self._cloud, request.parent, field="parent")
        every = [_message(project, i) for i in self._incidents.all()]
        every.sort(key=lambda a: a.name)
        found = select(every, request.filter, request.order_by or "open_time desc")
        items, token = paged(
            request, found, scope=f"alerts {request.filter} {request.order_by}", default=50
        )
        return ListAlertsResponse(alerts=items, next_page_token=token, total_size=len(found))

    def get_alert(self, request: Any, call: Call) -> Any:
        """One alert."""
        name = canonical(self._cloud, "projects/{project}/alerts/{alert}", request.name)
        project = name.split("/alerts/")[0]
        for incident in self._incidents.all():
            if _name(project, incident) == name:
                return _message(project, incident)
        raise ApiError("NOT_FOUND", f"Requested entity was not found: {request.name}")


def _name(project: str, found: Incident) -> str:
    """Follows from what the alert is about, so that every read names it alike."""
    index = found.test.index if found.test else -1
    about = repr((found.policy.name, index, found.key, found.start))
    number = int.from_bytes(hashlib.blake2s(about.encode(), digest_size=7).digest(), "big")
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return f"{project}/alerts/0.{digits}"


def _message(project: str, found: Incident) -> Alert:
    policy = found.policy
    message = Alert(
        name=_name(project, found),
        state=Alert.State.OPEN if found.end is None else Alert.State.CLOSED,
        open_time=stamp(found.start),
        policy=PolicySnapshot(
            name=policy.name, display_name=policy.display_name,
            user_labels=dict(policy.user_labels), severity=policy.severity,
        ),
    )  # fmt: skip
    plain: Any = Alert.pb(message)
    if found.end is not None:
        plain.close_time.CopyFrom(stamp(found.end))
    text = found.test.filter if found.test else ""
    if text and not is_selector(text):
        node = parse(text)
        plain.metric.type = metric_type(node)
        plain.resource.type = metric_type(node, "resource.type")
    system = struct_pb2.Struct()
    for name, value in found.key:
        group, label = name.split(".", 1)
        if name == TYPE:
            plain.resource.type = value
        elif group == "resource":
            plain.resource.labels[label] = value
        elif group == "metric":
            plain.metric.labels[label] = value
        elif group == "user":
            plain.metadata.user_labels[label] = value
        else:
            system.fields[label].string_value = value
    if system.fields:
        plain.metadata.system_labels.CopyFrom(system)
    return message
