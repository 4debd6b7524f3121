"""The kinds of object that are served, as one table, and a cluster's own copy of it with its CRDs.

How objects are made stands in nodes.py, workloads.py, pods.py and events.py; what a caller may
write in writes.py; how CRDs become kinds in custom.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

JsonObject = Mapping[str, Any]

READ: Final = ("get", "list", "watch")
ALL: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Table; priority 1 is shown with `-o wide` only.

    `path` is the JSON path of a CRD's own column; "" for kinds whose cells tables.py makes.
    """

    name: str
    type: str = "string"
    priority: int = 0
    format: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of object; equal to any other served at the same path, as after a CRD's update.

    Attributes:
        group: API group; "" for core. plural: as in paths. short: other names that kubectl takes.
        fields: field selectors beside metadata.name and metadata.namespace.
        verbs: what may be done. subresources: beside the object itself.
        model: the class of the Python client that describes it; "" for none.
        schema: OpenAPI of a custom resource.
        singular: in words; the lower-case name if "". list_name: name + "List" if "".
        scale: where a custom resource keeps its replicas.
        kept_as: the version that its objects are kept in; "" for its own (versions.py).
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
    verbs: tuple[str, ...] = ALL
    subresources: tuple[str, ...] = ()
    model: str = ""
    schema: JsonObject | None = None
    singular: str = ""
    list_name: str = ""
    scale: JsonObject | None = None
    kept_as: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and self._path == other._path

    def __hash__(self) -> int:
        return hash(self._path)

    @property
    def _path(self) -> tuple[str, str, str]:
        return self.group, self.version, self.plural

    @property
    def api_version(self) -> str:
        """ "v1", or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Plural with the group behind it, as errors name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        """What a list of them is called."""
        return self.list_name or f"{self.name}List"

    @property
    def singular_name(self) -> str:
        """What one of them is called in words."""
        return self.singular or self.name.lower()


def _columns(text: str) -> tuple[Column, ...]:
    """Columns from `Name|#Desired|*Images`: # is a number, * is shown with `-o wide` only."""
    found: list[Column] = []
    for part in text.split("|"):
        title = part.lstrip("*#")
        number = "integer" if "#" in part else "string"
        found.append(Column(title, number, int("*" in part), "name" if title == "Name" else ""))
    return tuple(found)


_STATUS: Final = ("status",)
_SCALED: Final = ("status", "scale")
_EVERY: Final = ("all",)
_EVENT_COLUMNS: Final = _columns(
    "Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*Count|*Name"
)
_WORKLOAD: Final = "*Containers|*Images|*Selector"

