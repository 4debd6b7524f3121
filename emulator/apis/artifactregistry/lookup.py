"""Names → repositories, packages, versions and tags; what their lists take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from google.cloud.location import locations_pb2

from emulator.apis.artifactregistry.model import (
    Package,
    Repository,
    Version,
    locations,
    registry_of,
)
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, invalid
from emulator.wire.filters import compile_filter
from emulator.wire.longrunning import LongRunning
from emulator.wire.names import check_project, location_denied, parse_name
from emulator.wire.paging import page

SERVICE: Final = "artifactregistry.googleapis.com"
LOCATION: Final = "projects/{project}/locations/{location}"
REPOSITORY: Final = f"{LOCATION}/repositories/{{repository}}"
PACKAGE: Final = f"{REPOSITORY}/packages/{{package}}"
_ORDERS: Final = ("name", "create_time", "update_time")
T = TypeVar("T")


def missing() -> ApiError:
    """NOT_FOUND in Artifact Registry's words."""
    return ApiError("NOT_FOUND", "Requested entity was not found.")


class Lookup(LongRunning):
    """Handlers of locations, and what all others use."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._registry = registry_of(cloud)

    def list_locations(
        self, request: locations_pb2.ListLocationsRequest, call: Call
    ) -> locations_pb2.ListLocationsResponse:
        project = parse_name("projects/{project}", request.name)["project"]
        check_project(self._cloud.project, project, service=SERVICE)
        shown, token = page(
            locations(), request.page_size, request.page_token,
            scope=request.name, default=100, most=1000,
        )  # fmt: skip
        found = [_location(request.name, place) for place in shown]
        return locations_pb2.ListLocationsResponse(locations=found, next_page_token=token)

    def get_location(
        self, request: locations_pb2.GetLocationRequest, call: Call
    ) -> locations_pb2.Location:
        place = self.location(request.name, "name")
        return _location(request.name.split("/locations/")[0], place)

    def location(self, name: str, field: str) -> str:
        """The location of projects/P/locations/L; "-" for all."""
        parts = parse_name(LOCATION, name, field=field)
        check_project(self._cloud.project, parts["project"], service=SERVICE)
        if parts["location"] not in ("-", *locations()):
            raise location_denied(parts["location"], SERVICE)
        return parts["location"]

    def repository(self, name: str, field: str = "name") -> tuple[str, Repository]:
        """(full name, repository)."""
        parts = parse_name(REPOSITORY, name, field=field)
        check_project(self._cloud.project, parts["project"], service=SERVICE)
        full = REPOSITORY.format(**{**parts, "project": self._cloud.project.id})
        found = self._registry.repositories.get(full)
        if found is None:
            raise missing()
        return full, found

    def package(self, name: str, field: str = "name") -> tuple[str, Repository, Package]:
        """(full name, repository, package); a package's own slashes come as %2F."""
        parts = parse_name(PACKAGE, name, field=field)
        full, home = self.repository(name.partition("/packages/")[0], field)
        found = home.packages.get(unquote(parts["package"]))
        if found is None:
            raise missing()
        return f"{full}/packages/{parts['package']}", home, found

    def version(self, name: str, field: str = "name") -> tuple[str, Repository, Package, Version]:
        """(full name, repository, package, version)."""
        parts = parse_name(f"{PACKAGE}/versions/{{version}}", name, field=field)
        full, home, package = self.package(name.partition("/versions/")[0], field)
        found = package.versions.get(parts["version"])
        if found is None:
            raise missing()
        return f"{full}/versions/{found.name}", home, package, found

    def tag(self, name: str, field: str = "name") -> tuple[str, Repository, Package, str]:
        """(full name, repository, package, tag)."""
        parts = parse_name(f"{PACKAGE}/tags/{{tag}}", name, field=field)
        full, home, package = self.package(name.partition("/tags/")[0], field)
        if parts["tag"] not in package.tags:
            raise missing()
        return f"{full}/tags/{parts['tag']}", home, package, parts["tag"]


def ordered(
    found: Sequence[T], order: str, key: Callable[[T, str], Any], wanted: str = "name"
) -> list[T]:
    """Sorted as `order_by` asks, by `wanted` where it says nothing.

    Args:
        key: the value of an item's field.

    Raises:
        ApiError: INVALID_ARGUMENT: another field or direction.
    """
    name, _, direction = (order.strip() or wanted).partition(" ")
    name = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    if name not in _ORDERS or direction.strip().lower() not in ("", "asc", "desc"):
        raise invalid(f"Invalid order by field '{order}'.", field="order_by")
    reverse = direction.strip().lower() == "desc"
    return sorted(found, key=lambda item: key(item, name), reverse=reverse)


def chosen(found: Sequence[dict[str, str]], text: str) -> list[dict[str, str]]:
    """Those that a filter passes: `name="…"` or `version="…"`, with * for anything."""
    if not text.strip():
        return list(found)
    name, sign, value = (part.strip() for part in text.partition("="))
    if sign and name in ("name", "version") and "*" in value and " " not in value:
        pattern = value.strip('"').lower()
        return [f for f in found if fnmatchcase(f.get(name, "").lower(), pattern)]
    fits = compile_filter(text, ("name", "version"))
    return [f for f in found if fits(f)]


def _location(parent: str, place: str) -> locations_pb2.Location:
    return locations_pb2.Location(name=f"{parent}/locations/{place}", location_id=place)
