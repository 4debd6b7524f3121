"""Who is in front of a page: from a sign-in, from a proxy's signed header, or chosen by name.

Named users without a password are for the emulator alone, on this machine alone. Against a real
project without a sign-in nobody may change anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, cast

from control.access import Actor, Role
from control.settings import Settings
from control.settings_access import is_loopback, machine_user
from core.errors import OpsError

IAP_HEADER: Final = "x-goog-iap-jwt-assertion"
USER_COOKIE: Final = "heartwood_user"
READ_ONLY: Final = "This console is in read-only mode."
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser's session tells of the person.

    Attributes:
        origin: where from, for the audit.
        headers: of the request, names in lower case.
        cookies: of the request.
        claims: of the sign-in, verified; None: nobody has signed in.
        chosen: name of the local user chosen in this session; "" when none was.
        shell: it is the command line of this machine, no browser.
    """

    origin: str = "console"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cookies: Mapping[str, str] = field(default_factory=dict[str, str])
    claims: Mapping[str, Any] | None = None
    chosen: str = ""
    shell: bool = False


class TokenVerifier(Protocol):
    """What of `services.iap.Iap` is needed."""

    def verify(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that IAP signed for us; raises OpsError."""
        ...


class EndedSignIns(Protocol):
    """What of `control.sign_outs.SignOuts` is needed."""

    def end(self, sign_in: Sequence[str]) -> None:
        """Note that it has ended."""
        ...

    def has_ended(self, sign_in: Sequence[str]) -> bool:
        """Whether it was ended by its owner."""
        ...


class People:
    """Tells an `Actor` from a `Session`. Safe for threads."""

    def __init__(
        self,
        settings: Settings,
        iap: TokenVerifier | None = None,
        sign_outs: EndedSignIns | None = None,
    ) -> None:
        """`sign_outs`: where ended sign-ins are kept; None: where nobody signs in by a page."""
        self._settings, self._iap, self._sign_outs = settings, iap, sign_outs
        self._ask: Callable[[], Session] = Session

    def ask_by(self, ask: Callable[[], Session]) -> None:
        """Where the present session is found out; without it there is none."""
        self._ask = ask

    @property
    def login(self) -> str:
        """ "oidc", "iap", "local", or "" : nobody can sign in."""
        access, cloud = self._settings.access, self._settings.cloud
        if access.login == "local" or not access.login:
            alone = access.login == "local" or is_loopback(self._settings.hosts.bind)
            return "local" if cloud.simulated and alone else ""
        return access.login

    def names(self) -> Mapping[str, Role]:
        """Who can be chosen by name, with their roles; empty where people sign in."""
        if self.login != "local":
            return {}
        return {user.name: user.role for user in self._settings.access.local_users}

    def present(self) -> Actor:
        """Who is in front of the page that asks."""
        return self.identify(self._ask())

    def identify(self, session: Session) -> Actor:
        """Who that is, and what they may."""
        if session.shell and self.login != "local":
            found = self._at_the_shell(session)
        else:
            found = {
                "local": self._local,
                "oidc": self._signed_in,
                "iap": self._behind_proxy,
            }.get(self.login, self._nobody)(session)
        if self._settings.read_only and found.role is not None:
            return Actor(found.name, found.origin, False, READ_ONLY, found.role, found.expires_at)
        return found

    def sign_out(self) -> None:
        """End the present sign-in in all tabs of the browser, and at all consoles.

        Streamlit's own sign-out takes the cookie away; a tab that is open goes on with what the
        cookie told it when it was opened.
        """
        claims = self._ask().claims
        if claims is not None and self._sign_outs is not None:
            self._sign_outs.end(_sign_in(claims))

    def _local(self, session: Session) -> Actor:
        names = self.names()
        for name in (session.chosen, session.cookies.get(USER_COOKIE, "")):
            if name in names:
                return _actor(name, session.origin, names[name])
        first = next(iter(names))
        return _actor(first, session.origin, names[first])

    def _at_the_shell(self, session: Session) -> Actor:
        """This machine's user, who may do what [access] says; look they can in any case."""
        user = machine_user()
        role = self._settings.access.role_of_machine_user(user)
        if role is not None:
            return _actor(user, session.origin, role)
        why = f'{user} has no role on the command line: list "os:{user}" under [access].'
        return Actor(user, session.origin, False, why, Role.VIEWER)

    def _signed_in(self, session: Session) -> Actor:
        if session.claims is None:
            return Actor("nobody", session.origin, False, "Nobody has signed in.", None)
        actor = self._of_claims(session.claims, session.origin, self._end_of(session.claims))
        gone = self._sign_outs is not None and self._sign_outs.has_ended(_sign_in(session.claims))
        why = f"{actor.name} has signed out in another tab of this browser." if gone else ""
        if actor.expires_at is not None and datetime.now(UTC) >= actor.expires_at:
            why = actor.lacks()
        return replace(actor, role=None, may_act=False, why_not=why) if why else actor

    def _end_of(self, claims: Mapping[str, Any]) -> datetime:
        """When a sign-in ends: as the settings say, else as its token does."""
        hours, began = self._settings.access.session_h, _time(claims.get("iat"))
        if not hours or began == _NEVER:
            return _time(claims.get("exp"))
        return began + timedelta(hours=hours)

    def _behind_proxy(self, session: Session) -> Actor:
        token = session.headers.get(IAP_HEADER, "")
        if not token or self._iap is None:
            why = "The request did not come through Identity-Aware Proxy."
            return Actor("nobody", session.origin, False, why, None)
        try:
            claims = self._iap.verify(token)
        except OpsError as error:
            return Actor("nobody", session.origin, False, error.message, None)
        return self._of_claims(claims, session.origin, _time(claims.get("exp")))

    def _of_claims(self, claims: Mapping[str, Any], origin: str, ends_at: datetime) -> Actor:
        access = self._settings.access
        email = str(claims.get("email") or "").lower()
        if not email or claims.get("email_verified") in (False, "false"):
            why = (
                "The sign-in tells no verified e-mail address: verify it with the identity"
                " provider, or have the provider send the claim email."
            )
            return Actor(str(claims.get("sub") or "nobody"), origin, False, why, None)
        groups = _strings(_claim(claims, access.roles_claim)) if access.roles_claim else ()
        role = access.role_of(email, groups)
        if role is None:
            why = f"{email} has no role here: whoever runs this console gives one under [access]."
            return Actor(email, origin, False, why, None)
        return _actor(email, origin, role, ends_at)

    def _nobody(self, session: Session) -> Actor:
        target = "A real project" if not self._settings.cloud.simulated else "This console"
        why = (
            f"{target} without a sign-in can only be looked at: set [access] login in the settings."
        )
        return Actor(machine_user(), session.origin, False, why, Role.VIEWER)


def _actor(name: str, origin: str, role: Role, expires_at: datetime | None = None) -> Actor:
    may = role.covers(Role.OPERATOR)
    why = "" if may else f"Needs the role {Role.OPERATOR}; {name} is {role}."
    return Actor(name, origin, may, why, role, expires_at)


def _sign_in(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells one sign-in from another, also of the same person."""
    return tuple(str(claims.get(name)) for name in ("iss", "sub", "iat", "nonce"))


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """The claim of that name; where there is none, of that path with dots; None: neither."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = (
            cast("Mapping[str, object]", found).get(name) if isinstance(found, Mapping) else None
        )
    return found


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(str(v) for v in cast("list[object]", value))
    return ()


def _time(value: object) -> datetime:
    """When a token ends; one that does not say has ended."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NEVER
    return datetime.fromtimestamp(value, UTC)
