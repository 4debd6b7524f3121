"""Who acts, with which role, and whether they may: the check that every handler makes.

Who somebody is `control/people.py` finds out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from core.errors import Denied, Unconfirmed


class Role(StrEnum):
    """What somebody may do, the least first; each may do all that those before it may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # apply plans, pause and stop whatever runs
    APPROVER = "approver"  # approve what somebody else asked for, let it go on when it was paused
    ADMIN = "admin"  # override what a guard blocks

    def covers(self, other: Role) -> bool:
        """Whether it may do all that the other may."""
        ranks = tuple(Role)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who looks or acts.

    Attributes:
        name: as the audit keeps it.
        origin: where from.
        may_act: False: may only look, `why_not` says why.
        role: None: not even look.
        expires_at: end of the sign-in; None: it has none.
    """

    name: str
    origin: str
    may_act: bool = True
    why_not: str = ""
    role: Role | None = Role.OPERATOR
    expires_at: datetime | None = None

    def lacks(self, role: Role = Role.OPERATOR, now: datetime | None = None) -> str:
        """Why they may not do what needs that role; "" when they may."""
        if self.expires_at is not None and (now or datetime.now(UTC)) >= self.expires_at:
            return f"The sign-in of {self.name} has expired: reload the page and sign in again."
        covered = self.role is not None and self.role.covers(role)
        mine = "has no role" if self.role is None else f"is {self.role}"
        missing = f"Needs the role {role}; {self.name} {mine}."
        if not covered and self.role is not None and role is not Role.OPERATOR:
            return missing
        if not covered:
            return self.why_not or missing
        return "" if self.may_act else self.why_not or "This console is in read-only mode."


def require(actor: Actor, role: Role = Role.OPERATOR) -> None:
    """Pass an actor who may do what needs that role.

    Raises:
        Denied: they may not; the message says which role is missing, or what else is.
    """
    why_not = actor.lacks(role)
    if why_not:
        raise Denied(why_not, resource=actor.name)


def require_overrides(actor: Actor, overrides: Mapping[str, str]) -> None:
    """Pass an actor who may decide against these guards, each with a reason.

    Raises:
        Denied: they may not.
        Unconfirmed: a reason is missing.
    """
    if not overrides:
        return
    require(actor, Role.ADMIN)
    silent = [guard for guard, reason in overrides.items() if not reason.strip()]
    if silent:
        raise Unconfirmed(f"No reason is given for overriding {', '.join(silent)}.")
