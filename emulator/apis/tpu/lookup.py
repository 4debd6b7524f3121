"""Names of the Cloud TPU API's requests and what they mean."""

from __future__ import annotations

from typing import Final

from emulator.apis.tpu import model
from emulator.context import Cloud
from emulator.wire.errors import not_found
from emulator.wire.longrunning import LongRunning
from emulator.wire.names import check_project, location_denied, parse_name

PARENT: Final = "projects/{project}/locations/{location}"
SERVICE: Final = "tpu.googleapis.com"


class Lookup(LongRunning):
    """What every handler of the service needs."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._state = cloud.store(model.TpuState, lambda: model.initial_state(cloud))

    def find(self, asked: str) -> model.TpuVm:
        """The node of that name; NOT_FOUND without."""
        parts = parse_name(f"{PARENT}/nodes/{{node}}", asked)
        check_project(self._cloud.project, parts["project"], service=SERVICE)
        name = (
            f"projects/{self._cloud.project.id}/locations/{parts['location']}/nodes/{parts['node']}"
        )
        node = self._state.nodes.get(name)
        if node is None:
            raise not_found(asked)
        return node

    def location(self, parent: str) -> str:
        """The zone of a parent; PERMISSION_DENIED for one without Cloud TPUs."""
        parts = parse_name(PARENT, parent, field="parent")
        check_project(self._cloud.project, parts["project"], service=SERVICE)
        zone = parts["location"]
        if zone != "-" and zone not in model.zones():
            raise location_denied(zone, SERVICE)
        return zone
