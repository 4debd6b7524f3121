"""Permissions and predefined roles, as far as a serving project meets them.

A role's permissions are patterns over the permissions below: Google's own roles hold more of them,
the ones here are theirs. Custom roles are the project's state and lie in model.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Final

from emulator.wire.errors import invalid

_CRUD: Final = "create delete get list update"
_POLICY: Final = "getIamPolicy setIamPolicy"

# service → resource → verbs.
_TABLE: Final[dict[str, dict[str, str]]] = {
    "aiplatform": {
        "endpoints": f"{_CRUD} deploy explain predict undeploy",
        "models": f"{_CRUD} upload", "operations": "list", "locations": "get list",
    },
    "artifactregistry": {
        "repositories": f"{_CRUD} downloadArtifacts uploadArtifacts {_POLICY}",
        "dockerimages": "get list", "packages": "delete get list", "tags": _CRUD,
        "versions": "delete get list",
    },
    "bigquery": {
        "datasets": f"create delete get update {_POLICY}", "jobs": "create get list update",
        "tables": f"{_CRUD} getData updateData export", "readsessions": "create getData update",
    },
    "billing": {
        "accounts": f"get list getSpendingInformation getPricing {_POLICY}", "budgets": _CRUD,
        "resourceCosts": "get", "resourceAssociations": "create delete list",
    },
    "cloudquotas": {"quotas": "get update"},
    "compute": {
        "acceleratorTypes": "get list", "addresses": f"{_CRUD} use",
        "backendServices": f"{_CRUD} setSecurityPolicy use {_POLICY}", "firewalls": _CRUD,
        "forwardingRules": _CRUD,
        "globalAddresses": "create delete get list setLabels use",
        "globalForwardingRules": f"{_CRUD} setLabels setTarget",
        "globalOperations": "delete get list", "healthChecks": f"{_CRUD} use useReadOnly",
        "instanceGroupManagers": f"{_CRUD} use", "instanceGroups": f"{_CRUD} use",
        "instanceTemplates": "create delete get list useReadOnly",
        "instances": f"{_CRUD} setMetadata start stop {_POLICY}",
        "machineTypes": "get list", "networkEndpointGroups":
            f"{_CRUD} attachNetworkEndpoints detachNetworkEndpoints use",
        "networks": f"{_CRUD} use updatePolicy", "projects": "get",
        "regionOperations": "delete get list", "regions": "get list",
        "reservations": f"{_CRUD} resize",
        "resourcePolicies": f"{_CRUD} use useReadOnly", "securityPolicies": f"{_CRUD} use",
        "sslCertificates": "create delete get list", "subnetworks":
            f"{_CRUD} expandIpCidrRange setPrivateIpGoogleAccess use",
        "targetHttpProxies": f"{_CRUD} setUrlMap use", "targetHttpsProxies":
            f"{_CRUD} setQuicOverride setSslCertificates setUrlMap use",
        "urlMaps": f"{_CRUD} invalidateCache use validate", "zoneOperations": "delete get list",
        "zones": "get list",
    },
    "container": {
        "clusters": f"{_CRUD} getCredentials", "operations": "get list", "nodes": "get list",
        "pods": f"{_CRUD} evict getLogs exec", "deployments": _CRUD, "statefulSets": _CRUD,
        "jobs": _CRUD, "services": _CRUD, "configMaps": _CRUD, "secrets": _CRUD,
        "persistentVolumeClaims": _CRUD, "events": _CRUD, "namespaces": _CRUD,
        "serviceAccounts": _CRUD, "storageClasses": _CRUD, "roles": _CRUD, "roleBindings": _CRUD,
        "thirdPartyObjects": _CRUD,
    },
    "iam": {
        "roles": f"{_CRUD} undelete",
        "serviceAccountKeys": "create delete get list",
        "serviceAccounts": f"{_CRUD} actAs disable enable getAccessToken getOpenIdToken "
                           f"implicitDelegation signBlob signJwt undelete {_POLICY}",
    },
    "logging": {
        "buckets": _CRUD, "logEntries": "create list", "logMetrics": _CRUD,
        "logs": "delete list", "privateLogEntries": "list", "sinks": _CRUD,
        "views": f"{_CRUD} access",
    },
    "lustre": {
        "instances": f"{_CRUD} importData exportData", "operations": "cancel delete get list",
    },
    "monitoring": {
        "alertPolicies": _CRUD, "alerts": "get list", "dashboards": _CRUD, "groups": _CRUD,
        "metricDescriptors": "create delete get list",
        "monitoredResourceDescriptors": "get list",
        "notificationChannelDescriptors": "get list", "notificationChannels":
            f"{_CRUD} getVerificationCode sendVerificationCode verify",
        "services": _CRUD, "slos": _CRUD, "timeSeries": "create list",
    },
    "pubsub": {
        "snapshots": f"{_CRUD} seek {_POLICY}",
        "subscriptions": f"{_CRUD} consume {_POLICY}",
        "topics": f"{_CRUD} attachSubscription detachSubscription publish {_POLICY}",
    },
    "parallelstore": {"instances": _CRUD, "operations": "cancel delete get list"},
    "recommender": {
        f"{what}{told}": "get list update"
        for what in ("computeAddressIdleResource", "computeDiskIdleResource", "containerDiagnosis",
                     "computeImageIdleResource", "computeInstanceIdleResource")
        for told in ("Insights", "Recommendations")
    },
    "redis": {
        "instances": f"{_CRUD} failover getAuthString upgrade",
        "operations": "cancel delete get list",
    },
    "resourcemanager": {"projects": f"get list update {_POLICY}"},
    "serviceusage": {"services": "disable enable get list use", "quotas": "get update"},
    "storage": {
        "buckets": f"{_CRUD} {_POLICY}", "objects": f"{_CRUD} {_POLICY}",
        "multipartUploads": "abort create list listParts",
    },
    "tpu": {
        "acceleratortypes": "get list", "locations": "get list",
        "nodes": f"{_CRUD} reset start stop", "operations": "get list",
        "runtimeversions": "get list",
    },
}  # fmt: skip

PERMISSIONS: Final = tuple(
    sorted(
        f"{service}.{resource}.{verb}"
        for service, resources in _TABLE.items()
        for resource, verbs in resources.items()
        for verb in verbs.split()
    )
)
# Google refuses these in custom roles of a project.
NOT_IN_CUSTOM_ROLES: Final = frozenset(
    {"resourcemanager.projects.list", "billing.accounts.get", "billing.accounts.list"}
)
_SHAPE: Final = re.compile(r"([a-z]+)\.([A-Za-z]+)\.([A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class Predefined:
    """A role of Google's."""

    name: str
    title: str
    permissions: tuple[str, ...]
    stage: str = "GA"
    patterns: tuple[str, ...] = ()


