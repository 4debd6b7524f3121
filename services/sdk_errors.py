"""What each SDK's exception means in `core.errors`, with a hint for the person.

Covers google.api_core, google.auth, grpc, kubernetes, urllib3, requests, httpx, protobuf and the
standard library's network errors. Exception classes are recognised by their module, so that no SDK
is imported for the sake of a call that does not use it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from core.errors import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    OpsError,
    QuotaExceeded,
    RateLimited,
    SwitchedOff,
    Unavailable,
)
from services.permission_hints import grant_hint, kubernetes_hint, service_disabled_hint

LOGIN_HINT: Final = (
    "Sign in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS."
)
_MESSAGE_CHARS: Final = 400
_STOCK_OUT: Final = re.compile(
    r"stock.?out|RESOURCE_POOL_EXHAUSTED|not enough resources|RESOURCES_EXHAUSTED", re.I
)
_RATE: Final = re.compile(r"per (minute|second|\d+ ?s)|rate.?limit|too many requests", re.I)
_QUOTA: Final = re.compile(r"quota", re.I)


@dataclass(frozen=True, slots=True)
class CallContext:
    """What hints may name: the project called, and what to do when nothing answers."""

    project: str = ""
    unreachable_hint: str = ""


@dataclass(frozen=True, slots=True)
class _Failure:
    """An SDK error's content: canonical gRPC code name, message, ErrorInfo."""

    code: str
    message: str
    reason: str = ""
    metadata: Mapping[str, str] | None = None


_BY_HTTP: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    410: "ABORTED",  # a list's continue token expired: the list changed while it was read
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    416: "OUT_OF_RANGE",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def translate(error: Exception, resource: str, context: CallContext) -> OpsError | None:
    """Our error for an SDK's; None when it is not an SDK's but a mistake in our own code."""
    for cls in type(error).__mro__:
        for prefix, handler in _HANDLERS:
            if (cls.__module__ + "." + cls.__qualname__).startswith(prefix):
                return handler(error, resource, context)
    if isinstance(error, TypeError | AttributeError | LookupError | ValueError):
        return _malformed(error, resource, context) if _raised_in_sdk(error) else None
    return None


