"""The table [access] of `heartwood.toml`: how people sign in, and who may do what."""

from __future__ import annotations

import getpass
import ipaddress
import os
from collections.abc import Callable
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from control.access import Role
from control.settings_sections import Section
from control.tier_settings import refuse

Login = Literal["", "local", "oidc", "iap"]
_MACHINE: Final = "os:"
IAP_KEYS_URL = "https://www.gstatic.com/iap/verify/public_key"


class LocalUser(Section):
    """One [[access.users]]: somebody who can be chosen without a password, on the emulator only."""

    name: str = Field(pattern=r"^[\w.@ -]{1,64}$", description="letters, digits, . @ - _, blanks")
    role: Role


def machine_user() -> str:
    """Name of the user that this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


class AccessSettings(Section):
    """[access]: the way in, and the roles of those who came in.

    `admins` to `viewers` are e-mail addresses, "*@example.com", "*", or values of `roles_claim`
    written "group:NAME"; the highest role that fits counts. "os:NAME" is a user of the console's
    machine, on the command line alone.
    """

    login: Login = Field(
        default="",
        description="oidc: st.login with [auth] in .streamlit/secrets.toml; iap: Identity-Aware"
        " Proxy; local: named users without a password, with the emulator only; empty: local where"
        " the emulator's console listens on this machine alone, else nobody may change anything",
    )
    iap_audience: str = Field(
        default="", description="/projects/NUMBER/global/backendServices/ID, as IAP shows it"
    )
    iap_keys_url: str = Field(default=IAP_KEYS_URL, pattern=r"^https?://[^\s@]+$")
    roles_claim: str = Field(
        default="", description="claim of the token that lists groups; realm_access.roles: within"
    )
    session_h: float = Field(
        default=0, ge=0, le=24, description="hours until an oidc sign-in ends; 0: as its token says"
    )
    admins: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    viewers: tuple[str, ...] = ()
    users: tuple[LocalUser, ...] = Field(
        default=(), description="empty: this machine's user as operator, and one of each other role"
    )

    @field_validator("users")
    @classmethod
    def _distinct(cls, users: tuple[LocalUser, ...]) -> tuple[LocalUser, ...]:
        for index, user in enumerate(users):
            if user.name in {u.name for u in users[:index]}:
                raise refuse("users have names of their own", f"{index}.name", user.name)
        return users

    @model_validator(mode="after")
    def _complete(self) -> AccessSettings:
        if self.login == "iap" and not self.iap_audience:
            raise refuse("iap needs the audience that IAP signs for", "iap_audience", "")
        return self

    @property
    def local_users(self) -> tuple[LocalUser, ...]:
        """Who can be chosen where nobody signs in; the first one is who comes without a choice."""
        if self.users:
            return self.users
        others = (("ben", Role.APPROVER), ("cleo", Role.ADMIN), ("vic", Role.VIEWER))
        mine = LocalUser.model_construct(name=machine_user(), role=Role.OPERATOR)
        return (
            mine,
            *(LocalUser(name=name, role=role) for name, role in others if name != mine.name),
        )

    def role_of(self, email: str, groups: tuple[str, ...] = ()) -> Role | None:
        """The highest role of somebody; None: they have none, and may not even look."""
        names = {email.lower(), "*", *(f"group:{group}" for group in groups)}
        if "@" in email:
            names.add(f"*@{email.lower().rpartition('@')[2]}")
        return self._ranked(lambda p: not p.startswith(_MACHINE) and _folded(p) in names)

    def role_of_machine_user(self, user: str) -> Role | None:
        """The highest role of a user of this machine on the command line; None: they have none."""
        return self._ranked(lambda p: p == f"{_MACHINE}{user}")

    def _ranked(self, fits: Callable[[str], bool]) -> Role | None:
        ranked = (
            (Role.ADMIN, self.admins),
            (Role.APPROVER, self.approvers),
            (Role.OPERATOR, self.operators),
            (Role.VIEWER, self.viewers),
        )
        for role, listed in ranked:
            if any(fits(p) for p in listed):
                return role
        return None


def _folded(pattern: str) -> str:
    """An address in lower case; the name of a group as it is."""
    return pattern if pattern.startswith("group:") else pattern.lower()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
