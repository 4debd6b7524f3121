"""What a person can do about a refusal: which role to grant, which API to enable.

Roles are those of Google's predefined list that a viewer of this console needs; for what changes
something a custom role with that one permission is proposed, since the predefined ones grant far
more (resizing a GKE pool needs `container.clusters.update` alone).
"""

from __future__ import annotations

import re
from typing import Final

_VIEWER_ROLES: Final = {
    "tpu": "roles/tpu.viewer",
    "container": "roles/container.viewer",
    "aiplatform": "roles/aiplatform.viewer",
    "compute": "roles/compute.viewer",
    "monitoring": "roles/monitoring.viewer",
    "logging": "roles/logging.viewer",
    "redis": "roles/redis.viewer",
    "lustre": "roles/lustre.viewer",
    "cloudquotas": "roles/cloudquotas.viewer",
    "pubsub": "roles/pubsub.viewer",
    "recommender": "roles/recommender.viewer",
    "billing": "roles/billing.viewer",
    "bigquery": "roles/bigquery.dataViewer",
}
_PERMISSION: Final = re.compile(r"\b([a-z]+\.[A-Za-z]+\.[A-Za-z]+)\b(?!\.(?:com|org))")
_SERVICE: Final = re.compile(r"\b([a-z0-9-]+\.googleapis\.com)\b")
_READING_VERBS: Final = ("get", "list", "query", "search", "fetch", "read")


def grant_hint(permission: str, message: str, project: str) -> str:
    """How to get the missing permission (from ErrorInfo, else as found in the message)."""
    if not permission:
        match = _PERMISSION.search(message)
        permission = match.group(1) if match else ""
    if not permission:
        return "Ask an administrator of the project which role the console's identity lacks."
    where = project or "PROJECT"
    if permission == "bigquery.jobs.create":
        role = "roles/bigquery.jobUser"
    elif permission.rsplit(".", 1)[-1].startswith(_READING_VERBS):
        role = _VIEWER_ROLES.get(permission.split(".", 1)[0], "")
    else:
        role = ""
    if permission.startswith("billing."):
        return (
            f"Missing permission {permission}. Grant {role or 'roles/billing.costsManager'} on the "
            "billing account: gcloud billing accounts add-iam-policy-binding ACCOUNT_ID "
            f"--member=MEMBER --role={role or 'roles/billing.costsManager'}"
        )
    if role:
        return (
            f"Missing permission {permission}. Grant it with: gcloud projects "
            f"add-iam-policy-binding {where} --member=MEMBER --role={role}"
        )
    return (
        f"Missing permission {permission}. Put it into a custom role: gcloud iam roles create "
        f"heartwoodOperator --project={where} --permissions={permission}; then gcloud projects "
        f"add-iam-policy-binding {where} --member=MEMBER "
        f"--role=projects/{where}/roles/heartwoodOperator"
    )


def service_disabled_hint(service: str, message: str, project: str) -> str:
    """Which API to enable, from ErrorInfo's metadata or the message."""
    if not service:
        match = _SERVICE.search(message)
        service = match.group(1) if match else "SERVICE"
    return f"Enable the API: gcloud services enable {service} --project={project or 'PROJECT'}"


def kubernetes_hint(message: str) -> str:
    """Which Kubernetes access is lacking, after 'User "x" cannot list resource "nodes" …'."""
    match = re.search(
        r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<kind>[^"]*)"', message
    )
    grant = "gcloud projects add-iam-policy-binding PROJECT --member=MEMBER --role="
    if match is None:
        return f"Grant roles/container.viewer on the project: {grant}roles/container.viewer"
    user, verb, kind = match["user"] or "USER", match["verb"], match["kind"]
    if verb not in ("get", "list", "watch"):
        return f"{user} may not {verb} {kind}. A role in the cluster with that verb is needed."
    return (
        f"{user} may not {verb} {kind}. Grant it with: {grant}roles/container.viewer "
        "(Kubernetes' own role `view` holds neither nodes nor custom resources)"
    )
