"""BigQuery's errors and their JSON envelope."""

from __future__ import annotations

from typing import Any, Final

_STATUS: Final = {
    "invalid": (400, "INVALID_ARGUMENT"),
    "invalidQuery": (400, "INVALID_ARGUMENT"),
    "resourceInUse": (400, "FAILED_PRECONDITION"),
    "conditionNotMet": (412, "FAILED_PRECONDITION"),
    "resourcesExceeded": (400, "RESOURCE_EXHAUSTED"),
    "responseTooLarge": (403, "RESOURCE_EXHAUSTED"),
    "backendError": (500, "INTERNAL"),
    "timeout": (400, "DEADLINE_EXCEEDED"),
    "stopped": (499, "CANCELLED"),
    "notFound": (404, "NOT_FOUND"),
    "duplicate": (409, "ALREADY_EXISTS"),
    "accessDenied": (403, "PERMISSION_DENIED"),
    "notImplemented": (501, "UNIMPLEMENTED"),
}


class BigQueryError(Exception):
    """A refusal: `reason` is BigQuery's, e.g. "invalidQuery"; `location` what it is about."""

    def __init__(self, reason: str, message: str, location: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.location = location or ("query" if reason == "invalidQuery" else "")
        self.status = _STATUS[reason][0]

    def proto(self) -> dict[str, str]:
        """The ErrorProto of jobs."""
        found = {"reason": self.reason, "message": self.message}
        return found | ({"location": self.location} if self.location else {})

    def envelope(self) -> dict[str, Any]:
        """The body of an HTTP error."""
        entry = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location:
            entry |= {"location": self.location, "locationType": "other"}
        return {
            "error": {
                "code": self.status, "message": self.message, "errors": [entry],
                "status": _STATUS[self.reason][1],
            }
        }  # fmt: skip
