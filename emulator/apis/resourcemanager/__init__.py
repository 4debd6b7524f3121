"""Resource Manager: the project and its policy; v3 as the client library has it, v1 for gcloud."""

from __future__ import annotations

from emulator.apis.resourcemanager.api import Projects
from emulator.apis.resourcemanager.v1 import ProjectsV1
from emulator.context import Cloud
from emulator.wire.mount import Mount, RouterMount

PREFIX = "/cloudresourcemanager"


def build(cloud: Cloud) -> list[Mount | RouterMount]:
    """Mount both versions."""
    package = "google.cloud.resourcemanager_v3.services.projects"
    projects = Projects(cloud)
    return [
        Mount(PREFIX, f"{package}.transports", projects),
        RouterMount(
            f"{PREFIX}/v1", ProjectsV1(cloud, projects).app(), "cloudresourcemanager.googleapis.com"
        ),
    ]
