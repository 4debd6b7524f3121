"""Handlers of google.devtools.artifactregistry.v1 for repositories and their policies."""

from __future__ import annotations

import re
from typing import Any, Final

from google.cloud.artifactregistry_v1.types import repository as types
from google.cloud.artifactregistry_v1.types import service
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2

from emulator.apis.artifactregistry.lookup import LOCATION, Lookup, chosen, ordered
from emulator.apis.artifactregistry.messages import repository_message
from emulator.apis.artifactregistry.model import Repository, stamp
from emulator.apis.iam.enforcement import held
from emulator.apis.iam.model import iam_state
from emulator.operations import Job
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid
from emulator.wire.longrunning import operation_message
from emulator.wire.masks import merge
from emulator.wire.paging import page

CREATE_S: Final = 5.0
DELETE_S: Final = 3.0
_ID: Final = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LABEL: Final = re.compile(r"[a-z][-a-z0-9_]{0,62}")
_VALUE: Final = re.compile(r"[-a-z0-9_]{0,63}")
_CHANGEABLE: Final = frozenset({
    "cleanup_policies", "cleanup_policy_dry_run", "description", "docker_config", "labels",
})  # fmt: skip
_UNSERVED: Final = (
    "virtual_repository_config", "remote_repository_config", "vulnerability_scanning_config",
)  # fmt: skip
_OUTPUT: Final = ("create_time", "update_time", "size_bytes", "satisfies_pzs", "satisfies_pzi",
                  "registry_uri")  # fmt: skip
_FORMATS: Final = types.Repository.Format
_STANDARD: Final = types.Repository.Mode.STANDARD_REPOSITORY


