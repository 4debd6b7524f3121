"""State of IAM: service accounts and the project's own roles; policies lie in policies.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from emulator.apis.iam.policies import Policies
from emulator.context import Cloud
from emulator.wire.errors import invalid

MOST_ACCOUNTS: Final = 100
# Who acts on loopback, where nobody signs in.
OWNER: Final = "user:owner@heartwood.example"


@dataclass(frozen=True, slots=True)
class Account:
    """One service account."""

    project: str
    email: str
    unique_id: str
    display_name: str = ""
    description: str = ""
    disabled: bool = False
    revision: int = 0

    @property
    def full_name(self) -> str:
        """projects/…/serviceAccounts/E-MAIL"""
        return f"projects/{self.project}/serviceAccounts/{self.email}"

    @property
    def member(self) -> str:
        """As a policy names it."""
        return f"serviceAccount:{self.email}"

    @property
    def policy_of(self) -> str:
        """The resource name under which its own policy is kept: a namesake gets another."""
        return f"projects/{self.project}/serviceAccounts/{self.unique_id}"


@dataclass(frozen=True, slots=True)
class CustomRole:
    """A role of the project's own."""

    name: str
    title: str = ""
    description: str = ""
    permissions: tuple[str, ...] = ()
    stage: str = "ALPHA"
    deleted: bool = False
    revision: int = 0


@dataclass
class IamState:
    """Service accounts by e-mail address, deleted ones by unique id, custom roles by name."""

    cloud: Cloud
    policies: Policies
    accounts: dict[str, Account] = field(default_factory=dict)
    deleted: dict[str, Account] = field(default_factory=dict)
    roles: dict[str, CustomRole] = field(default_factory=dict)
    made: int = 0

    def find(self, key: str) -> Account | None:
        """By e-mail address or unique id."""
        if key in self.accounts:
            return self.accounts[key]
        return next((a for a in self.accounts.values() if a.unique_id == key), None)

    def check_runs_as(self, email: str, field: str) -> None:
        """Pass an account that machines may run as: none, "default", another project's, or one that
        this project has and has not disabled.

        Raises:
            ApiError: INVALID_ARGUMENT.
        """
        own = (
            f"@{self.cloud.project.id}.iam.gserviceaccount.com",
            "@developer.gserviceaccount.com",
        )
        if email in ("", "default") or ("@" in email and not email.endswith(own)):
            return
        found = self.accounts.get(email)
        if found is None or found.disabled:
            what = "does not exist" if found is None else "is disabled"
            raise invalid(f'Service account "{email}" {what}.', field=field)

    def add(self, email: str, display_name: str = "", description: str = "") -> Account:
        """A new account; the caller has checked that the address is free."""
        self.made += 1
        unique_id = _unique_id(f"{self.cloud.seed}/{email}/{self.made}")
        project = self.cloud.project.id
        account = Account(project, email, unique_id, display_name, description)
        self.accounts[email] = account
        return account

    def put(self, account: Account, **changes: str | bool) -> Account:
        """Change an account's fields."""
        new = replace(account, revision=account.revision + 1, **changes)  # type: ignore[arg-type]
        self.accounts[account.email] = new
        return new

    def remove(self, account: Account) -> None:
        """Delete; policies keep the member as deleted, so that an undelete brings it back."""
        del self.accounts[account.email]
        self.deleted[account.unique_id] = account
        self.policies.rename(account.member, _gone(account))

    def restore(self, account: Account) -> None:
        """Undelete."""
        del self.deleted[account.unique_id]
        self.accounts[account.email] = account
        self.policies.rename(_gone(account), account.member)

    def permissions_of(self, role: str) -> Iterable[str] | None:
        """Of a custom role that is not deleted."""
        found = self.roles.get(role)
        return None if found is None or found.deleted else found.permissions


def _gone(account: Account) -> str:
    return f"deleted:{account.member}?uid={account.unique_id}"


def _unique_id(text: str) -> str:
    """21 digits, the first a 1, as Google's."""
    number = int.from_bytes(hashlib.blake2s(text.encode(), digest_size=12).digest())
    return f"1{number % 10**20:020d}"


def iam_state(cloud: Cloud) -> IamState:
    """The project's one IAM state, shared by every API that knows policies or accounts."""
    return cloud.store(IamState, lambda: _initial(cloud))


def _initial(cloud: Cloud) -> IamState:
    policies = Policies(cloud)
    state = IamState(cloud, policies)
    policies.custom_roles = state.permissions_of
    policies.has_account = state.accounts.__contains__
    project, number = cloud.project.id, cloud.project.number
    resource = f"projects/{project}"
    policies.grant(resource, "roles/owner", OWNER)
    default = state.add(
        f"{number}-compute@developer.gserviceaccount.com", "Compute Engine default service account"
    )
    policies.grant(resource, "roles/editor", default.member)
    robots = f"serviceAccount:service-{number}@container-engine-robot.iam.gserviceaccount.com"
    policies.grant(resource, "roles/container.serviceAgent", robots)
    if cloud.scenario.tiers:
        nodes = state.add(f"hw-nodes@{project}.iam.gserviceaccount.com", "Heartwood GKE nodes")
        for role in ("container.defaultNodeServiceAccount", "artifactregistry.reader",
                     "storage.objectViewer"):  # fmt: skip
            policies.grant(resource, f"roles/{role}", nodes.member)
    return state
