"""The one error that handlers raise, and its two shapes on the wire: gRPC status and JSON envelope.

Which error a product answers when is the product's business; only the shapes are here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

# google.rpc.Code → HTTP status, as documented in google/rpc/code.proto.
HTTP_STATUS: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}

# The `reason` of compute's and other older APIs' errors[] entries.
_LEGACY_REASON: Final[Mapping[int, str]] = {
    400: "badRequest",
    401: "required",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    500: "backendError",
    501: "notImplemented",
    503: "backendError",
}


class ApiError(Exception):
    """What a handler raises to refuse a call.

    Args:
        code: name of the google.rpc.Code, e.g. "NOT_FOUND".
        message: text for the person, as the real service words it.
        reason, domain, metadata: make up an ErrorInfo detail when a reason is given.
        http_status: only where the service departs from the code's usual status.
        legacy_reason: the `reason` in errors[] of compute's envelope, where it is special.
        details: further google.rpc detail messages.
        in_part: whether the rest of what was asked for has been done all the same.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reason: str = "",
        domain: str = "googleapis.com",
        metadata: Mapping[str, str] | None = None,
        http_status: int | None = None,
        legacy_reason: str | None = None,
        details: Sequence[Message] = (),
        in_part: bool = False,
    ) -> None:
        super().__init__(message)
        self.in_part = in_part
        self.code = grpc.StatusCode[code]
        self.message = message
        self.reason = reason
        self.http_status = http_status or HTTP_STATUS[self.code]
        self.legacy_reason = legacy_reason or _LEGACY_REASON.get(self.http_status, "backendError")
        info: list[Message] = []
        if reason:
            info.append(
                error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata or {})
            )
        self.details: tuple[Message, ...] = (*info, *details)


def invalid(message: str, *, field: str = "") -> ApiError:
    """INVALID_ARGUMENT; with a BadRequest detail that names the field, where one is given."""
    details: list[Message] = []
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    return ApiError("INVALID_ARGUMENT", message, details=details)


def not_found(resource: str) -> ApiError:
    """NOT_FOUND in the words that most Google APIs use."""
    return ApiError("NOT_FOUND", f"Resource '{resource}' was not found")


def failed_precondition(message: str, **info: Any) -> ApiError:
    """FAILED_PRECONDITION."""
    return ApiError("FAILED_PRECONDITION", message, **info)


def service_disabled(project_number: str, service: str, title: str) -> ApiError:
    """PERMISSION_DENIED, as every API answers in a project that has disabled it."""
    url = f"https://console.developers.google.com/apis/api/{service}/overview?project={project_number}"
    link = error_details_pb2.Help.Link(
        description="Google developers console API activation", url=url
    )
    return ApiError(
        "PERMISSION_DENIED",
        f"{title} has not been used in project {project_number} before or it is disabled. Enable "
        f"it by visiting {url} then retry. If you enabled this API recently, wait a few minutes "
        "for the action to propagate to our systems and retry.",
        reason="SERVICE_DISABLED",
        metadata={
            "consumer": f"projects/{project_number}",
            "containerInfo": project_number,
            "service": service,
            "serviceTitle": title,
            "activationUrl": url,
        },
        legacy_reason="accessNotConfigured",
        details=[error_details_pb2.Help(links=[link])],
    )


def unimplemented(method: str) -> ApiError:
    """UNIMPLEMENTED: Google has the method, the emulator has not."""
    return ApiError("UNIMPLEMENTED", f"The emulator does not implement {method}.")


def to_status(error: ApiError) -> status_pb2.Status:
    """The google.rpc.Status of an error, its details packed."""
    packed: list[any_pb2.Any] = []
    for detail in error.details:
        box = any_pb2.Any()
        box.Pack(detail)
        packed.append(box)
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)


def to_envelope(error: ApiError, *, legacy: bool = False) -> dict[str, Any]:
    """The JSON body of an error; `legacy` adds the errors[] list that compute still sends."""
    body: dict[str, Any] = {"code": error.http_status, "message": error.message}
    if legacy:
        body["errors"] = [
            {"message": error.message, "domain": "global", "reason": error.legacy_reason}
        ]
    body["status"] = error.code.name
    if error.details:
        body["details"] = [_detail(d) for d in error.details]
    return {"error": body}


def _detail(detail: Message) -> dict[str, Any]:
    box = any_pb2.Any()
    box.Pack(detail)
    return json_format.MessageToDict(box)