NODES: Final = Kind(
    "", "v1", "nodes", "Node", False,
    _columns(
        "Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version"
        "|*Container-Runtime"
    ),
    ("no",), ("spec.unschedulable",), (), ALL, _STATUS, "V1Node",
)  # fmt: skip
PODS: Final = Kind(
    "", "v1", "pods", "Pod", True,
    _columns("Name|Ready|Status|Restarts|Age|*IP|*Node|*Nominated Node|*Readiness Gates"),
    ("po",), ("spec.nodeName", "status.phase", "spec.restartPolicy", "spec.serviceAccountName",
              "status.podIP"), _EVERY,
    subresources=("status", "log", "binding", "eviction"), model="V1Pod",
)  # fmt: skip
NAMESPACES: Final = Kind(
    "", "v1", "namespaces", "Namespace", False, _columns("Name|Status|Age"), ("ns",),
    ("status.phase",), (), tuple(v for v in ALL if v != "deletecollection"),
    ("status", "finalize"), "V1Namespace",
)  # fmt: skip
SERVICES: Final = Kind(
    "", "v1", "services", "Service", True,
    _columns("Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector"),
    ("svc",), ("spec.type", "spec.clusterIP"), _EVERY, subresources=_STATUS, model="V1Service",
)  # fmt: skip
EVENTS: Final = Kind(
    "", "v1", "events", "Event", True, _EVENT_COLUMNS, ("ev",),
    (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
        "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.fieldPath",
        "reason", "type", "source", "reportingComponent",
    ),
    model="CoreV1Event",
)  # fmt: skip
NEW_EVENTS: Final = Kind(
    "events.k8s.io", "v1", "events", "Event", True, _EVENT_COLUMNS, ("ev",),
    ("regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "reason", "type"),
    (), READ, model="EventsV1Event",
)  # fmt: skip
ENDPOINTS: Final = Kind(
    "", "v1", "endpoints", "Endpoints", True, _columns("Name|Endpoints|Age"), ("ep",),
    model="V1Endpoints",
)  # fmt: skip
VOLUMES: Final = Kind(
    "", "v1", "persistentvolumes", "PersistentVolume", False,
    _columns(
        "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass"
        "|VolumeAttributesClass|Reason|Age|*VolumeMode"
    ),
    ("pv",), subresources=_STATUS, model="V1PersistentVolume",
)  # fmt: skip
CLAIMS: Final = Kind(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True,
    _columns(
        "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age"
        "|*VolumeMode"
    ),
    ("pvc",), subresources=_STATUS, model="V1PersistentVolumeClaim",
)  # fmt: skip
CONFIG_MAPS: Final = Kind(
    "", "v1", "configmaps", "ConfigMap", True, _columns("Name|#Data|Age"), ("cm",),
    model="V1ConfigMap",
)  # fmt: skip
SECRETS: Final = Kind(
    "", "v1", "secrets", "Secret", True, _columns("Name|Type|#Data|Age"), (), ("type",),
    model="V1Secret",
)  # fmt: skip
SERVICE_ACCOUNTS: Final = Kind(
    "", "v1", "serviceaccounts", "ServiceAccount", True, _columns("Name|#Secrets|Age"), ("sa",),
    subresources=("token",), model="V1ServiceAccount",
)  # fmt: skip
DEPLOYMENTS: Final = Kind(
    "apps", "v1", "deployments", "Deployment", True,
    _columns(f"Name|Ready|Up-to-date|Available|Age|{_WORKLOAD}"),
    ("deploy",), (), _EVERY, subresources=_SCALED, model="V1Deployment",
)  # fmt: skip
REPLICA_SETS: Final = Kind(
    "apps", "v1", "replicasets", "ReplicaSet", True,
    _columns(f"Name|#Desired|#Current|#Ready|Age|{_WORKLOAD}"),
    ("rs",), ("status.replicas",), _EVERY, subresources=_SCALED, model="V1ReplicaSet",
)  # fmt: skip
STATEFUL_SETS: Final = Kind(
    "apps", "v1", "statefulsets", "StatefulSet", True,
    _columns("Name|Ready|Age|*Containers|*Images"),
    ("sts",), (), _EVERY, subresources=_SCALED, model="V1StatefulSet",
)  # fmt: skip
JOBS: Final = Kind(
    "batch", "v1", "jobs", "Job", True,
    _columns(f"Name|Status|Completions|Duration|Age|{_WORKLOAD}"),
    (), ("status.successful",), _EVERY, subresources=_STATUS, model="V1Job",
)  # fmt: skip
AUTOSCALERS: Final = Kind(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True,
    _columns("Name|Reference|Targets|MinPods|MaxPods|#Replicas|Age"),
    ("hpa",), (), _EVERY, subresources=_STATUS, model="V2HorizontalPodAutoscaler",
)  # fmt: skip
OLD_AUTOSCALERS: Final = replace(
    AUTOSCALERS, version="v1", model="V1HorizontalPodAutoscaler", kept_as="v2"
)
STORAGE_CLASSES: Final = Kind(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", False,
    _columns("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age"),
    ("sc",), model="V1StorageClass",
)  # fmt: skip
ENDPOINT_SLICES: Final = Kind(
    "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True,
    _columns("Name|AddressType|Ports|Endpoints|Age"), model="V1EndpointSlice",
)  # fmt: skip
LEASES: Final = Kind(
    "coordination.k8s.io", "v1", "leases", "Lease", True, _columns("Name|Holder|Age"),
    model="V1Lease",
)  # fmt: skip
DISRUPTION_BUDGETS: Final = Kind(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True,
    _columns("Name|Min Available|Max Unavailable|#Allowed Disruptions|Age"),
    ("pdb",), subresources=_STATUS, model="V1PodDisruptionBudget",
)  # fmt: skip
ROLES: Final = Kind(
    "rbac.authorization.k8s.io", "v1", "roles", "Role", True, _columns("Name|Created At"),
    model="V1Role",
)  # fmt: skip
ROLE_BINDINGS: Final = Kind(
    "rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", True,
    _columns("Name|Role|Age"), model="V1RoleBinding",
)  # fmt: skip
CLUSTER_ROLES: Final = Kind(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False,
    _columns("Name|Created At"), model="V1ClusterRole",
)  # fmt: skip
CLUSTER_ROLE_BINDINGS: Final = Kind(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False,
    _columns("Name|Role|Age"), model="V1ClusterRoleBinding",
)  # fmt: skip
DEFINITIONS: Final = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False,
    _columns("Name|Created At"), ("crd", "crds"), (), ("api-extensions",), subresources=_STATUS,
    model="V1CustomResourceDefinition",
)  # fmt: skip
LEADER_WORKER_SETS: Final = Kind(
    "leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet", True,
    (
        Column("Name", format="name"),
        Column("Ready", "integer", path=".status.readyReplicas"),
        Column("Desired", "integer", path=".spec.replicas"),
        Column("Up-to-date", "integer", path=".status.updatedReplicas"),
        Column("Age", "date", path=".metadata.creationTimestamp"),
    ),
    ("lws",), subresources=_SCALED,
)  # fmt: skip
DATA_SOURCES: Final = Kind(
    "datalayer.gke.io", "v1", "gcpdatasources", "GCPDataSource", True,
    (
        Column("Name", format="name"),
        Column("Age", "date", path=".metadata.creationTimestamp"),
    ),
    ("gcpds",), subresources=_STATUS,
)  # fmt: skip
# Asked and answered at once; nothing is kept of them.
REVIEWS: Final = tuple(
    Kind(group, "v1", f"{name.lower()}s", name, name.startswith("Local"), (),
         verbs=("create",), model=f"V1{name}")
    for group, name in (
        ("authorization.k8s.io", "SelfSubjectAccessReview"),
        ("authorization.k8s.io", "SelfSubjectRulesReview"),
        ("authorization.k8s.io", "SubjectAccessReview"),
        ("authorization.k8s.io", "LocalSubjectAccessReview"),
        ("authentication.k8s.io", "SelfSubjectReview"),
    )
)  # fmt: skip

