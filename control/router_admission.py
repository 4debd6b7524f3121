"""What the router's endpoint lets in: who may use it, and what a request has to look like.

Refusals are answers in OpenAI's error envelope. What becomes of a request that is let in is
`control/router_endpoint.py`'s.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from control.settings import Settings
from control.settings_access import is_loopback

_MOST_BYTES: Final = 16 * 2**20


def error_response(
    status: int,
    message: str,
    *,
    code: str = "",
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """OpenAI's error envelope; `more` stands beside the message."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code or None}
    return JSONResponse({"error": error | dict(more or {})}, status, dict(headers or {}))


class Refused(Exception):
    """A request that goes to no tier, and the answer to it."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may use the endpoint: whoever brings `key`; without one, this machine alone.

    `bound`: the address that the console listens on; None: on all of them.
    """

    key: str
    bound: str | None

    @classmethod
    def of(cls, settings: Settings, bound: str | None) -> Admission:
        """The router's own key, else the one of the server behind it: no way around that."""
        own = settings.router.api_key.get_secret_value()
        return cls(own or settings.playground.api_key.get_secret_value(), bound)

    def refuse(self, request: Request) -> Response | None:
        """The refusal of a request that may not come in; None: it may."""
        if self.key:
            given = request.headers.get("authorization", "").encode()
            if hmac.compare_digest(given, b"Bearer " + self.key.encode()):
                return None
            return error_response(
                401, "The router asks for a key; send the header Authorization: Bearer KEY.",
                code="invalid_api_key", headers={"www-authenticate": "Bearer"},
            )  # fmt: skip
        if self.bound is None or not is_loopback(self.bound):
            return error_response(
                403, "This console can be reached from other machines, and the router has no key: "
                "set api_key in [router] of heartwood.toml, or HEARTWOOD_ROUTER_API_KEY.",
                code="no_api_key_configured",
            )  # fmt: skip
        # A page of somebody else's, opened on this machine, must not use the router: by a name
        # that it has pointed here, or by a form.
        host = request.url.hostname or ""
        if not is_loopback(host):
            return error_response(
                403, "Without a key only this machine is answered: use an address of its own, such "
                "as 127.0.0.1.",
                code="unknown_host",
            )  # fmt: skip
        return None


async def read_body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; raises Refused, ClientDisconnect."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # what a form of another site can send is none
        raise Refused(error_response(
            415, "Send JSON, with the header Content-Type: application/json.", code="not_json",
        ))  # fmt: skip
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > _MOST_BYTES:
            raise Refused(error_response(
                413, f"The body is larger than {_MOST_BYTES:,} bytes; send less text at once.",
                code="body_too_large",
            ))  # fmt: skip
    try:
        body = json.loads(read)
    except (ValueError, RecursionError) as error:
        raise Refused(
            error_response(400, f"The body is not valid JSON: {error}", code="invalid_json")
        ) from error
    if not isinstance(body, dict):
        raise Refused(error_response(400, "The body must be a JSON object.", code="invalid_json"))
    return cast("dict[str, Any]", body)
