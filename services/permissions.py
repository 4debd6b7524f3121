"""Which IAM permissions this console's identity has on the project (testIamPermissions).

What a plan needs is the plan's to say; what comes of a missing one the guards'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from core.errors import Invalid
from services.clients import Clients

_AT_ONCE: Final = 100  # as many as one call takes
_TIMEOUT_S: Final = 5.0
# Held on the billing account: a project refuses to be asked for them.
_ELSEWHERE: Final = ("billing.",)


class Permissions:
    """Asks Resource Manager."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_held(self, asked: Sequence[str]) -> Mapping[str, bool]:
        """Of each of these that a project can tell, whether we have it.

        Raises:
            OpsError: the call failed.
        """
        wanted = [p for p in dict.fromkeys(asked) if not p.startswith(_ELSEWHERE)]
        found: dict[str, bool] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            found |= self._tell(wanted[start : start + _AT_ONCE])
        return found

    def _tell(self, asked: Sequence[str]) -> Mapping[str, bool]:
        """Of each that can be asked for; one that Google refuses to be asked for is left out."""
        left = list(asked)
        while left:
            try:
                held = self._ask(left)
            except Invalid as error:
                refused = [p for p in left if p in error.message.replace("'", " ").split()]
                if not refused:
                    raise
                left = [p for p in left if p not in refused]
            else:
                return {permission: permission in held for permission in left}
        return {}

    def _ask(self, asked: Sequence[str]) -> set[str]:
        from google.cloud.resourcemanager_v3.services.projects import ProjectsClient
        from google.cloud.resourcemanager_v3.services.projects.transports import (
            ProjectsGrpcTransport,
        )
        from google.iam.v1.iam_policy_pb2 import TestIamPermissionsRequest

        resource = f"projects/{self._clients.project}"
        request = TestIamPermissionsRequest(resource=resource, permissions=list(asked))
        found = self._clients.call(
            lambda timeout_s: self._clients.grpc(
                "projects", ProjectsClient, ProjectsGrpcTransport
            ).test_iam_permissions(request=request, timeout=timeout_s, retry=None),
            resource=resource,
            timeout_s=_TIMEOUT_S,
        )
        return set(found.permissions)
