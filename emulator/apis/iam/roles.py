"""Handlers of google.iam.admin.v1.IAM for roles and permissions: Google's and the project's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from google.cloud.iam_admin_v1.types import iam as types

from emulator.apis.iam.model import CustomRole, iam_state
from emulator.apis.iam.permissions import (
    NOT_IN_CUSTOM_ROLES,
    PERMISSIONS,
    Predefined,
    check_permissions,
    predefined,
)
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.etags import check_etag, etag_of
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_SERVICE: Final = "iam.googleapis.com"
_ROLE_ID: Final = re.compile(r"[a-zA-Z0-9_.]{3,64}")
_MUTABLE: Final = ("title", "description", "included_permissions", "stage")
# gcloud makes it from the endpoint that it is pointed at: the host may be any.
_FULL_NAME: Final = re.compile(r"//[^/\s]+/\S+")


class Roles:
    """Roles: predefined ones are read only."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._roles = iam_state(cloud).roles

    def list_roles(self, request: types.ListRolesRequest, call: Call) -> types.ListRolesResponse:
        found: Sequence[Predefined | CustomRole]
        if request.parent:
            self._project(request.parent, "parent")
            with self._cloud.lock:
                found = sorted(self._roles.values(), key=lambda r: r.name)
            found = [r for r in found if request.show_deleted or not r.deleted]
        else:
            found = list(predefined().values())
        full = request.view == types.RoleView.FULL
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=f"{request.parent} {request.show_deleted}", default=300, most=1000,
        )  # fmt: skip
        return types.ListRolesResponse(
            roles=[_message(r, full=full) for r in shown], next_page_token=token
        )

    def get_role(self, request: types.GetRoleRequest, call: Call) -> types.Role:
        if request.name.startswith("roles/"):
            known = predefined().get(request.name)
            if known is None:
                raise _unknown(request.name)
            return _message(known)
        return _message(self._find_role(request.name))

    def query_grantable_roles(
        self, request: types.QueryGrantableRolesRequest, call: Call
    ) -> types.QueryGrantableRolesResponse:
        _check_full_name(request.full_resource_name)
        own = [r for r in self._roles.values() if not r.deleted]
        found: list[Predefined | CustomRole] = [*predefined().values(), *own]
        full = request.view == types.RoleView.FULL
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.full_resource_name, default=300, most=1000,
        )  # fmt: skip
        return types.QueryGrantableRolesResponse(
            roles=[_message(r, full=full) for r in shown], next_page_token=token
        )

    def query_testable_permissions(
        self, request: types.QueryTestablePermissionsRequest, call: Call
    ) -> types.QueryTestablePermissionsResponse:
        _check_full_name(request.full_resource_name)
        shown, token = page(
            PERMISSIONS, request.page_size, request.page_token,
            scope=request.full_resource_name, default=100, most=1000,
        )  # fmt: skip
        level = types.Permission.CustomRolesSupportLevel
        return types.QueryTestablePermissionsResponse(
            permissions=[
                types.Permission(
                    name=p,
                    stage=types.Permission.PermissionLaunchStage.GA,
                    custom_roles_support_level=level.NOT_SUPPORTED
                    if p in NOT_IN_CUSTOM_ROLES
                    else level.SUPPORTED,
                )
                for p in shown
            ],
            next_page_token=token,
        )

    def create_role(self, request: types.CreateRoleRequest, call: Call) -> types.Role:
        self._project(request.parent, "parent")
        if _ROLE_ID.fullmatch(request.role_id) is None:
            raise invalid(
                "The role_id must be 3 to 64 letters, digits, underscores and dots.",
                field="role_id",
            )
        given = request.role
        check_permissions(given.included_permissions, custom=True)
        name = f"projects/{self._cloud.project.id}/roles/{request.role_id}"
        with self._cloud.lock:
            known = self._roles.get(name)
            if known is not None and known.deleted:
                raise failed_precondition(
                    f"You can't create a role with role_id ({request.role_id}) where there is an "
                    "existing role with that role_id in a deleted state."
                )
            if known is not None:
                raise ApiError(
                    "ALREADY_EXISTS",
                    f"A role named {request.role_id} in {request.parent} already exists.",
                )
            role = CustomRole(
                name,
                given.title,
                given.description,
                tuple(sorted(set(given.included_permissions))),
                _stage(given),
            )
            self._roles[name] = role
            self._cloud.changed("iam.role.created", name, "")
        return _message(role)

    def update_role(self, request: types.UpdateRoleRequest, call: Call) -> types.Role:
        given = request.role
        paths = list(request.update_mask.paths) or [p for p in _MUTABLE if getattr(given, p)]
        if set(paths) - set(_MUTABLE):
            raise invalid(f"The update mask may name {', '.join(_MUTABLE)}.", field="update_mask")
        check_permissions(given.included_permissions, custom=True)
        values = {
            "title": given.title,
            "description": given.description,
            "permissions": tuple(sorted(set(given.included_permissions))),
            "stage": _stage(given),
        }
        wanted = {p.removeprefix("included_") for p in paths}
        return self._put_role(
            request.name, given.etag, **{k: v for k, v in values.items() if k in wanted}
        )

    def delete_role(self, request: types.DeleteRoleRequest, call: Call) -> types.Role:
        """Marks it as deleted: bindings stay and grant nothing until an undelete."""
        if self._find_role(request.name).deleted:
            raise failed_precondition(f"The role {request.name} is deleted already.")
        return self._put_role(request.name, request.etag, deleted=True)

    def undelete_role(self, request: types.UndeleteRoleRequest, call: Call) -> types.Role:
        if not self._find_role(request.name).deleted:
            raise failed_precondition(f"The role {request.name} is not deleted.")
        return self._put_role(request.name, request.etag, deleted=False)

    def _put_role(self, name: str, etag: bytes, **changes: object) -> types.Role:
        with self._cloud.lock:
            role = self._find_role(name)
            check_etag(etag.decode("latin-1"), etag_of(role))
            new = replace(role, revision=role.revision + 1, **changes)  # type: ignore[arg-type]
            self._roles[role.name] = new
            self._cloud.changed("iam.role.changed", role.name, "")
        return _message(new)

    def _find_role(self, asked: str) -> CustomRole:
        parts = parse_name("projects/{project}/roles/{role}", asked)
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        role = self._roles.get(f"projects/{self._cloud.project.id}/roles/{parts['role']}")
        if role is None:
            raise _unknown(asked)
        return role

    def _project(self, name: str, field: str) -> None:
        project = parse_name("projects/{project}", name, field=field)["project"]
        check_project(self._cloud.project, project, service=_SERVICE)


def _stage(role: types.Role) -> str:
    if role.stage not in list(types.Role.RoleLaunchStage):
        raise invalid(f"Invalid stage {int(role.stage)}.", field="role.stage")
    return types.Role.RoleLaunchStage(role.stage).name


def _unknown(name: str) -> ApiError:
    return ApiError("NOT_FOUND", f"The role named {name} was not found.")


def _check_full_name(name: str) -> None:
    if _FULL_NAME.fullmatch(name) is None:
        raise invalid(
            f"Invalid full resource name '{name}': expected "
            "//cloudresourcemanager.googleapis.com/projects/PROJECT.",
            field="full_resource_name",
        )


def _message(role: Predefined | CustomRole, *, full: bool = True) -> types.Role:
    message = types.Role(
        name=role.name,
        title=role.title,
        stage=types.Role.RoleLaunchStage[role.stage],
        included_permissions=role.permissions if full else (),
        etag=etag_of(role).encode("latin-1"),
    )
    if isinstance(role, CustomRole):
        message.description = role.description
        message.deleted = role.deleted
    return message