_READ: Final = ("get", "list")


def _all(*services: str) -> tuple[str, ...]:
    return tuple(f"{s}.*" for s in services)


def _read(*services: str) -> tuple[str, ...]:
    return tuple(f"{s}.*.{v}" for s in services for v in _READ)


_PROJECT: Final = ("resourcemanager.projects.get",)
# role → (title, patterns of its permissions)
_ROLES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "owner": ("Owner", ("*",)),
    "editor": ("Editor", _all(*(s for s in _TABLE if s not in ("iam", "billing")))),
    "viewer": ("Viewer", _read(*_TABLE)),
    "browser": ("Browser", (*_PROJECT, "resourcemanager.projects.getIamPolicy")),
    "aiplatform.admin": ("Vertex AI Administrator", (*_all("aiplatform"), *_PROJECT)),
    "aiplatform.user": ("Vertex AI User", (*_all("aiplatform"), *_PROJECT)),
    "aiplatform.viewer": ("Vertex AI Viewer", (*_read("aiplatform"), *_PROJECT)),
    "artifactregistry.reader": ("Artifact Registry Reader", (
        *_read("artifactregistry"), "artifactregistry.repositories.downloadArtifacts")),
    "artifactregistry.writer": ("Artifact Registry Writer", (
        *_read("artifactregistry"), "artifactregistry.repositories.*Artifacts")),
    "bigquery.admin": ("BigQuery Admin", _all("bigquery")),
    "bigquery.dataEditor": ("BigQuery Data Editor", (
        "bigquery.datasets.*", "bigquery.tables.*")),
    "bigquery.dataViewer": ("BigQuery Data Viewer", (
        "bigquery.datasets.get", *_read("bigquery"), "bigquery.tables.getData",
        "bigquery.tables.export")),
    "bigquery.jobUser": ("BigQuery Job User", ("bigquery.jobs.create", *_PROJECT)),
    "bigquery.user": ("BigQuery User", ("bigquery.jobs.*", "bigquery.datasets.get", *_PROJECT)),
    "billing.costsManager": ("Billing Account Costs Manager", (
        "billing.accounts.get*", "billing.accounts.list", "billing.budgets.*",
        "billing.resourceAssociations.list", "billing.resourceCosts.get")),
    "billing.viewer": ("Billing Account Viewer", ("billing.*.get*", "billing.*.list")),
    "cloudquotas.admin": ("Quota Administrator", (*_all("cloudquotas"), *_PROJECT)),
    "cloudquotas.viewer": ("Quota Viewer", (*_read("cloudquotas"), *_PROJECT)),
    "compute.admin": ("Compute Admin", (*_all("compute"), *_PROJECT)),
    "compute.instanceAdmin.v1": ("Compute Instance Admin (v1)", (
        "compute.instance*", "compute.resourcePolicies.*", *_read("compute"), *_PROJECT)),
    "compute.loadBalancerAdmin": ("Compute Load Balancer Admin", (
        *(f"compute.{r}.*" for r in (
            "addresses", "backendServices", "forwardingRules", "globalAddresses",
            "globalForwardingRules", "healthChecks", "networkEndpointGroups", "securityPolicies",
            "sslCertificates", "targetHttpProxies", "targetHttpsProxies", "urlMaps")),
        "compute.networks.use", "compute.subnetworks.use", *_PROJECT)),
    "compute.networkAdmin": ("Compute Network Admin", (
        "compute.networks.*", "compute.subnetworks.*", "compute.*ddresses.*",
        "compute.*orwardingRules.*", "compute.backendServices.*", "compute.healthChecks.*",
        "compute.urlMaps.*", "compute.target*", *_PROJECT)),
    "compute.securityAdmin": ("Compute Security Admin", (
        "compute.firewalls.*", "compute.sslCertificates.*", "compute.securityPolicies.*")),
    "compute.viewer": ("Compute Viewer", (*_read("compute"), *_PROJECT)),
    "container.admin": ("Kubernetes Engine Admin", (*_all("container"), *_PROJECT)),
    "container.clusterAdmin": ("Kubernetes Engine Cluster Admin", (
        "container.clusters.*", "container.operations.*", *_PROJECT)),
    "container.clusterViewer": ("Kubernetes Engine Cluster Viewer", (
        "container.clusters.get", "container.clusters.list", *_PROJECT)),
    "container.defaultNodeServiceAccount": ("Kubernetes Engine Default Node Service Account", (
        "monitoring.timeSeries.create", "logging.logEntries.create", *_read("monitoring"))),
    "container.developer": ("Kubernetes Engine Developer", (
        *(f"container.{r}.*" for r in (
            "pods", "deployments", "statefulSets", "jobs", "services", "configMaps", "secrets",
            "persistentVolumeClaims", "events", "thirdPartyObjects")),
        "container.clusters.get", "container.clusters.list", *_PROJECT)),
    "container.serviceAgent": ("Kubernetes Engine Service Agent", _all("container", "compute")),
    "container.viewer": ("Kubernetes Engine Viewer", (*_read("container"), *_PROJECT)),
    "iam.roleAdmin": ("Role Administrator", ("iam.roles.*", *_PROJECT)),
    "iam.serviceAccountAdmin": ("Service Account Admin", (
        *(f"iam.serviceAccounts.{v}" for v in (
            "create", "delete", "disable", "enable", "get", "getIamPolicy", "list", "setIamPolicy",
            "undelete", "update")), *_PROJECT)),
    "iam.serviceAccountTokenCreator": ("Service Account Token Creator", tuple(
        f"iam.serviceAccounts.{v}" for v in (
            "get", "getAccessToken", "getOpenIdToken", "implicitDelegation", "list", "signBlob",
            "signJwt"))),
    "iam.serviceAccountUser": ("Service Account User", (
        "iam.serviceAccounts.actAs", "iam.serviceAccounts.get", "iam.serviceAccounts.list",
        *_PROJECT)),
    "iam.workloadIdentityUser": ("Workload Identity User", (
        "iam.serviceAccounts.get", "iam.serviceAccounts.getAccessToken",
        "iam.serviceAccounts.getOpenIdToken", "iam.serviceAccounts.list")),
    "logging.admin": ("Logging Admin", (*_all("logging"), *_PROJECT)),
    "logging.configWriter": ("Logs Configuration Writer", (
        "logging.buckets.*", "logging.logMetrics.*", "logging.sinks.*", "logging.views.*",
        *_PROJECT)),
    "logging.logWriter": ("Logs Writer", ("logging.logEntries.create",)),
    "logging.viewer": ("Logs Viewer", (
        "logging.buckets.get", "logging.buckets.list", "logging.logEntries.list",
        "logging.logMetrics.get", "logging.logMetrics.list", "logging.logs.list",
        "logging.sinks.get", "logging.sinks.list", "logging.views.access", *_PROJECT)),
    "lustre.admin": ("Managed Lustre Admin", (*_all("lustre"), *_PROJECT)),
    "lustre.viewer": ("Managed Lustre Viewer", (*_read("lustre"), *_PROJECT)),
    "monitoring.admin": ("Monitoring Admin", (*_all("monitoring"), *_PROJECT)),
    "monitoring.alertPolicyEditor": ("Monitoring AlertPolicy Editor", (
        "monitoring.alertPolicies.*",)),
    "monitoring.dashboardEditor": ("Monitoring Dashboard Configuration Editor", (
        "monitoring.dashboards.*",)),
    "monitoring.editor": ("Monitoring Editor", (*_all("monitoring"), *_PROJECT)),
    "monitoring.metricWriter": ("Monitoring Metric Writer", (
        "monitoring.metricDescriptors.*", "monitoring.monitoredResourceDescriptors.*",
        "monitoring.timeSeries.create")),
    "monitoring.viewer": ("Monitoring Viewer", (*_read("monitoring"), *_PROJECT)),
    "pubsub.admin": ("Pub/Sub Admin", (*_all("pubsub"), *_PROJECT)),
    "pubsub.publisher": ("Pub/Sub Publisher", ("pubsub.topics.publish",)),
    "pubsub.subscriber": ("Pub/Sub Subscriber", (
        "pubsub.snapshots.seek", "pubsub.subscriptions.consume",
        "pubsub.topics.attachSubscription")),
    "pubsub.viewer": ("Pub/Sub Viewer", (*_read("pubsub"), *_PROJECT)),
    "parallelstore.admin": ("Parallelstore Admin", (*_all("parallelstore"), *_PROJECT)),
    "recommender.viewer": ("Recommender Viewer", (*_read("recommender"), *_PROJECT)),
    "redis.admin": ("Cloud Memorystore Redis Admin", (*_all("redis"), *_PROJECT)),
    "redis.viewer": ("Cloud Memorystore Redis Viewer", (*_read("redis"), *_PROJECT)),
    "resourcemanager.projectIamAdmin": ("Project IAM Admin", (
        "resourcemanager.projects.get", "resourcemanager.projects.*IamPolicy")),
    "serviceusage.serviceUsageAdmin": ("Service Usage Admin", (
        *_all("serviceusage"), *_PROJECT)),
    "serviceusage.serviceUsageConsumer": ("Service Usage Consumer", (
        *_read("serviceusage"), "serviceusage.services.use")),
    "storage.admin": ("Storage Admin", (*_all("storage"), *_PROJECT)),
    "storage.bucketViewer": ("Storage Bucket Viewer", (
        "storage.buckets.get", "storage.buckets.list")),
    "storage.objectAdmin": ("Storage Object Admin", (
        "storage.objects.*", "storage.multipartUploads.*", *_PROJECT)),
    "storage.objectCreator": ("Storage Object Creator", (
        "storage.objects.create", "storage.multipartUploads.*", *_PROJECT)),
    "storage.objectUser": ("Storage Object User", (
        "storage.objects.create", "storage.objects.delete", "storage.objects.get",
        "storage.objects.list", "storage.objects.update", "storage.multipartUploads.*")),
    "storage.objectViewer": ("Storage Object Viewer", (
        "storage.objects.get", "storage.objects.list", *_PROJECT)),
    "storage.legacyBucketOwner": ("Storage Legacy Bucket Owner", (
        "storage.buckets.get", "storage.buckets.*IamPolicy", "storage.buckets.update",
        "storage.objects.create", "storage.objects.delete", "storage.objects.list")),
    "storage.legacyBucketReader": ("Storage Legacy Bucket Reader", (
        "storage.buckets.get", "storage.objects.list")),
    "storage.legacyObjectOwner": ("Storage Legacy Object Owner", (
        "storage.objects.get", "storage.objects.update", "storage.objects.*IamPolicy")),
    "storage.legacyObjectReader": ("Storage Legacy Object Reader", ("storage.objects.get",)),
    "tpu.admin": ("TPU Admin", (*_all("tpu"), *_PROJECT)),
    "tpu.viewer": ("TPU Viewer", (*_read("tpu"), *_PROJECT)),
}  # fmt: skip


