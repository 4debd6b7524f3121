"""What refuses a caller who lacks a permission, and in which words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from emulator.apis.iam.callers import Caller, caller_of
from emulator.apis.iam.model import iam_state
from emulator.apis.iam.needed import permission_for
from emulator.context import Cloud
from emulator.faults.asked import Asked
from emulator.wire.call import Call
from emulator.wire.errors import ApiError

_COMPUTE_SCOPE: Final = re.compile(r"/(?:global|(?:zones|regions)/[^/]+)$")


def check_permission(cloud: Cloud, caller: Caller, asked: Asked) -> None:
    """Pass a call that the policies of the project and of the resource allow the caller.

    Raises:
        ApiError: PERMISSION_DENIED with the reason IAM_PERMISSION_DENIED.
    """
    if caller.owner:
        return
    permission = permission_for(asked)
    if permission and not may(cloud, caller, permission, *asked.resources):
        raise denied(cloud, asked, permission, caller)


def may(cloud: Cloud, caller: Caller, permission: str, *resources: str) -> bool:
    """Whether the caller has a permission on the project or one of the resources."""
    if caller.owner:
        return True
    project = f"projects/{cloud.project.id}"
    names = [n for r in resources for n in _policy_names(cloud, r)]
    return iam_state(cloud).policies.allows(caller.member, permission, project, *names)


def held(cloud: Cloud, call: Call, permissions: Iterable[str], *resources: str) -> list[str]:
    """Those permissions that whoever makes the call has."""
    caller = caller_of(
        cloud, call.headers, dict(call.query), host=call.method.host, method=call.method.rpc
    )
    return [p for p in permissions if may(cloud, caller, p, *resources)]


def _policy_names(cloud: Cloud, resource: str) -> Iterator[str]:
    """Names under which a resource and what it lies in may have a policy."""
    own, state = cloud.project, iam_state(cloud)
    name = resource.replace(f"projects/{own.number}/", f"projects/{own.id}/", 1)
    parts = name.split("/")
    if len(parts) == 4 and parts[2] == "serviceAccounts":
        account = state.find(parts[3])
        if account is not None:
            yield account.policy_of
    for end in range(2, len(parts) + 1, 2):
        yield "/".join(parts[:end])


def denied(cloud: Cloud, asked: Asked, permission: str, caller: Caller | None = None) -> ApiError:
    """PERMISSION_DENIED, as the service words it."""
    resource = asked.resource or f"projects/{cloud.project.id}"
    if asked.service == "compute":
        resource = _COMPUTE_SCOPE.sub("", resource)  # lists are asked of the project
    who = (caller or Caller()).email
    texts = {
        "compute": f"Required '{permission}' permission for '{resource}'",
        "container": f'Required "{permission}" permission(s) for "{resource}".',
        "storage": f"{who} does not have {permission} access to the Google Cloud Storage "
                   f"{'object' if '.objects.' in permission else 'bucket'}. Permission "
                   f"'{permission}' denied on resource (or it may not exist).",
        "bigquery": f"Access Denied: Project {cloud.project.id}: User does not have {permission} "
                    f"permission in project {cloud.project.id}.",
    }  # fmt: skip
    text = texts.get(asked.service) or (
        f"Permission '{permission}' denied on resource '//{asked.host}/{resource}' (or it may not "
        "exist)."
    )
    return ApiError(
        "PERMISSION_DENIED", text, reason="IAM_PERMISSION_DENIED",
        domain=asked.host or "container.googleapis.com",
        metadata={"permission": permission, "resource": resource}, legacy_reason="forbidden",
    )  # fmt: skip
