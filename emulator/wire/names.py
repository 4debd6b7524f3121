"""Resource names: taken apart, and checked against the project that is emulated."""

from __future__ import annotations

import re
import uuid
from functools import lru_cache

from emulator.scenario import Project
from emulator.wire.errors import ApiError, invalid


@lru_cache(maxsize=256)
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template)))


def parse_name(template: str, name: str, *, field: str = "name") -> dict[str, str]:
    """The variables of a resource name.

    Args:
        template: e.g. "projects/{project}/locations/{location}/nodes/{node}".

    Raises:
        ApiError: INVALID_ARGUMENT: the name is not of that form.
    """
    found = _pattern(template).fullmatch(name)
    if found is None:
        raise invalid(f"Malformed name: '{name}'. Expected the form '{template}'.", field=field)
    return found.groupdict()


def check_project(project: Project, given: str, *, service: str) -> None:
    """Pass the emulated project's id or number.

    Raises:
        ApiError: PERMISSION_DENIED, as Google answers for a project that one cannot see.
    """
    if given not in (project.id, project.number, "-"):
        raise ApiError(
            "PERMISSION_DENIED",
            f"Permission denied on resource project {given}.",
            reason="CONSUMER_INVALID",
            metadata={"consumer": f"projects/{given}", "service": service},
        )


def location_denied(location: str, service: str) -> ApiError:
    """PERMISSION_DENIED, as the newer services answer for a location in which they are not."""
    return ApiError(
        "PERMISSION_DENIED",
        f"Location {location} is not found or access is unauthorized.",
        reason="LOCATION_ACCESS_DENIED",
        domain=service,
        metadata={"location": location},
    )


def is_request_id(text: str) -> bool:
    """Whether Google takes it for the requestId of a call that may be made again: a UUID, not 0."""
    try:
        return uuid.UUID(text).int != 0
    except ValueError:
        return False
