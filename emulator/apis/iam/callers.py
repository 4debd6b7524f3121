"""Who calls: the project's owner, unless a bearer token names somebody else.

Nobody signs in on loopback. A token of the form `heartwood:serviceAccount:NAME@…` or
`heartwood:user:NAME@…` acts as that principal, with `;expires=UNIX_SECONDS` until then; IAM
Credentials hands out such tokens. Any other token, and none, is the owner's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emulator.apis.iam.model import OWNER, iam_state
from emulator.context import Cloud
from emulator.wire.errors import ApiError

PREFIX: Final = "heartwood:"
_TOKEN: Final = re.compile(
    r"(?P<member>(?:serviceAccount|user):[^\s:;@]+@[^\s:;@]+)(?:;expires=(?P<expires>\d{1,12}))?"
)
_ADVICE: Final = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. See "
    "https://developers.google.com/identity/sign-in/web/devconsole-project."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal, as policies name it."""

    member: str = OWNER

    @property
    def email(self) -> str:
        """Its address."""
        return self.member.partition(":")[2]

    @property
    def owner(self) -> bool:
        """Whether it is the project's owner, who may do anything."""
        return self.member == OWNER


def token_for(member: str, expires_at: float | None = None) -> str:
    """The token that acts as a member, e.g. "serviceAccount:a@p.iam.gserviceaccount.com"."""
    return PREFIX + member + (f";expires={int(expires_at)}" if expires_at is not None else "")


def caller_of(
    cloud: Cloud, headers: Mapping[str, str], query: Mapping[str, str], *, host: str, method: str
) -> Caller:
    """Who makes a call with these headers (names in lower case) and REST parameters.

    Args:
        host, method: of the call, for the error's details.

    Raises:
        ApiError: UNAUTHENTICATED: the token is expired, malformed, or of an account that is
            disabled or not there.
    """
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        token = query.get("access_token", "") or query.get("oauth_token", "")
    token = token.strip()
    if not token.startswith(PREFIX):
        return Caller()
    found = _TOKEN.fullmatch(token.removeprefix(PREFIX))
    about = {"service": host, "method": method}
    if found is None:
        raise unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED", about)
    if found["expires"] and int(found["expires"]) <= cloud.clock.now():
        raise unauthenticated("ACCESS_TOKEN_EXPIRED", about)
    caller = Caller(found["member"])
    if caller.member.startswith("serviceAccount:") and not _usable(cloud, caller.email):
        raise unauthenticated("ACCOUNT_STATE_INVALID", {"service": host, "email": caller.email})
    return caller


def _usable(cloud: Cloud, email: str) -> bool:
    """Whether a service account may act; those of other projects cannot be known here: yes."""
    state = iam_state(cloud)
    account = state.accounts.get(email)
    if account is not None:
        return not account.disabled
    own = cloud.project
    ours = (f"@{own.id}.iam.gserviceaccount.com", f"{own.number}-compute@")
    return not (email.endswith(ours[0]) or email.startswith(ours[1]))


def unauthenticated(reason: str, metadata: Mapping[str, str]) -> ApiError:
    """UNAUTHENTICATED, as Google's front end words it."""
    return ApiError(
        "UNAUTHENTICATED",
        f"Request had invalid authentication credentials. {_ADVICE}",
        reason=reason, metadata=metadata, legacy_reason="authError",
    )  # fmt: skip
