"""Web pages that a browser on this machine shows must not reach the emulator.

Whoever calls owns the emulated project, so any page could change it by a plain form or by a name
that its author lets resolve to 127.0.0.1. Google's own clients send no Origin, and call a loopback
address by its name.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from emulator.wire.errors import ApiError, to_envelope

if TYPE_CHECKING:
    from emulator.wire.mount import Asgi


class OwnProgramsOnly:
    """The application, for this machine's programs; for whomever, where others are let in.

    Args:
        bound_to: the address that the emulator listens at.
    """

    def __init__(self, app: Asgi, bound_to: str) -> None:
        self._app, self._bound_to = app, bound_to

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass or refuse one request."""
        app = self._app
        try:
            if scope["type"] == "http":
                check_visitor(scope, self._bound_to)
        except ApiError as error:
            app = JSONResponse(to_envelope(error), error.http_status)
        await app(scope, receive, send)


def check_visitor(scope: Any, bound_to: str) -> None:
    """Pass a request that no page from elsewhere made.

    Raises:
        ApiError: PERMISSION_DENIED: a page from elsewhere asks, or by a name of elsewhere.
    """
    headers = {k: v.decode("latin-1") for k, v in scope["headers"] if k in (b"host", b"origin")}
    host, origin = headers.get(b"host", ""), headers.get(b"origin", "")
    if origin and urlsplit(origin).netloc != host and not is_loopback(urlsplit(origin).hostname):
        raise ApiError("PERMISSION_DENIED", f"Pages of {origin} may not call this emulator.")
    name = urlsplit(f"//{host}").hostname
    if host and is_loopback(bound_to) and not is_loopback(name):
        raise ApiError(
            "PERMISSION_DENIED",
            f"This emulator answers to loopback addresses, not to {host}. To reach it from other "
            "machines, set HEARTWOOD_EMULATOR_HOST to the address that it is to listen at.",
        )


def is_loopback(name: str | None) -> bool:
    """Whether a host's name or address is this machine's own."""
    if name == "localhost" or (name or "").endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False
