"""IAM policies of every resource that has one: kept, checked on writing, asked for permissions.

Projects, service accounts and buckets each have their own wire; all of them store policies here.
Roles and permissions are permissions.py's, service accounts model.py's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from google.iam.v1 import policy_pb2

from emulator.apis.iam.permissions import predefined, withheld
from emulator.wire.errors import ApiError, invalid

if TYPE_CHECKING:
    from emulator.context import Cloud

MOST_PRINCIPALS: Final = 1500
_PUBLIC: Final = ("allUsers", "allAuthenticatedUsers")
_MAIL: Final = r"[^@\s:]+@[^@\s:]+\.[^@\s:]+"
_MEMBER: Final = re.compile(
    rf"(?:user|group|serviceAccount|deleted:(?:user|group|serviceAccount)):{_MAIL}(?:\?uid=\d+)?"
    r"|serviceAccount:[a-z][-a-z0-9]+\.svc\.id\.goog\[[-a-z0-9]+/[-a-z0-9.]+\]"
    r"|domain:[-a-z0-9]+(?:\.[-a-z0-9]+)+"
    r"|project(?:Owner|Editor|Viewer):[-a-z0-9]+"
    r"|principal(?:Set)?://\S+"
)
_POOL: Final = re.compile(
    r"(?:serviceAccount:|.*/workloadIdentityPools/)([-a-z0-9]+)\.svc\.id\.goog\b.*"
)
# Members that stand for all who have a basic role on the project.
_BASIC: Final = {
    "projectOwner": "roles/owner", "projectEditor": "roles/editor",
    "projectViewer": "roles/viewer",
}  # fmt: skip
_NARROWED: Final = "_withcond_"

Policy = policy_pb2.Policy


class Policies:
    """All policies, by resource name; a resource without one has an empty policy."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._kept: dict[str, Policy] = {}
        # Names of custom roles, and e-mail addresses of the project's accounts: set by model.py.
        self.custom_roles: Callable[[str], Iterable[str] | None] = lambda _name: None
        self.has_account: Callable[[str], bool] = lambda _email: True

    def get(self, resource: str, version: int) -> Policy:
        """The policy in the asked version; conditions show from version 3 on.

        Raises:
            ApiError: INVALID_ARGUMENT: there is no such version.
        """
        if version not in (0, 1, 3):
            raise invalid(
                f"Invalid requested policy version {version}: valid are 0, 1 and 3.",
                field="options.requested_policy_version",
            )
        shown = Policy()
        shown.CopyFrom(self._kept.get(resource) or _stamped(Policy(), resource, 0))
        if version < 3 and shown.version == 3:
            shown.version = 1
            for binding in shown.bindings:
                if binding.HasField("condition"):
                    mark = hashlib.blake2s(binding.condition.SerializeToString(), digest_size=10)
                    binding.role += _NARROWED + mark.hexdigest()
                    binding.ClearField("condition")
        return shown

    def set(
        self, resource: str, policy: Policy, paths: Iterable[str] = (), *, public: bool = False
    ) -> Policy:
        """Replace the policy; `public`: whether the resource may be shared with everybody.

        Raises:
            ApiError: ABORTED: another write came between; INVALID_ARGUMENT: bad members, roles,
                conditions, version or mask.
        """
        wanted = set(paths) or {"bindings", "etag"}
        if unknown := wanted - {"bindings", "etag", "version", "audit_configs", "auditConfigs"}:
            raise invalid(f"Invalid update mask: {', '.join(sorted(unknown))}", field="update_mask")
        with self._cloud.lock:
            current = self.get(resource, 3)
            if policy.etag and policy.etag != current.etag:
                raise ApiError(
                    "ABORTED",
                    "There were concurrent policy changes. Please retry the whole "
                    "read-modify-write with exponential backoff. The request's ETag "
                    f"'{policy.etag.decode('latin-1')}' did not match the current policy's ETag.",
                )
            self._check(policy, current, public=public)
            new = Policy(bindings=_merged(policy.bindings))
            audits = policy if wanted & {"audit_configs", "auditConfigs"} else current
            new.audit_configs.extend(audits.audit_configs)
            if "bindings" not in wanted:
                del new.bindings[:]
                new.bindings.extend(current.bindings)
            revision = int(self._cloud.log.version) + len(self._kept) + 1
            self._kept[resource] = _stamped(new, resource, revision)
            self._cloud.changed("iam.policy.set", resource, "")
            return self.get(resource, 3)

    def grant(self, resource: str, role: str, *members: str) -> None:
        """Add members to a role, unchecked: for what the project starts with."""
        policy = self.get(resource, 3)
        policy.bindings.add(role=role, members=members)
        new = Policy(bindings=_merged(policy.bindings))
        self._kept[resource] = _stamped(new, resource, len(new.bindings))

    def forget(self, resource: str) -> None:
        """Drop the policy of a resource that is gone."""
        self._kept.pop(resource, None)

    def rename(self, old: str, new: str) -> None:
        """Put another member in a member's place everywhere, as when an account is deleted."""
        for resource, policy in self._kept.items():
            found = False
            for binding in policy.bindings:
                for index, member in enumerate(binding.members):
                    if member == old:
                        binding.members[index] = new
                        found = True
            if found:
                revision = int(self._cloud.log.version) + 1
                self._kept[resource] = _stamped(policy, resource, revision)

    def permissions(self, member: str, *resources: str) -> set[str]:
        """What a member may do on a resource; name its parents (the project) with it.

        Conditions are not evaluated: a conditional binding counts as granted.
        """
        found: set[str] = set()
        for resource in resources:
            for binding in self.get(resource, 3).bindings:
                if member in binding.members or "allUsers" in binding.members:
                    found.update(self._role(binding.role) or ())
        return found

    def allows(self, member: str, permission: str, *resources: str) -> bool:
        """Whether a member has a permission on any of the resources: name its parents too.

        As `permissions`, but a predefined role also grants what its patterns name and the table of
        permissions lacks.
        """
        return any(
            self._means(b.members, member) and self._grants(b.role, permission)
            for resource in resources
            if (policy := self._kept.get(resource)) is not None
            for b in policy.bindings
        )

    def _means(self, members: Iterable[str], member: str) -> bool:
        """Whether a binding's members include one; those of the project's basic roles too."""
        own = self._cloud.project.id
        for found in members:
            if found in (member, "allUsers", "allAuthenticatedUsers"):
                return True
            kind, _, project = found.partition(":")
            if kind in _BASIC and project == own and self._has_role(member, _BASIC[kind]):
                return True
        return False

    def _has_role(self, member: str, role: str) -> bool:
        policy = self._kept.get(f"projects/{self._cloud.project.id}") or Policy()
        return any(b.role == role and member in b.members for b in policy.bindings)

    def _grants(self, role: str, permission: str) -> bool:
        known = predefined().get(role)
        if known is not None:
            named = any(fnmatchcase(permission, p) for p in known.patterns)
            return named and not withheld(role, permission)
        return permission in (self.custom_roles(role) or ())

    def _role(self, name: str) -> Iterable[str] | None:
        role = predefined().get(name)
        return role.permissions if role else self.custom_roles(name)

    def _check(self, policy: Policy, current: Policy, *, public: bool) -> None:
        if policy.version not in (0, 1, 3):
            raise invalid(f"Invalid policy version {policy.version}.", field="policy.version")
        conditional = any(b.HasField("condition") for b in policy.bindings)
        held = any(b.HasField("condition") for b in current.bindings)
        if policy.version != 3 and (conditional or (held and policy.etag)):
            raise invalid(
                "Policies with conditional role bindings must specify version 3.",
                field="policy.version",
            )
        if sum(len(b.members) for b in policy.bindings) > MOST_PRINCIPALS:
            raise invalid(f"Policy has more than {MOST_PRINCIPALS} members.", field="policy")
        for binding in policy.bindings:
            if self._role(binding.role) is None:
                raise invalid(
                    f"Role {binding.role} is not supported for this resource.",
                    field="policy.bindings.role",
                )
            if binding.HasField("condition") and not (
                binding.condition.title and binding.condition.expression
            ):
                raise invalid(
                    "A condition needs a title and an expression.",
                    field="policy.bindings.condition",
                )
            for member in binding.members:
                self._check_member(member, public=public)

    def _check_member(self, member: str, *, public: bool) -> None:
        field = "policy.bindings.members"
        if member in _PUBLIC:
            if not public:
                raise invalid(
                    f"Members of type {member} are not supported for this resource.", field=field
                )
            return
        if _MEMBER.fullmatch(member) is None:
            raise invalid(
                f"Invalid principal {member}: it must be prefixed with a type, as in "
                "user:name@example.com.",
                field=field,
            )
        own = self._cloud.project.id
        if (found := _POOL.fullmatch(member)) and found[1] == own:
            if not self._cloud.fleet.clusters:
                raise invalid(
                    f"Identity Pool does not exist ({own}.svc.id.goog). Please check that you "
                    "specified a valid resource name as returned in the `name` attribute in the "
                    "configuration API.",
                    field=field,
                )
            return
        kind, _, mail = member.partition(":")
        ours = mail.endswith(f"@{own}.iam.gserviceaccount.com")
        if kind == "serviceAccount" and ours and not self.has_account(mail):
            raise invalid(f"Service account {mail} does not exist.", field=field)


def _merged(bindings: Iterable[policy_pb2.Binding]) -> list[policy_pb2.Binding]:
    """One binding per role and condition, its members sorted and once each."""
    found: dict[tuple[str, bytes], policy_pb2.Binding] = {}
    for binding in bindings:
        key = (binding.role, binding.condition.SerializeToString())
        if key not in found:
            found[key] = policy_pb2.Binding()
            found[key].CopyFrom(binding)
        else:
            found[key].members.extend(binding.members)
    for binding in found.values():
        members = sorted(set(binding.members))
        del binding.members[:]
        binding.members.extend(members)
    return [b for _, b in sorted(found.items()) if b.members]


def _stamped(policy: Policy, resource: str, revision: int) -> Policy:
    """The policy with version and etag as they follow from its content and revision."""
    policy.version = 3 if any(b.HasField("condition") for b in policy.bindings) else 1
    content = Policy(bindings=policy.bindings, audit_configs=policy.audit_configs)
    text = f"{resource}/{revision}/".encode() + content.SerializeToString(deterministic=True)
    # Eight bytes that begin alike, as Google's: in base64 each etag starts with "Bw".
    policy.etag = b"\x07\x06" + hashlib.blake2s(text, digest_size=6).digest()
    return policy
