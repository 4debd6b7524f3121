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
    text = f'{kind.qualified} "{name}" not found'
    return StatusError(404, "NotFound", text, **_about(kind, name))


def no_such_path() -> StatusError:
    """404 for a path that no kind is served at."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> StatusError:
    """409: another object has that name."""
    text = f'{kind.qualified} "{name}" already exists'
    return StatusError(409, "AlreadyExists", text, **_about(kind, name))


def conflict(kind: Kind, name: str, why: str, **more: Any) -> StatusError:
    """409: the object is another one than the caller thinks."""
    text = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return StatusError(409, "Conflict", text, **_about(kind, name), **more)


def forbidden(kind: Kind, name: str, why: str, **more: Any) -> StatusError:
    """403."""
    text = f'{kind.qualified} "{name}" is forbidden: {why}'
    return StatusError(403, "Forbidden", text, **_about(kind, name), **more)


def namespace_going(kind: Kind, name: str, namespace: str) -> StatusError:
    """403: nothing new may come into a namespace that is being deleted."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    text = f"namespace {namespace} is being terminated"
    cause = {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
    return forbidden(kind, name, why, causes=[cause])


def invalid(kind: Kind, name: str, causes: list[dict[str, str]]) -> StatusError:
    """422; each cause has reason, message and field."""
    told = [f"{cause['field']}: {cause['message']}" for cause in causes]
    listed = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    whole = f"{kind.name}.{kind.group}" if kind.group else kind.name
    details = _about(kind, name) | {"kind": kind.name}
    text = f'{whole} "{name}" is invalid: {listed}'
    return StatusError(422, "Invalid", text, **details, causes=causes)


def unsupported(message: str) -> StatusError:
    """415: a body in a form that is not understood."""
    return StatusError(415, "UnsupportedMediaType", message)


def _about(kind: Kind, name: str) -> dict[str, str]:
    details = {"name": name, "kind": kind.plural}
    return details | ({"group": kind.group} if kind.group else {})


def bad_request(message: str) -> StatusError:
    """400."""
    return StatusError(400, "BadRequest", message)


def method_not_allowed(method: str) -> StatusError:
    """405: not done with that."""
    return StatusError(
        405, "MethodNotAllowed", f"the server does not allow {method} on the requested resource"
    )


def expired() -> StatusError:
    """410: a version that is no longer kept; clients list anew."""
    return StatusError(410, "Expired", "The provided resource version is too old.")


def too_new(asked: int, current: int) -> StatusError:
    """504: a version that this server has not come to; clients ask again, or without one."""
    text = f"Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(504, "Timeout", text, causes=[cause], retryAfterSeconds=1)
