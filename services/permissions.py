"""Which IAM permissions this console's identity has: testIamPermissions of project and account.

What a plan needs is the plan's to say; what comes of a missing one the guards'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from core.errors import Invalid
from services.clients import Clients

_AT_ONCE: Final = 100  # as many as one call takes
_TIMEOUT_S: Final = 5.0
# Held on the billing account: a project refuses to be asked for them.
_OF_BILLING: Final = "billing."


class Permissions:
    """Asks Resource Manager and Cloud Billing."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_held(self, asked: Sequence[str]) -> Mapping[str, bool]:
        """Of each of these that a project can tell, whether we have it.

        Raises:
            OpsError: the call failed.
        """
        resource = f"projects/{self._clients.project}"
        wanted = [p for p in dict.fromkeys(asked) if not p.startswith(_OF_BILLING)]
        return self._tell(resource, wanted, self._projects)

    def list_held_on_billing(self, asked: Sequence[str]) -> Mapping[str, bool]:
        """Of each of these that the billing account can tell, whether we have it.

        Of none where no account is set.

        Raises:
            OpsError: the call failed.
        """
        account = self._clients.target.billing_account
        wanted = [p for p in dict.fromkeys(asked) if p.startswith(_OF_BILLING)]
        return self._tell(account, wanted if account else [], self._billing)

    def _tell(
        self, resource: str, asked: Sequence[str], client: Callable[[], Any]
    ) -> Mapping[str, bool]:
        """Of each that can be asked for; one that Google refuses to be asked for is left out."""
        found: dict[str, bool] = {}
        for start in range(0, len(asked), _AT_ONCE):
            left = list(asked[start : start + _AT_ONCE])
            while left:
                try:
                    held = self._ask(resource, left, client)
                except Invalid as error:
                    refused = [p for p in left if p in error.message.replace("'", " ").split()]
                    if not refused:
                        raise
                    left = [p for p in left if p not in refused]
                else:
                    found |= {permission: permission in held for permission in left}
                    break
        return found

    def _ask(self, resource: str, asked: Sequence[str], client: Callable[[], Any]) -> set[str]:
        from google.iam.v1.iam_policy_pb2 import TestIamPermissionsRequest

        request = TestIamPermissionsRequest(resource=resource, permissions=list(asked))
        found = self._clients.call(
            lambda timeout_s: client().test_iam_permissions(
                request=request, timeout=timeout_s, retry=None
            ),
            resource=resource,
            timeout_s=_TIMEOUT_S,
        )
        return set(found.permissions)

    def _projects(self) -> Any:
        from google.cloud.resourcemanager_v3.services.projects import ProjectsClient
        from google.cloud.resourcemanager_v3.services.projects.transports import (
            ProjectsGrpcTransport,
        )

        return self._clients.grpc("projects", ProjectsClient, ProjectsGrpcTransport)

    def _billing(self) -> Any:
        from google.cloud.billing_v1.services.cloud_billing import CloudBillingClient
        from google.cloud.billing_v1.services.cloud_billing.transports import (
            CloudBillingGrpcTransport,
        )

        return self._clients.grpc("accounts", CloudBillingClient, CloudBillingGrpcTransport)
