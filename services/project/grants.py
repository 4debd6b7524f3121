"""Service accounts, and roles granted on the project or on an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from core.cloud_resources import IAM, CloudResource, owner_of, path_of
from core.errors import Conflict, Invalid, NotFound
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.asking import ask
from services.project.product import Found, Json, delete_if_there, done

_TIMEOUT_S: Final = 20.0
_TRIES: Final = 5  # a policy is written by everybody; its etag says when somebody was faster


class ServiceAccounts:
    """A name is //iam.googleapis.com/projects/P/serviceAccounts/EMAIL."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get(self, name: str) -> Found | None:
        """The account."""
        path = path_of(name)
        try:
            found: Any = self._call(path, lambda c: c.get_service_account, {"name": path})
        except NotFound:
            return None
        with calls.converting(path):
            return Found({}, owner_of({}, str(found.description)))

    def create(self, name: str, body: Json) -> str:
        """Make it; `body` has displayName and description."""
        path = path_of(name)
        parent, _, email = path.rpartition("/serviceAccounts/")
        account = {
            "display_name": str(body["displayName"]),
            "description": str(body["description"]),
        }
        request = {
            "name": parent,
            "account_id": email.partition("@")[0],
            "service_account": account,
        }
        self._call(path, lambda c: c.create_service_account, request, calls.ONCE)
        return ""

    def delete(self, name: str) -> str:
        """Delete it."""
        path = path_of(name)
        request = {"name": path}
        return delete_if_there(
            lambda: self._call(path, lambda c: c.delete_service_account, request, calls.ONCE)
        )

    def get_operation(self, name: str) -> OperationState:
        """IAM has none."""
        return done(name)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Accounts whose description says so."""
        parent = f"projects/{self._clients.project}"
        pager: Any = self._call(parent, lambda c: c.list_service_accounts, {"name": parent})
        with calls.converting(parent):
            pairs = [(str(a.name), owner_of({}, str(a.description))) for a in pager]
        return tuple(CloudResource(f"//{IAM}/{name}", o) for name, o in pairs if o is not None)

    def _call(
        self,
        path: str,
        method: Callable[[Any], Any],
        request: dict[str, Any],
        policy: calls.RetryPolicy = calls.READ,
    ) -> Any:
        return ask(self._clients, path, lambda: method(self.client()), request, _TIMEOUT_S, policy)

    def client(self) -> Any:
        """IAM's client."""
        from google.cloud.iam_admin_v1.services.iam import IAMClient
        from google.cloud.iam_admin_v1.services.iam.transports import IAMGrpcTransport

        return self._clients.grpc("iam", IAMClient, IAMGrpcTransport)


class Grants:
    """One role of one member on the project, or on a service account of it.

    A name is //cloudresourcemanager.googleapis.com/projects/P/ROLE/MEMBER, or with
    /serviceAccounts/EMAIL before the role; a role is roles%2F…: its slash would end it.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients, self._accounts = clients, ServiceAccounts(clients)

    def get(self, name: str) -> Found | None:
        """The grant, without a condition; None also where what it is on is gone."""
        on, role, member = _parse(name)
        try:
            policy = self._policy(on)
        except NotFound:
            return None
        for binding in policy.bindings:
            if binding.role == role and member in binding.members and not _conditional(binding):
                return Found({}, None)
        return None

    def create(self, name: str, body: Json) -> str:
        """Add it to the policy."""
        on, role, member = _parse(name)

        def add(policy: Any) -> None:
            for binding in policy.bindings:
                if binding.role == role and not _conditional(binding):
                    if member not in binding.members:
                        binding.members.append(member)
                    return
            policy.bindings.add(role=role, members=[member])

        self._change(on, add)
        return ""

    def delete(self, name: str) -> str:
        """Take it out of the policy."""
        on, role, member = _parse(name)

        def remove(policy: Any) -> None:
            for binding in list(policy.bindings):
                if binding.role == role and member in binding.members:
                    binding.members.remove(member)
                    if not binding.members:
                        policy.bindings.remove(binding)

        try:
            self._change(on, remove)
        except NotFound:
            return ""
        return ""

    def get_operation(self, name: str) -> OperationState:
        """Policies have none."""
        return done(name)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """None by themselves: a grant goes with its member."""
        return ()

    def _change(self, on: str, change: Callable[[Any], None]) -> None:
        for attempt in range(_TRIES):
            policy = self._policy(on)
            change(policy)
            request = {"resource": on, "policy": policy}
            try:
                self._clients.call(
                    lambda t, r=request: self._client(on).set_iam_policy(
                        request=r, timeout=t, retry=None
                    ),
                    resource=on,
                    timeout_s=_TIMEOUT_S,
                    policy=calls.ONCE,
                )
            except Conflict:
                if attempt + 1 == _TRIES:
                    raise
                continue
            return

    def _policy(self, on: str) -> Any:
        request = {"resource": on, "options": {"requested_policy_version": 3}}
        return self._clients.call(
            lambda t: self._client(on).get_iam_policy(request=request, timeout=t, retry=None),
            resource=on,
            timeout_s=_TIMEOUT_S,
        )

    def _client(self, on: str) -> Any:
        if "/serviceAccounts/" in on:
            return self._accounts.client()
        from google.cloud.resourcemanager_v3.services.projects import ProjectsClient
        from google.cloud.resourcemanager_v3.services.projects.transports import (
            ProjectsGrpcTransport,
        )

        return self._clients.grpc("projects", ProjectsClient, ProjectsGrpcTransport)


def _conditional(binding: Any) -> bool:
    return bool(binding.condition.expression)


def _parse(name: str) -> tuple[str, str, str]:
    """(resource that the policy is of, role, member)."""
    parts = path_of(name).rsplit("/", 2)
    if len(parts) != 3:
        raise Invalid("not the name of a grant", resource=name)
    return parts[0], parts[1].replace("%2F", "/"), parts[2].replace("%2F", "/")
