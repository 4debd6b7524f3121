"""Every failure as OpenAI's error envelope, with the field at fault in `param`."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serving.api.schema import UnsupportedField
from serving.engine import NotReady
from serving.scheduler import QueueFull

_TYPES = {404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """A request that is refused: status, what to do about it, and which field."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        """`message` is for the person who sent the request."""
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


def error_response(
    status: int,
    message: str,
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The envelope `{"error": {message, type, param, code}}`."""
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    error = {
        "message": message,
        "type": _TYPES.get(status, fallback),
        "param": param,
        "code": code,
    }
    return JSONResponse({"error": error}, status, headers)


def field_name(location: tuple[str | int, ...]) -> str | None:
    """`messages.0.content` for pydantic's location of a body field.

    Steps that only name the branch of a union that was tried (`str`, `list[int]`) are left out.
    """
    steps = [str(step) for step in location[1:]]
    kept = [s for s in steps if s.isdecimal() or (s.isidentifier() and s not in ("str", "int"))]
    return ".".join(kept) or None


async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    problems = error.errors()
    first = problems[0]
    # A value that fits no branch of a union has an error for each: the deepest knows best.
    same = [problem for problem in problems if problem["loc"][:2] == first["loc"][:2]]
    first = max(same, key=lambda problem: len(problem["loc"]))
    if first["type"] == "json_invalid":
        detail = first.get("ctx", {}).get("error", "")
        return error_response(400, f"The body is not valid JSON: {detail}", code="invalid_json")
    field = field_name(tuple(first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if field is None and first["type"] in ("missing", "model_attributes_type", "dict_type"):
        message = "The body must be a JSON object, sent with Content-Type: application/json"
    return error_response(400, f"{field}: {message}" if field else message, field)


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    message = str(error.detail)
    if error.status_code == 404:
        message = f"There is no {request.method} {request.url.path} here; see /docs."
    headers = dict(error.headers) if error.headers else None
    return error_response(error.status_code, message, headers=headers)


async def _refused(_: Request, error: ApiError) -> JSONResponse:
    return error_response(error.status, error.message, error.param, error.code)


async def _unsupported(_: Request, error: UnsupportedField) -> JSONResponse:
    return error_response(400, str(error), error.field, "unsupported_field")


async def _full(_: Request, error: QueueFull) -> JSONResponse:
    message = f"The queue is full ({error}); try again shortly."
    return error_response(429, message, code="queue_full", headers={"Retry-After": "1"})


async def _not_ready(_: Request, error: NotReady) -> JSONResponse:
    message = f"The server takes no requests now: {error}."
    return error_response(503, message, code="not_ready", headers={"Retry-After": "5"})


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return error_response(500, "The server failed on this request; its log says why.")


def install_error_handlers(app: FastAPI) -> None:
    """Answer every failure of `app` in the envelope."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(UnsupportedField, _unsupported)
    app.add_exception_handler(QueueFull, _full)
    app.add_exception_handler(NotReady, _not_ready)
    app.add_exception_handler(Exception, _unexpected)