KINDS: Final = (
    NODES, PODS, NAMESPACES, SERVICES, EVENTS, ENDPOINTS, VOLUMES, CLAIMS, CONFIG_MAPS, SECRETS,
    SERVICE_ACCOUNTS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, JOBS, AUTOSCALERS,
    OLD_AUTOSCALERS,
    STORAGE_CLASSES, ENDPOINT_SLICES, LEASES, DISRUPTION_BUDGETS, ROLES, ROLE_BINDINGS,
    CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, DEFINITIONS, NEW_EVENTS, LEADER_WORKER_SETS,
    DATA_SOURCES, *REVIEWS,
)  # fmt: skip


class Kinds:
    """The kinds of one cluster: all of the table, and those that its CRDs define."""

    def __init__(self) -> None:
        self._custom: dict[str, tuple[Kind, ...]] = {}  # by the CRD's name
        self.version = 0
        self._named: dict[tuple[str, str], Kind] = {}
        self._index()

    def __iter__(self) -> Iterator[Kind]:
        yield from KINDS
        for kinds in list(self._custom.values()):
            yield from kinds

    def define(self, definition: str, kinds: tuple[Kind, ...]) -> None:
        """Serve what a CRD defines; none ends that."""
        self._custom = {name: k for name, k in self._custom.items() if name != definition}
        if kinds:
            self._custom[definition] = kinds
        self.version += 1
        self._index()

    def _index(self) -> None:
        """By apiVersion and kind; Kubernetes' own before those of CRDs."""
        self._named = {(k.api_version, k.name): k for k in reversed(list(self))}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind served at that path; None when there is none."""
        for kind in self:
            if (kind.group, kind.version, kind.plural) == (group, version, plural):
                return kind
        return None

    def of(self, api_version: str, name: str) -> Kind | None:
        """The kind that objects of an apiVersion and kind are kept as."""
        found = self._named.get((api_version, name))
        return self.kept(found) if found else None

    def kept(self, kind: Kind) -> Kind:
        """The kind in the version that its objects are kept in."""
        found = self.find(kind.group, kind.kept_as, kind.plural) if kind.kept_as else None
        return found or kind

    def named(self, name: str) -> Kind | None:
        """The first kind of that name: Kubernetes' own before those of CRDs."""
        return next((kind for kind in self if kind.name == name), None)
