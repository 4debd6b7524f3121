"""The kinds of object that are served, and the columns in which `kubectl get` prints them.

How objects are made stands in nodes.py, workloads.py, pods.py and events.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Table; priority 1 is shown with `-o wide` only."""

    name: str
    type: str = "string"
    priority: int = 0
    format: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object.

    Attributes:
        group: API group; "" for core. plural: as in paths. short: other names that kubectl takes.
        fields: field selectors beside metadata.name and metadata.namespace.
    """

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool
    columns: tuple[Column, ...]
    short: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """ "v1", or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Plural with the group behind it, as errors name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_NAME: Final = Column("Name", format="name")
_AGE: Final = Column("Age")

NODES: Final = Kind(
    "", "v1", "nodes", "Node", False,
    (
        _NAME, Column("Status"), Column("Roles"), _AGE, Column("Version"),
        Column("Internal-IP", priority=1), Column("External-IP", priority=1),
        Column("OS-Image", priority=1), Column("Kernel-Version", priority=1),
        Column("Container-Runtime", priority=1),
    ),
    ("no",), ("spec.unschedulable",),
)  # fmt: skip
PODS: Final = Kind(
    "", "v1", "pods", "Pod", True,
    (
        _NAME, Column("Ready"), Column("Status"), Column("Restarts"), _AGE,
        Column("IP", priority=1), Column("Node", priority=1), Column("Nominated Node", priority=1),
        Column("Readiness Gates", priority=1),
    ),
    ("po",), ("spec.nodeName", "status.phase", "spec.restartPolicy"), ("all",),
)  # fmt: skip
NAMESPACES: Final = Kind(
    "", "v1", "namespaces", "Namespace", False,
    (_NAME, Column("Status"), _AGE), ("ns",), ("status.phase",),
)  # fmt: skip
SERVICES: Final = Kind(
    "", "v1", "services", "Service", True,
    (
        _NAME, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"),
        _AGE, Column("Selector", priority=1),
    ),
    ("svc",), ("spec.type", "spec.clusterIP"), ("all",),
)  # fmt: skip
EVENTS: Final = Kind(
    "", "v1", "events", "Event", True,
    (
        Column("Last Seen"), Column("Type"), Column("Reason"), Column("Object"),
        Column("Subobject", priority=1), Column("Source", priority=1), Column("Message"),
        Column("First Seen", priority=1), Column("Count", priority=1),
        Column("Name", priority=1, format="name"),
    ),
    ("ev",),
    (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
        "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.fieldPath",
        "reason", "type", "source", "reportingComponent",
    ),
)  # fmt: skip
NEW_EVENTS: Final = Kind(
    "events.k8s.io", "v1", "events", "Event", True, EVENTS.columns, ("ev",),
    ("regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "reason", "type"),
)  # fmt: skip
DEPLOYMENTS: Final = Kind(
    "apps", "v1", "deployments", "Deployment", True,
    (
        _NAME, Column("Ready"), Column("Up-to-date"), Column("Available"), _AGE,
        Column("Containers", priority=1), Column("Images", priority=1),
        Column("Selector", priority=1),
    ),
    ("deploy",), (), ("all",),
)  # fmt: skip
REPLICA_SETS: Final = Kind(
    "apps", "v1", "replicasets", "ReplicaSet", True,
    (
        _NAME, Column("Desired", "integer"), Column("Current", "integer"),
        Column("Ready", "integer"), _AGE, Column("Containers", priority=1),
        Column("Images", priority=1), Column("Selector", priority=1),
    ),
    ("rs",), ("status.replicas",), ("all",),
)  # fmt: skip
LEADER_WORKER_SETS: Final = Kind(
    "leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet", True,
    (_NAME, _AGE), ("lws",),
)  # fmt: skip

KINDS: Final = (
    NODES, PODS, NAMESPACES, SERVICES, EVENTS,
    DEPLOYMENTS, REPLICA_SETS, NEW_EVENTS, LEADER_WORKER_SETS,
)  # fmt: skip


def find_kind(group: str, version: str, plural: str) -> Kind | None:
    """The kind served there; None when there is none."""
    for kind in KINDS:
        if (kind.group, kind.version, kind.plural) == (group, version, plural):
            return kind
    return None