class Repositories(Lookup):
    """Repositories and their policies."""

    def list_repositories(
        self, request: types.ListRepositoriesRequest, call: Call
    ) -> types.ListRepositoriesResponse:
        place = self.location(request.parent, "parent")
        with self._cloud.lock:
            kept = [r for name, r in self._registry.repositories.items()
                    if place in ("-", name.split("/")[3])]  # fmt: skip
        names = {f["name"] for f in chosen([{"name": str(r.message.name)} for r in kept],
                                           request.filter)}  # fmt: skip
        kept = ordered([r for r in kept if r.message.name in names], request.order_by, _field)
        shown, token = page(
            kept, request.page_size, request.page_token, default=100, most=1000,
            scope=f"{request.parent} {request.filter} {request.order_by}",
        )  # fmt: skip
        return types.ListRepositoriesResponse(
            repositories=[repository_message(r) for r in shown], next_page_token=token
        )

    def get_repository(self, request: types.GetRepositoryRequest, call: Call) -> types.Repository:
        return repository_message(self.repository(request.name)[1])

    def create_repository(
        self, request: types.CreateRepositoryRequest, call: Call
    ) -> operations_pb2.Operation:
        place = self.location(request.parent, "parent")
        if place == "-":
            raise invalid("A repository needs a location.", field="parent")
        if _ID.fullmatch(request.repository_id) is None:
            raise invalid(
                f'invalid repository_id: "{request.repository_id}": it must begin with a letter, '
                "hold lower-case letters, digits and hyphens, and have 63 characters at most",
                field="repository_id",
            )
        made = types.Repository()
        plain(made).CopyFrom(plain(request.repository))
        where = LOCATION.format(project=self._cloud.project.id, location=place)
        name = f"{where}/repositories/{request.repository_id}"
        self._complete(made, name)
        with self._cloud.lock:
            if name in self._registry.repositories:
                raise ApiError("ALREADY_EXISTS", "the repository already exists")
            self._check_idle(name)
            return operation_message(self._begin(name, CREATE_S, lambda: self._add(made), made))

    def _add(self, made: types.Repository) -> None:
        now = stamp(self._cloud.clock.now())
        inside: Any = plain(made)
        inside.create_time.CopyFrom(now)
        inside.update_time.CopyFrom(now)
        self._registry.repositories[str(made.name)] = Repository(made)
        self._cloud.changed("artifactregistry.repository.created", str(made.name), "")

    def update_repository(
        self, request: types.UpdateRepositoryRequest, call: Call
    ) -> types.Repository:
        with self._cloud.lock:
            name, found = self.repository(request.repository.name, "repository.name")
            mask = plain(request).update_mask
            if not mask.paths:
                given = {field.name for field, _ in plain(request.repository).ListFields()}
                mask.paths.extend(sorted(given & _CHANGEABLE) or ["description"])
            for path in mask.paths:
                if path.split(".")[0] not in _CHANGEABLE:
                    raise invalid(f"Field '{path}' cannot be updated.", field="update_mask")
            wanted = merge(request.repository, mask, found.message)
            self._complete(wanted, name)
            inside: Any = plain(wanted)
            inside.create_time.CopyFrom(plain(found.message).create_time)
            inside.update_time.CopyFrom(stamp(self._cloud.clock.now()))
            found.message = wanted
            self._cloud.changed("artifactregistry.repository.updated", name, "")
            return repository_message(found)

    def delete_repository(
        self, request: types.DeleteRepositoryRequest, call: Call
    ) -> operations_pb2.Operation:
        with self._cloud.lock:
            name, _ = self.repository(request.name)
            self._check_idle(name)

            def remove() -> None:
                self._registry.repositories.pop(name, None)
                iam_state(self._cloud).policies.forget(name)
                self._cloud.changed("artifactregistry.repository.deleted", name, "")

            return operation_message(self._begin(name, DELETE_S, remove))

    def get_iam_policy(
        self, request: iam_policy_pb2.GetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        name, _ = self.repository(request.resource, "resource")
        version = request.options.requested_policy_version
        return iam_state(self._cloud).policies.get(name, version)

    def set_iam_policy(
        self, request: iam_policy_pb2.SetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        name, _ = self.repository(request.resource, "resource")
        policies, paths = iam_state(self._cloud).policies, request.update_mask.paths
        return policies.set(name, request.policy, paths, public=True)

    def test_iam_permissions(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        name, _ = self.repository(request.resource, "resource")
        found = held(self._cloud, call, request.permissions, name)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=found)

    def _begin(self, target: str, duration_s: float, effect: Any, response: Any = None) -> Job:
        """Begin work on a resource; the caller holds the lock."""
        where = "/".join(target.split("/")[:4])
        text = self._cloud.new_id("artifactregistry.operation")
        groups = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
        name = f"{where}/operations/{'-'.join(groups)}"
        data: dict[str, Any] = {"metadata": service.OperationMetadata()}
        if response is not None:
            data["response"] = lambda: repository_message(
                self._registry.repositories.get(target) or Repository(response)
            )
        return self._cloud.operations.start(
            name, "artifactregistry", target, duration_s, effect, data
        )

    def _check_idle(self, name: str) -> None:
        if self._cloud.operations.running_on("artifactregistry", name):
            raise ApiError(
                "ABORTED", "unable to queue the operation: another one works on the resource"
            )

    def _complete(self, made: types.Repository, name: str) -> None:
        """Fill in what Google does, and pass what is allowed and served."""
        inside: Any = plain(made)
        inside.name = name
        for field in _OUTPUT:
            inside.ClearField(field)
        given = {field.name for field, _ in inside.ListFields()}
        made.mode = made.mode or _STANDARD
        served = [field for field in _UNSERVED if field in given]
        if made.mode != _STANDARD or served:
            what = served[0] if served else "virtual and remote repositories"
            raise ApiError("UNIMPLEMENTED", f"The emulator does not implement {what}.")
        if not made.format_:
            raise invalid("repository format must be specified", field="repository.format")
        if made.format_ != _FORMATS.DOCKER and "docker_config" in given:
            raise invalid("docker_config is for repositories of the format DOCKER.",
                          field="repository.docker_config")  # fmt: skip
        for key, value in made.labels.items():
            if not _LABEL.fullmatch(key) or not _VALUE.fullmatch(value):
                raise invalid(f"Invalid label '{key}={value}'.", field="repository.labels")
        for key, policy in inside.cleanup_policies.items():
            policy.id = key
            kind = policy.WhichOneof("condition_type")
            if not policy.action or (kind == "most_recent_versions" and policy.action != 2):
                raise invalid(
                    f"The cleanup policy '{key}' needs an action, and KEEP for the most recent "
                    "versions.",
                    field="repository.cleanup_policies",
                )


def _field(found: Repository, name: str) -> Any:
    inside: Any = plain(found.message)
    if name == "name":
        return inside.name
    at = getattr(inside, name)
    return at.seconds, at.nanos, inside.name