def _raised_in_sdk(error: Exception) -> bool:
    """Whether an SDK itself stumbled, which is how some of them take an answer of another kind."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""
    return module.split(".", 1)[0] in _SDK_PACKAGES


def from_http(status: int, message: str, resource: str, context: CallContext) -> OpsError:
    """Our error for a plain HTTP status with its message."""
    code = _BY_HTTP.get(status)
    if code is None:
        code = "UNAVAILABLE" if status >= 500 else "INVALID_ARGUMENT"
    return _from_failure(_Failure(code, message or f"HTTP {status}"), resource, context)


# --- by code -------------------------------------------------------------------------------------


def _from_failure(failure: _Failure, resource: str, context: CallContext) -> OpsError:
    message = _short(failure.message)
    code = failure.code
    if code == "NOT_FOUND":
        return NotFound(message, resource=resource)
    if code in ("ALREADY_EXISTS", "ABORTED", "FAILED_PRECONDITION"):
        if _STOCK_OUT.search(failure.message):
            return QuotaExceeded(message, resource=resource, hint=_STOCK_HINT)
        return Conflict(message, resource=resource, retryable=False)
    if code == "UNAUTHENTICATED":
        return Denied(message, resource=resource, hint=LOGIN_HINT)
    if code == "PERMISSION_DENIED":
        return _denied(failure, message, resource, context)
    if code == "RESOURCE_EXHAUSTED":
        return _exhausted(failure, message, resource, context)
    if code in ("INTERNAL", "UNKNOWN", "CANCELLED"):
        return Unavailable(
            message, resource=resource, hint="The service answered that it failed; it may pass."
        )
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        return Unavailable(message, resource=resource, hint=context.unreachable_hint)
    if code == "UNIMPLEMENTED":
        return Invalid(
            message, resource=resource, hint="The service does not offer this call (here)."
        )
    return Invalid(message, resource=resource)


_STOCK_HINT: Final = "The zone is out of stock: try another zone, a reservation, or later."


def _denied(failure: _Failure, message: str, resource: str, context: CallContext) -> OpsError:
    metadata = failure.metadata or {}
    if failure.reason in ("SERVICE_DISABLED", "accessNotConfigured"):
        hint = service_disabled_hint(metadata.get("service", ""), failure.message, context.project)
        return SwitchedOff(message, resource=resource, hint=hint)
    if failure.reason == "RATE_LIMIT_EXCEEDED":
        return RateLimited(message, resource=resource, hint="Wait, or ask for a higher quota.")
    hint = grant_hint(metadata.get("permission", ""), failure.message, context.project)
    return Denied(message, resource=resource, hint=hint)


def _exhausted(failure: _Failure, message: str, resource: str, context: CallContext) -> OpsError:
    if "larger than max" in failure.message:
        return Invalid(message, resource=resource, hint="The channel's receive limit is too small.")
    if _STOCK_OUT.search(failure.message) or failure.reason.endswith("STOCKOUT"):
        return QuotaExceeded(message, resource=resource, hint=_STOCK_HINT)
    rate = failure.reason == "RATE_LIMIT_EXCEEDED" or _RATE.search(failure.message)
    if not rate and (_QUOTA.search(failure.message) or "QUOTA" in failure.reason):
        return QuotaExceeded(
            message,
            resource=resource,
            hint="See and raise it at https://console.cloud.google.com/iam-admin/quotas"
            + (f"?project={context.project}" if context.project else ""),
        )
    return RateLimited(message, resource=resource, hint="Wait; reads come too fast for the quota.")


# --- by SDK --------------------------------------------------------------------------------------


def _google(error: Exception, resource: str, context: CallContext) -> OpsError:
    """google.api_core.exceptions.*"""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):  # RetryError wraps what was last seen
        inner = translate(cause, resource, context)
        if inner is not None:
            return inner
    status = getattr(error, "grpc_status_code", None)
    http = getattr(error, "code", None)
    message = str(getattr(error, "message", None) or error)
    if status is not None:
        code = str(status.name)
    elif http is not None:
        code = _BY_HTTP.get(int(http), "UNAVAILABLE" if int(http) >= 500 else "INVALID_ARGUMENT")
    else:
        code = "UNKNOWN"
    metadata = cast(Mapping[str, str] | None, getattr(error, "metadata", None))
    reason = str(getattr(error, "reason", None) or _first_reason(error))
    failure = _Failure(code, _without_html(message), reason, dict(metadata or {}))
    return _from_failure(failure, resource, context)


def _first_reason(error: Exception) -> str:
    """`errors[0].reason` of the older JSON envelope (Compute, BigQuery)."""
    for item in cast(list[object], getattr(error, "errors", None) or []):
        if isinstance(item, dict):
            return str(cast(dict[str, object], item).get("reason", ""))
    return ""


def _google_auth(error: Exception, resource: str, context: CallContext) -> OpsError:
    name = type(error).__name__
    if name in ("TransportError", "TimeoutError") or bool(getattr(error, "retryable", False)):
        return Unavailable(_short(str(error)), resource=resource, hint=context.unreachable_hint)
    return Denied(_short(str(error)), resource=resource, hint=LOGIN_HINT)


def _grpc(error: Exception, resource: str, context: CallContext) -> OpsError:
    code = getattr(error, "code", None)
    details = getattr(error, "details", None)
    status: Any = code() if callable(code) else None
    message = str(details() if callable(details) else error) or str(error)
    name = str(status.name) if status is not None else "UNKNOWN"
    return _from_failure(_Failure(name, message), resource, context)


def _kubernetes(error: Exception, resource: str, context: CallContext) -> OpsError:
    status = int(getattr(error, "status", 0) or 0)
    if status == 0:  # the client's word for "no connection" and for malformed answers
        text = str(getattr(error, "reason", None) or error)
        return Unavailable(_short(text), resource=resource, hint=context.unreachable_hint)
    body = getattr(error, "body", None)
    message = _json_message(body) or str(getattr(error, "reason", "") or error)
    ours = from_http(status, message, resource, context)
    if isinstance(ours, Denied) and status == 403:
        return Denied(ours.message, resource=resource, hint=kubernetes_hint(message))
    return ours


def _httpx(error: Exception, resource: str, context: CallContext) -> OpsError:
    name = type(error).__name__
    if name == "HTTPStatusError":
        response: Any = getattr(error, "response", None)
        return from_http(int(response.status_code), str(error), resource, context)
    if name in ("DecodingError", "InvalidURL", "UnsupportedProtocol", "TooManyRedirects"):
        return Invalid(_short(f"{name}: {error}"), resource=resource)
    return _network(error, resource, context)


def _requests(error: Exception, resource: str, context: CallContext) -> OpsError:
    response: Any = getattr(error, "response", None)
    if type(error).__name__ == "HTTPError" and response is not None:
        return from_http(int(response.status_code), str(error), resource, context)
    if isinstance(error, ValueError):  # JSONDecodeError, InvalidURL, InvalidHeader …
        return _malformed(error, resource, context)
    return _network(error, resource, context)


def _network(error: Exception, resource: str, context: CallContext) -> OpsError:
    text = _short(f"{type(error).__name__}: {error}".rstrip(": "))
    return Unavailable(text, resource=resource, hint=context.unreachable_hint)


def _malformed(error: Exception, resource: str, _context: CallContext) -> OpsError:
    return Invalid(
        f"{resource} sent an answer that is not what its API promises: {_short(str(error))}",
        resource=resource,
        hint="Is there a proxy, a login page or another server at that address?",
    )


_SDK_PACKAGES: Final = ("google", "kubernetes", "grpc", "proto", "httpx", "requests", "urllib3")
_Handler = Callable[[Exception, str, CallContext], OpsError]
_HANDLERS: Final[tuple[tuple[str, _Handler], ...]] = (
    ("google.api_core.exceptions.", _google),
    ("google.auth.exceptions.", _google_auth),
    ("google.protobuf.", _malformed),
    ("google.cloud.", _google),
    ("google.resumable_media.", _network),
    ("grpc.", _grpc),
    ("kubernetes.", _kubernetes),
    ("httpx.", _httpx),
    ("requests.", _requests),
    ("urllib3.", _network),
    ("http.client.", _network),
    ("json.decoder.JSONDecodeError", _malformed),
    ("builtins.UnicodeDecodeError", _malformed),
    ("builtins.TimeoutError", _network),
    ("builtins.ConnectionError", _network),
    ("ssl.", _network),
    ("socket.", _network),
    ("concurrent.futures.", _network),
)


# --- text ----------------------------------------------------------------------------------------


def _json_message(body: object) -> str:
    """`message` of a Kubernetes Status or of Google's or OpenAI's error envelope; "" if none."""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if not isinstance(body, str):
        return ""
    try:
        found: object = json.loads(body)
    except ValueError:
        return _without_html(body)
    for key in ("error", "message"):
        if isinstance(found, dict):
            found = cast(dict[str, object], found).get(key, found)
    return found if isinstance(found, str) else ""


def _without_html(text: str) -> str:
    """Readable text: a proxy's page is reduced to its title or its words."""
    if "<html" not in text.lower() and "<!doctype" not in text.lower():
        return text
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
    inner = title.group(1) if title else re.sub(r"<[^>]+>", " ", text)
    return "a web page instead of an API's answer: " + " ".join(inner.split())


def _short(text: str) -> str:
    text = " ".join(_without_html(text).split())
    return text if len(text) <= _MESSAGE_CHARS else text[: _MESSAGE_CHARS - 1] + "…"


def json_message(body: object) -> str:
    """The readable message in an error body (JSON envelope or HTML), shortened; "" if none."""
    return _short(_json_message(body))
