"""Artifact Registry v1: repositories, and the Docker images that the project's servers run.

Nothing can be pushed or pulled: the registry's own protocol (OCI) is not served.
"""

from __future__ import annotations

from emulator.apis.artifactregistry.api import ArtifactRegistry
from emulator.context import Cloud
from emulator.wire.library import HttpRule
from emulator.wire.mount import Mount

# gcloud calls these under an older version.
_PARENT = "projects/*/locations/*"
_GCLOUD = {
    "list_locations": (HttpRule("GET", "/v1beta2/{name=projects/*}/locations"),),
    "create_repository": (
        HttpRule("POST", f"/v1beta2/{{parent={_PARENT}}}/repositories", "repository"),
    ),
    "get_repository": (HttpRule("GET", f"/v1beta2/{{name={_PARENT}/repositories/*}}"),),
    "get_operation": (HttpRule("GET", f"/v1beta2/{{name={_PARENT}/operations/*}}"),),
}


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    package = "google.cloud.artifactregistry_v1.services.artifact_registry"
    handler = ArtifactRegistry(cloud)
    return [Mount("/artifactregistry", f"{package}.transports", handler, extra_rules=_GCLOUD)]
