"""Kubernetes' own envelope of errors: a Status object with reason, details and code."""

from __future__ import annotations

from typing import Any

from emulator.apis.kubernetes.resources import Kind


class StatusError(Exception):
    """What a handler raises to refuse a request."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def body(self) -> dict[str, Any]:
        """The Status object."""
        built: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            built["details"] = self.details
        return built | {"code": self.code}


def no_such_object(kind: Kind, name: str) -> StatusError:
    """404 for an object."""
    details = {"name": name, "kind": kind.plural} | ({"group": kind.group} if kind.group else {})
    return StatusError(404, "NotFound", f'{kind.qualified} "{name}" not found', **details)


def no_such_path() -> StatusError:
    """404 for a path that no kind is served at."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def bad_request(message: str) -> StatusError:
    """400."""
    return StatusError(400, "BadRequest", message)


def method_not_allowed(method: str) -> StatusError:
    """405: the emulated API is read-only."""
    return StatusError(
        405, "MethodNotAllowed", f"the server does not allow {method} on the requested resource"
    )


def expired() -> StatusError:
    """410: a version that is no longer kept; clients list anew."""
    return StatusError(410, "Expired", "The provided resource version is too old.")
