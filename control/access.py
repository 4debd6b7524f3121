"""Who acts, and whether anybody may act at all.

Small on purpose: one local user. Roles, sign-in and approvals by a second person come on top of
`Actor` and `require`.
"""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass

from core.errors import Denied


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who looks or acts.

    `may_act` False: read only, `why_not` says why.
    """

    name: str
    origin: str
    may_act: bool = True
    why_not: str = ""


def current_actor(*, read_only: bool, origin: str = "console") -> Actor:
    """The person in front of this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = f"uid {os.getuid()}"
    if read_only:
        return Actor(name, origin, False, "This console is in read-only mode.")
    return Actor(name, origin)


def require(actor: Actor) -> None:
    """Pass an actor who may act.

    Raises:
        Denied: they may only look.
    """
    if not actor.may_act:
        raise Denied(actor.why_not, resource=actor.name)
