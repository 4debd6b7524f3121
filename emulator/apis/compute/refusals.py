"""What compute refuses, in its words and with its reasons in errors[]. Nothing is decided here."""

from __future__ import annotations

from emulator.wire.errors import ApiError


def missing(path: str) -> ApiError:
    """404 notFound."""
    return ApiError("NOT_FOUND", f"The resource '{path}' was not found", legacy_reason="notFound")


def exists(path: str) -> ApiError:
    """409 alreadyExists."""
    return ApiError(
        "ALREADY_EXISTS", f"The resource '{path}' already exists", legacy_reason="alreadyExists"
    )


def bad_value(field: str, value: object, why: str) -> ApiError:
    """400 invalid: a value that the field may not have; `why` is a sentence."""
    return ApiError(
        "INVALID_ARGUMENT",
        f"Invalid value for field 'resource.{field}': '{value}'. {why}",
        legacy_reason="invalid",
    )


def unset(field: str) -> ApiError:
    """400 required."""
    return ApiError(
        "INVALID_ARGUMENT", f"Required field 'resource.{field}' not specified",
        legacy_reason="required",
    )  # fmt: skip


def refused(why: str, reason: str = "invalid") -> ApiError:
    """400 with a sentence of its own."""
    return ApiError("INVALID_ARGUMENT", why, legacy_reason=reason)


def in_use(title: str, path: str, user: str) -> ApiError:
    """400 resourceInUseByAnotherResource."""
    return ApiError(
        "FAILED_PRECONDITION",
        f"The {title} resource '{path}' is already being used by '{user}'",
        legacy_reason="resourceInUseByAnotherResource",
    )


def not_ready(path: str) -> ApiError:
    """400 resourceNotReady: another operation runs on it."""
    return ApiError(
        "FAILED_PRECONDITION", f"The resource '{path}' is not ready",
        legacy_reason="resourceNotReady",
    )  # fmt: skip


def stale(why: str = "Invalid fingerprint.") -> ApiError:
    """412 conditionNotMet."""
    return ApiError("FAILED_PRECONDITION", why, http_status=412, legacy_reason="conditionNotMet")
