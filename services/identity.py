"""As whom the console calls Google Cloud, for people to check; no permission is tested here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from services import calls
from services.clients import Clients

_TOKEN_INFO: Final = "https://oauth2.googleapis.com/tokeninfo"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are.

    Attributes:
        name: e-mail address of the user or service account; "anonymous" on the emulator.
        kind: "anonymous", "service account", "user" or "unknown".
        project: project of the calls.
        expires_at: when the present access token ends (it is renewed by itself); None: unknown.
    """

    name: str
    kind: str
    project: str
    expires_at: datetime | None = None


def probe_identity(clients: Clients) -> Identity:
    """The identity behind the credentials, after getting a valid token with them.

    Raises:
        Denied: there are no credentials, or they are expired or revoked.
        Unavailable: the token endpoint does not answer.
    """
    credentials = clients.credentials
    token = clients.fresh_token()
    if not token:
        return Identity("anonymous", "anonymous", clients.project)
    expiry = cast(datetime | None, getattr(credentials, "expiry", None))
    expires_at = expiry.replace(tzinfo=UTC) if expiry else None
    account = str(getattr(credentials, "service_account_email", "") or "")
    if account and account != "default":
        return Identity(account, "service account", clients.project, expires_at)
    name = str(getattr(credentials, "account", "") or "") or _email(clients, token)
    if not name:
        return Identity("unknown", "unknown", clients.project, expires_at)
    kind = "service account" if name.endswith(".gserviceaccount.com") else "user"
    return Identity(name, kind, clients.project, expires_at)


def _email(clients: Clients, token: str) -> str:
    """The address that Google says the token belongs to; "" when it tells none."""
    import httpx

    def read(timeout_s: float) -> Any:
        # In the body, so that the token reaches no log of addresses.
        answer = httpx.post(_TOKEN_INFO, data={"access_token": token}, timeout=timeout_s)
        answer.raise_for_status()
        return answer.json()

    found = clients.call(read, resource=_TOKEN_INFO)
    with calls.converting(_TOKEN_INFO):
        return str(found.get("email", ""))