@cache
def predefined() -> dict[str, Predefined]:
    """Google's roles by name ("roles/container.admin"), in the names' order."""
    return {
        f"roles/{name}": Predefined(
            f"roles/{name}", title, _held(name, patterns), patterns=patterns
        )
        for name, (title, patterns) in sorted(_ROLES.items())
    }


def _held(role: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(p for p in expand(patterns) if not withheld(role, p))


def withheld(role: str, permission: str) -> bool:
    """Whether a role lacks a permission that its patterns name: editors share nothing."""
    return role.removeprefix("roles/") == "editor" and permission.endswith(".setIamPolicy")


def expand(patterns: Iterable[str]) -> tuple[str, ...]:
    """The permissions that any of the patterns names."""
    wanted = tuple(patterns)
    return tuple(p for p in PERMISSIONS if any(fnmatchcase(p, w) for w in wanted))


@cache
def resource_named(service: str, name: str) -> str:
    """A resource of the table in its own case ("statefulsets" → "statefulSets")."""
    known = {r.lower(): r for r in _TABLE.get(service, {})}
    if service == "container" and name.lower() not in known:
        return "thirdPartyObjects"
    return known.get(name.lower(), name)


def check_permissions(names: Iterable[str], *, service: str = "", custom: bool = False) -> None:
    """Pass permissions of services that are known; of one service alone where it is named.

    Raises:
        ApiError: INVALID_ARGUMENT: a wildcard, another form, a service that is not known, a verb
            that a known resource has not, or one that Google keeps out of custom roles.
    """
    for name in names:
        if not _exists(name) or (service and not name.startswith(f"{service}.")):
            raise invalid(f"Permission {name} is not valid for this resource.", field="permissions")
        if custom and name in NOT_IN_CUSTOM_ROLES:
            raise invalid(f"Permission {name} is not valid.", field="role.included_permissions")


def _exists(name: str) -> bool:
    """Whether Google has it; of a resource that the table leaves out nobody can tell: yes."""
    found = _SHAPE.fullmatch(name)
    if found is None or found[1] not in _TABLE:
        return False
    resources = _TABLE[found[1]]
    return found[2] not in resources or found[3] in resources[found[2]].split()
