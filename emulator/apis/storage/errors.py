"""Cloud Storage's errors: an HTTP status and a reason, in the older envelope."""

from __future__ import annotations

from typing import Any, Final

from emulator.wire.errors import ApiError

_REASONS: Final = {400: "invalid", 403: "forbidden", 404: "notFound", 409: "conflict",
                   412: "conditionNotMet", 416: "requestedRangeNotSatisfiable"}  # fmt: skip


class StorageError(Exception):
    """What a handler raises to refuse a call; `reason` follows from the status where left out."""

    def __init__(self, status: int, message: str, reason: str = "", location: str = "") -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.reason = reason or _REASONS.get(status, "backendError")
        self.location = location

    def envelope(self) -> dict[str, Any]:
        """The JSON body."""
        detail: dict[str, Any] = {
            "message": self.message, "domain": "global", "reason": self.reason,
        }  # fmt: skip
        if self.location:
            detail |= {"locationType": "parameter", "location": self.location}
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}


def no_bucket() -> StorageError:
    """There is no such bucket."""
    return StorageError(404, "The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> StorageError:
    """There is no such object."""
    return StorageError(404, f"No such object: {bucket}/{name}")


def precondition() -> StorageError:
    """An if… parameter does not hold."""
    return StorageError(412, "At least one of the pre-conditions you specified did not hold.")


def from_api(error: ApiError) -> StorageError:
    """An error of the shared wire (policies), as Cloud Storage words it."""
    if error.code.name == "ABORTED":
        return StorageError(412, error.message)
    return StorageError(error.http_status, error.message)
