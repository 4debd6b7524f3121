"""Handlers of google.cloud.resourcemanager.v3.Projects: the one project there is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from google.cloud.resourcemanager_v3.types import projects as types
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.apis.iam.enforcement import held
from emulator.apis.iam.model import iam_state
from emulator.apis.iam.permissions import check_permissions
from emulator.apis.resourcemanager.model import (
    ORGANISATION,
    UPDATE_S,
    policy_resource,
    project_state,
    searchable,
)
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, invalid
from emulator.wire.etags import check_etag
from emulator.wire.filters import compile_filter
from emulator.wire.longrunning import LongRunning, operation_message
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_SERVICE: Final = "cloudresourcemanager.googleapis.com"
_PARENT: Final = re.compile(r"(?:organizations|folders)/\d+")
_LABEL: Final = re.compile(r"[a-z][-_a-z0-9]{0,62}")
_VALUE: Final = re.compile(r"[-_a-z0-9]{0,63}")
_DISPLAY_NAME: Final = re.compile(r"[-'\"!\w ]{4,30}", re.ASCII)


class Projects(LongRunning):
    """Reads, updates, and the policy."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._state = project_state(cloud)
        self._policies = iam_state(cloud).policies

    def get_project(self, request: types.GetProjectRequest, call: Call) -> types.Project:
        self.check(request.name)
        return self._message()

    def list_projects(
        self, request: types.ListProjectsRequest, call: Call
    ) -> types.ListProjectsResponse:
        """The organisation's direct children: this project."""
        if _PARENT.fullmatch(request.parent) is None:
            raise invalid(
                f"Invalid parent '{request.parent}': expected organizations/ID or folders/ID.",
                field="parent",
            )
        if request.parent != f"organizations/{ORGANISATION}":
            raise ApiError("PERMISSION_DENIED", "The caller does not have permission")
        shown, token = page(
            [self._message()], request.page_size, request.page_token,
            scope=request.parent, default=10, most=1000,
        )  # fmt: skip
        return types.ListProjectsResponse(projects=shown, next_page_token=token)

    def search_projects(
        self, request: types.SearchProjectsRequest, call: Call
    ) -> types.SearchProjectsResponse:
        fits = compile_filter(request.query)(searchable(self._cloud, self._state))
        shown, token = page(
            [self._message()] if fits else [], request.page_size, request.page_token,
            scope=request.query, default=10, most=1000,
        )  # fmt: skip
        return types.SearchProjectsResponse(projects=shown, next_page_token=token)

    def update_project(
        self, request: types.UpdateProjectRequest, call: Call
    ) -> operations_pb2.Operation:
        given, state = request.project, self._state
        self.check(given.name)
        paths = set(request.update_mask.paths) or {"display_name", "labels"}
        if paths == {"*"}:
            paths = {"display_name", "labels"}
        if paths - {"display_name", "labels"}:
            raise invalid("Only display_name and labels can be updated.", field="update_mask")
        check_etag(given.etag, state.etag)
        name = given.display_name if "display_name" in paths else state.display_name
        labels = dict(given.labels) if "labels" in paths else state.labels
        check_texts(name, labels)
        with self._cloud.lock:
            operation = f"operations/pu.{self._cloud.project.number}{state.revision:08d}"
            job = self._cloud.operations.start(
                operation,
                "cloudresourcemanager",
                f"projects/{self._cloud.project.id}",
                UPDATE_S,
                lambda: state.put(self._cloud, name, labels),
                {"metadata": types.UpdateProjectMetadata(), "response": self._message},
            )
            return operation_message(job)

    # --- the policy -----------------------------------------------------------------------------

    def get_iam_policy(
        self, request: iam_policy_pb2.GetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        self.check(request.resource)
        version = request.options.requested_policy_version
        return self._policies.get(policy_resource(self._cloud), version)

    def set_iam_policy(
        self, request: iam_policy_pb2.SetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        self.check(request.resource)
        return self._policies.set(
            policy_resource(self._cloud), request.policy, request.update_mask.paths
        )

    def test_iam_permissions(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        """Those of the asked that the caller has; the project's owner has all."""
        self.check(request.resource)
        check_permissions(request.permissions)
        return iam_policy_pb2.TestIamPermissionsResponse(
            permissions=held(self._cloud, call, request.permissions)
        )

    def check(self, name: str) -> None:
        """Pass the project's name, by id or number."""
        project = parse_name("projects/{project}", name)["project"]
        if project == "-":
            raise invalid("A project must be named.", field="name")
        check_project(self._cloud.project, project, service=_SERVICE)

    def _message(self) -> types.Project:
        own, state = self._cloud.project, self._state
        return types.Project(
            name=f"projects/{own.number}",
            parent=f"organizations/{ORGANISATION}",
            project_id=own.id,
            state=types.Project.State.ACTIVE,
            display_name=state.display_name,
            create_time=Timestamp(seconds=int(self._cloud.clock.epoch())),
            update_time=Timestamp(seconds=int(state.updated_at)),
            etag=state.etag,
            labels=state.labels,
        )


def check_texts(display_name: str, labels: Mapping[str, str]) -> None:
    """Pass a display name and labels as Google allows them.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    if _DISPLAY_NAME.fullmatch(display_name) is None:
        raise invalid(
            "The display name must be 4 to 30 letters, digits, spaces, hyphens, quotes and "
            "exclamation marks.",
            field="display_name",
        )
    for key, value in labels.items():
        if _LABEL.fullmatch(key) is None or _VALUE.fullmatch(value) is None:
            raise invalid(f"Invalid label {key}={value}.", field="labels")
