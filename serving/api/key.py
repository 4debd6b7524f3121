"""Asks every request for the server's bearer key, where one is set.

Probes and metrics stay open: kubelets and Prometheus bring no key, and learn nothing of requests.
"""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api.errors import error_response
from serving.api.refusal import refuse

OPEN_PATHS = frozenset({"/health", "/ready", "/metrics", "/version"})


class KeyGate:
    """Refuses with 401 what does not bring `Authorization: Bearer KEY`."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        """Wrap `app`."""
        self._app, self._expected = app, b"Bearer " + key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through, or refuse it before anything of its body is looked at."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._knows(scope):
            await self._app(scope, receive, send)
            return
        response = error_response(
            401,
            "This server asks for a key; send the header Authorization: Bearer KEY.",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer", "Connection": "close"},
        )
        await refuse(response, scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)
