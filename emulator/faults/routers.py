"""The gate before a router-mounted API: Kubernetes, Storage, BigQuery and the older REST APIs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from emulator.faults.asked import Asked
from emulator.faults.breaking import Truncating, reset
from emulator.faults.gate import Refused
from emulator.faults.naming import asked_http
from emulator.wire.errors import ApiError, to_envelope
from emulator.wire.mount import Asgi, RouterMount

if TYPE_CHECKING:
    from emulator.context import Cloud

# Kubernetes' reasons, by HTTP status.
_REASONS: Final = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict",
    429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip
# BigQuery's reasons, by code.
_BIGQUERY: Final = {
    "PERMISSION_DENIED": "accessDenied", "RESOURCE_EXHAUSTED": "quotaExceeded",
    "UNAVAILABLE": "backendError", "UNAUTHENTICATED": "authError",
}  # fmt: skip


class GatedApp:
    """A router's application behind the gate."""

    def __init__(self, cloud: Cloud, mount: RouterMount, app: Asgi) -> None:
        self._cloud, self._mount, self._app = cloud, mount, app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request, or refuse, delay or break it."""
        request = Request(scope, receive)
        asked = self._asked(request)
        gate = self._cloud.gate
        if asked is None or gate is None:
            await self._app(scope, receive, send)
            return
        headers = {k.lower(): v for k, v in request.headers.items()}
        query = dict(request.query_params)
        try:
            passage = await asyncio.to_thread(gate.admit, asked, headers, query)
        except ApiError as error:
            if isinstance(error, Refused):
                await asyncio.sleep(error.wait_s)
            code = error.code.name
            self._cloud.calls.count(asked.service, asked.methods[0], "rest", code)
            await _refusal(asked, error)(scope, receive, send)
            return
        if passage.wait_s:
            await asyncio.sleep(passage.wait_s)
        if passage.cut == "reset":
            await reset(scope, receive)
            return
        cut = Truncating(scope, receive, send) if passage.cut else send
        await self._app(scope, receive, cut)

    def _asked(self, request: Request) -> Asked | None:
        scope = request.scope
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1").split("?", 1)[0].removeprefix(scope.get("root_path", ""))
        return asked_http(
            self._mount.prefix, self._mount.service, request.method, path,
            dict(request.query_params), self._cloud.project.id,
        )  # fmt: skip


def _refusal(asked: Asked, error: ApiError) -> Response:
    if asked.service == "kubernetes":
        body: dict[str, Any] = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": _kubernetes_words(asked, error),
            "reason": _REASONS.get(error.http_status, "InternalError"), "code": error.http_status,
        }  # fmt: skip
        return _json(body, error.http_status)
    body = to_envelope(error, legacy=True)
    if asked.service == "bigquery" and error.code.name in _BIGQUERY:
        body["error"]["errors"][0]["reason"] = _BIGQUERY[error.code.name]
    return _json(body, error.http_status)


def _kubernetes_words(asked: Asked, error: ApiError) -> str:
    if error.http_status == 401:
        return "Unauthorized"
    if error.reason == "IAM_PERMISSION_DENIED":
        permission = dict(error.details[0].metadata)["permission"]  # type: ignore[attr-defined]
        return (
            f'{asked.group} is forbidden: cannot {asked.verb} resource "{asked.group}": requires '
            f'one of ["{permission}"] permission(s).'
        )
    return error.message


def _json(body: Any, status: int) -> Response:
    return Response(json.dumps(body), status, media_type="application/json; charset=UTF-8")
