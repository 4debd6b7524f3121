"""Which IAM permissions this console's identity has on the project (testIamPermissions).

What a plan needs is the plan's to say; what comes of a missing one the guards'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

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
        known = [p for p in dict.fromkeys(asked) if not p.startswith(_ELSEWHERE)]
        held: set[str] = set()
        for start in range(0, len(known), _AT_ONCE):
            held |= self._ask(known[start : start + _AT_ONCE])
        return {permission: permission in held for permission in known}

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
