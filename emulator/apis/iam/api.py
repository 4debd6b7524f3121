"""Handlers of google.iam.admin.v1.IAM for service accounts and their policies; roles: roles.py."""

from __future__ import annotations

import re
from typing import Final

from google.cloud.iam_admin_v1.types import iam as types
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import empty_pb2

from emulator.apis.iam.enforcement import held
from emulator.apis.iam.model import MOST_ACCOUNTS, Account, iam_state
from emulator.apis.iam.permissions import check_permissions
from emulator.apis.iam.roles import Roles
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.etags import check_etag, etag_of
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_SERVICE: Final = "iam.googleapis.com"
_ACCOUNT_ID: Final = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
_NAME: Final = "projects/{project}/serviceAccounts/{account}"
_MUTABLE: Final = {"display_name": "display_name", "description": "description"}


class Iam(Roles):
    """Service accounts."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._state = iam_state(cloud)

    def list_service_accounts(
        self, request: types.ListServiceAccountsRequest, call: Call
    ) -> types.ListServiceAccountsResponse:
        self._project(request.name, "name")
        with self._cloud.lock:
            accounts = sorted(self._state.accounts.values(), key=lambda a: a.email)
        shown, token = page(
            accounts, request.page_size, request.page_token,
            scope=request.name, default=20, most=100,
        )  # fmt: skip
        return types.ListServiceAccountsResponse(
            accounts=[_message(a) for a in shown], next_page_token=token
        )

    def get_service_account(
        self, request: types.GetServiceAccountRequest, call: Call
    ) -> types.ServiceAccount:
        return _message(self._find(request.name))

    def create_service_account(
        self, request: types.CreateServiceAccountRequest, call: Call
    ) -> types.ServiceAccount:
        self._project(request.name, "name")
        name = request.account_id
        if _ACCOUNT_ID.fullmatch(name) is None:
            raise invalid(
                f'The account ID "{name}" does not have a length between 6 and 30, or is not of '
                "lower-case letters, digits and dashes.",
                field="account_id",
            )
        given = request.service_account
        _check_texts(given)
        project = self._cloud.project.id
        with self._cloud.lock:
            email = f"{name}@{project}.iam.gserviceaccount.com"
            if email in self._state.accounts:
                raise ApiError(
                    "ALREADY_EXISTS",
                    f"Service account {name} already exists within project projects/{project}.",
                )
            if len(self._state.accounts) >= MOST_ACCOUNTS:
                raise ApiError(
                    "RESOURCE_EXHAUSTED", "Maximum number of service accounts on project reached."
                )
            account = self._state.add(email, given.display_name, given.description)
            self._cloud.changed("iam.service_account.created", account.full_name, "")
        return _message(account)

    def patch_service_account(
        self, request: types.PatchServiceAccountRequest, call: Call
    ) -> types.ServiceAccount:
        paths = list(request.update_mask.paths)
        if not paths or set(paths) - set(_MUTABLE):
            raise invalid(
                "The update mask must name display_name or description and nothing else.",
                field="update_mask",
            )
        return self._change(request.service_account, paths)

    def update_service_account(
        self, request: types.ServiceAccount, call: Call
    ) -> types.ServiceAccount:
        return self._change(request, list(_MUTABLE))

    def _change(self, given: types.ServiceAccount, paths: list[str]) -> types.ServiceAccount:
        _check_texts(given)
        with self._cloud.lock:
            account = self._find(given.name)
            check_etag(given.etag.decode("latin-1"), _etag(account))
            return _message(self._state.put(account, **{p: getattr(given, p) for p in paths}))

    def delete_service_account(
        self, request: types.DeleteServiceAccountRequest, call: Call
    ) -> empty_pb2.Empty:
        with self._cloud.lock:
            account = self._find(request.name)
            self._state.remove(account)
            self._cloud.changed("iam.service_account.deleted", account.full_name, "")
        return empty_pb2.Empty()

    def undelete_service_account(
        self, request: types.UndeleteServiceAccountRequest, call: Call
    ) -> types.UndeleteServiceAccountResponse:
        parts = parse_name(_NAME, request.name)
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        with self._cloud.lock:
            account = self._state.deleted.get(parts["account"])
            if account is None:
                raise _unknown(request.name)
            if account.email in self._state.accounts:
                raise failed_precondition(
                    f"Service account {account.email} exists again; it cannot be undeleted."
                )
            self._state.restore(account)
            self._cloud.changed("iam.service_account.created", account.full_name, "")
        return types.UndeleteServiceAccountResponse(restored_account=_message(account))

    def enable_service_account(
        self, request: types.EnableServiceAccountRequest, call: Call
    ) -> empty_pb2.Empty:
        return self._switch(request.name, disabled=False)

    def disable_service_account(
        self, request: types.DisableServiceAccountRequest, call: Call
    ) -> empty_pb2.Empty:
        return self._switch(request.name, disabled=True)

    def _switch(self, name: str, *, disabled: bool) -> empty_pb2.Empty:
        with self._cloud.lock:
            account = self._find(name)
            if account.disabled != disabled:
                self._state.put(account, disabled=disabled)
                verb = "disabled" if disabled else "enabled"
                self._cloud.changed(f"iam.service_account.{verb}", account.full_name, "")
        return empty_pb2.Empty()

    def list_service_account_keys(
        self, request: types.ListServiceAccountKeysRequest, call: Call
    ) -> types.ListServiceAccountKeysResponse:
        """None: keys cannot be made here, and Google's own are not shown."""
        self._find(request.name)
        return types.ListServiceAccountKeysResponse()

    # --- policies -------------------------------------------------------------------------------

    def get_iam_policy(
        self, request: iam_policy_pb2.GetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        account = self._find(request.resource, field="resource")
        version = request.options.requested_policy_version
        return self._state.policies.get(account.policy_of, version)

    def set_iam_policy(
        self, request: iam_policy_pb2.SetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        account = self._find(request.resource, field="resource")
        paths = request.update_mask.paths
        return self._state.policies.set(account.policy_of, request.policy, paths)

    def test_iam_permissions(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        """Those of the asked that the caller has; the project's owner has all."""
        account = self._find(request.resource, field="resource")
        check_permissions(request.permissions, service="iam")
        return iam_policy_pb2.TestIamPermissionsResponse(
            permissions=held(self._cloud, call, request.permissions, account.full_name)
        )

    def _find(self, asked: str, *, field: str = "name") -> Account:
        parts = parse_name(_NAME, asked, field=field)
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        account = self._state.find(parts["account"])
        if account is None:
            raise _unknown(asked)
        return account


def _unknown(name: str) -> ApiError:
    return ApiError("NOT_FOUND", f"Service account {name} does not exist.")


def _check_texts(given: types.ServiceAccount) -> None:
    for field, most in (("display_name", 100), ("description", 256)):
        if len(getattr(given, field).encode()) > most:
            raise invalid(f"{field} must not be longer than {most} bytes.", field=field)


def _etag(account: Account) -> str:
    return etag_of(account)


def _message(account: Account) -> types.ServiceAccount:
    return types.ServiceAccount(
        name=account.full_name,
        project_id=account.project,
        unique_id=account.unique_id,
        email=account.email,
        display_name=account.display_name,
        etag=_etag(account).encode("latin-1"),
        description=account.description,
        oauth2_client_id=account.unique_id,
        disabled=account.disabled,
    )
