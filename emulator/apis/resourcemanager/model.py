"""The project as Resource Manager knows it: its name, labels and place below an organisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.context import Cloud
from emulator.wire.etags import etag_of

ORGANISATION: Final = "738291046512"
UPDATE_S: Final = 5.0


@dataclass
class ProjectState:
    """What of the project can be changed."""

    display_name: str
    labels: dict[str, str] = field(default_factory=dict)
    updated_at: float = 0.0
    revision: int = 0

    @property
    def etag(self) -> str:
        """Changes with every update."""
        return etag_of(self.display_name, sorted(self.labels.items()), self.revision)

    def put(self, cloud: Cloud, display_name: str, labels: Mapping[str, str]) -> None:
        """Change name and labels."""
        self.display_name, self.labels = display_name, dict(labels)
        self.updated_at = cloud.clock.now()
        self.revision += 1
        cloud.changed("project.updated", f"projects/{cloud.project.id}", "")


def project_state(cloud: Cloud) -> ProjectState:
    """The one instance."""
    return cloud.store(
        ProjectState,
        lambda: ProjectState("Heartwood demo", {"product": "heartwood"}, cloud.clock.epoch()),
    )


def policy_resource(cloud: Cloud) -> str:
    """The name under which the project's policy is kept."""
    return f"projects/{cloud.project.id}"


def searchable(cloud: Cloud, state: ProjectState) -> Mapping[str, Any]:
    """The project under the names that filters and queries of both versions use."""
    own = cloud.project
    return {
        "id": own.id,
        "projectId": own.id,
        "projectNumber": own.number,
        "name": state.display_name,
        "displayName": state.display_name,
        "state": "ACTIVE",
        "lifecycleState": "ACTIVE",
        "labels": state.labels,
        "parent": _Parent({"type": "organization", "id": ORGANISATION}),
    }


class _Parent(dict[str, str]):
    """`parent.type` and `parent.id` are fields, and `parent:organizations/1` is one value."""

    def __str__(self) -> str:
        return f"{self['type']}s/{self['id']}"

    def __contains__(self, key: object) -> bool:
        return key == str(self) or super().__contains__(key)
