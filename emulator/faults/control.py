"""The control call: GET, POST and DELETE /_heartwood/faults on the REST port."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from emulator.faults.book import FaultBook, shown
from emulator.faults.presets import PRESETS
from emulator.faults.rules import KEYS, RuleError
from emulator.wire.errors import ApiError, invalid, to_envelope
from emulator.wire.rest import json_response

if TYPE_CHECKING:
    from emulator.context import Cloud

PATH: Final = "/_heartwood/faults"


class FaultControl:
    """The ASGI application; below its path lie the rules, each under its id."""

    def __init__(self, cloud: Cloud, book: FaultBook) -> None:
        self._cloud, self._book = cloud, book

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        raw = await request.body()
        path = str(scope["path"]).removeprefix(scope.get("root_path", "")).strip("/")
        await self._answer(request.method, path, raw)(scope, receive, send)

    def _answer(self, verb: str, rule_id: str, raw: bytes) -> Response:
        try:
            return json_response(self._do(verb, rule_id, raw))
        except RuleError as error:
            refusal = invalid(str(error), field=error.key)
        except ApiError as error:
            refusal = error
        return json_response(to_envelope(refusal), refusal.http_status)

    def _do(self, verb: str, rule_id: str, raw: bytes) -> Any:
        book, now = self._book, self._cloud.clock.now()
        if verb == "POST" and not rule_id:
            return {"faults": [shown(r, now) for r in book.add_all(_json(raw))]}
        if verb == "GET":
            found = [shown(r, now) for r in book.rules() if rule_id in ("", r.id)]
            if rule_id and not found:
                raise _no_rule(rule_id)
            return found[0] if rule_id else {
                "faults": found, "presets": PRESETS, "keys": list(KEYS),
            }  # fmt: skip
        if verb == "DELETE":
            if not rule_id:
                return {"removed": book.clear()}
            if not book.remove(rule_id):
                raise _no_rule(rule_id)
            return {"removed": 1}
        raise ApiError(
            "UNIMPLEMENTED", f"{PATH} takes GET, POST and DELETE; a rule GET and DELETE."
        )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RuleError("body", f"must be JSON: {error}") from error


def _no_rule(rule_id: str) -> ApiError:
    return ApiError("NOT_FOUND", f"There is no fault rule {rule_id!r}.")
