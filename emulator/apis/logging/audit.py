"""Changes of the project as audit log entries: cloudaudit.googleapis.com/activity."""

from __future__ import annotations

from typing import Any, Final

from google.api.monitored_resource_pb2 import MonitoredResource
from google.cloud.audit import audit_log_pb2
from google.cloud.logging_v2.types import log_entry
from google.logging.type.log_severity_pb2 import LogSeverity
from google.protobuf import any_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.context import Cloud
from emulator.log import Change

LOG_ID: Final = "cloudaudit.googleapis.com%2Factivity"
# First word of a change's kind → service, type of the monitored resource.
_KINDS: Final = {
    "artifactregistry": ("artifactregistry.googleapis.com", "audited_resource"),
    "budget": ("billingbudgets.googleapis.com", "audited_resource"),
    "compute": ("compute.googleapis.com", "audited_resource"),
    "gke": ("container.googleapis.com", "gke_cluster"),
    "iam": ("iam.googleapis.com", "audited_resource"),
    "logging": ("logging.googleapis.com", "audited_resource"),
    "lustre": ("lustre.googleapis.com", "audited_resource"),
    "monitoring": ("monitoring.googleapis.com", "audited_resource"),
    "project": ("cloudresourcemanager.googleapis.com", "audited_resource"),
    "pubsub": ("pubsub.googleapis.com", "audited_resource"),
    "quota": ("cloudquotas.googleapis.com", "audited_resource"),
    "recommender": ("recommender.googleapis.com", "audited_resource"),
    "redis": ("redis.googleapis.com", "audited_resource"),
    "service": ("serviceusage.googleapis.com", "audited_resource"),
    "storage": ("storage.googleapis.com", "gcs_bucket"),
    "tpu": ("tpu.googleapis.com", "audited_resource"),
    "vertex": ("aiplatform.googleapis.com", "audited_resource"),
}


def audit_entry(cloud: Cloud, number: int, change: Change) -> Any:
    """The entry of a change, `number` being its place in the log of changes."""
    service, kind = _KINDS.get(change.kind.split(".")[0], ("", "audited_resource"))
    payload = any_pb2.Any()
    payload.Pack(
        audit_log_pb2.AuditLog(
            service_name=service,
            method_name=change.kind,
            resource_name=change.resource,
            authentication_info=audit_log_pb2.AuthenticationInfo(
                principal_email="owner@heartwood.example"
            ),
        )
    )
    stamp = Timestamp()
    stamp.FromNanoseconds(int(change.at * 1e9))
    labels = {"project_id": cloud.project.id}
    if kind == "audited_resource":
        labels |= {"service": service, "method": change.kind}
    if kind == "gke_cluster":
        parts = dict(zip(change.resource.split("/")[::2], change.resource.split("/")[1::2],
                         strict=False))  # fmt: skip
        labels |= {
            "cluster_name": parts.get("clusters", ""), "location": parts.get("locations", ""),
        }  # fmt: skip
    return log_entry.LogEntry(
        log_name=f"projects/{cloud.project.id}/logs/{LOG_ID}",
        resource=MonitoredResource(type=kind, labels=labels),
        proto_payload=payload,
        severity=LogSeverity.NOTICE,
        insert_id=f"change{number}",
        timestamp=stamp,
        receive_timestamp=stamp,
        labels={"heartwood-tier": change.tier} if change.tier else {},
    )
