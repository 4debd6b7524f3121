"""Handlers of google.devtools.artifactregistry.v1: packages, versions, tags and Docker images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from google.cloud.artifactregistry_v1.types import artifact, package, repository, tag, version
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from emulator.apis.artifactregistry.lookup import REPOSITORY, chosen, missing, ordered
from emulator.apis.artifactregistry.messages import (
    image_message,
    package_message,
    tag_message,
    version_message,
)
from emulator.apis.artifactregistry.model import Package, Repository, Version
from emulator.apis.artifactregistry.repositories import DELETE_S, Repositories
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.longrunning import operation_message
from emulator.wire.names import parse_name
from emulator.wire.paging import page

_TAG: Final = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}")
_MOST_VERSIONS: Final = 10_000


class ArtifactRegistry(Repositories):
    """The whole service, as far as it is served."""

    # --- packages -------------------------------------------------------------------------------

    def list_packages(
        self, request: package.ListPackagesRequest, call: Call
    ) -> package.ListPackagesResponse:
        full, home = self.repository(request.parent, "parent")
        with self._cloud.lock:
            found = {f"{full}/packages/{_escaped(p.name)}": p for p in home.packages.values()}
        shown, token = _listed(request, found)
        return package.ListPackagesResponse(
            packages=[package_message(n, found[n]) for n in shown], next_page_token=token
        )

    def get_package(self, request: package.GetPackageRequest, call: Call) -> package.Package:
        full, _, found = self.package(request.name)
        return package_message(full, found)

    def delete_package(
        self, request: package.DeletePackageRequest, call: Call
    ) -> operations_pb2.Operation:
        with self._cloud.lock:
            full, home, found = self.package(request.name)
            self._check_idle(full)
            if home.immutable and found.tags:
                raise _fixed()

            def remove() -> None:
                home.packages.pop(found.name, None)
                self._cloud.changed("artifactregistry.package.deleted", full, "")

            return operation_message(self._begin(full, DELETE_S, remove))

    # --- versions -------------------------------------------------------------------------------

    def list_versions(
        self, request: version.ListVersionsRequest, call: Call
    ) -> version.ListVersionsResponse:
        full, _, home = self.package(request.parent, "parent")
        with self._cloud.lock:
            found = {f"{full}/versions/{v.name}": v for v in home.versions.values()}
        shown, token = _listed(request, found)
        view = int(request.view)
        return version.ListVersionsResponse(
            versions=[version_message(full, home, found[n], view) for n in shown],
            next_page_token=token,
        )

    def get_version(self, request: version.GetVersionRequest, call: Call) -> version.Version:
        full, _, home, found = self.version(request.name)
        return version_message(full.partition("/versions/")[0], home, found, int(request.view))

    def delete_version(
        self, request: version.DeleteVersionRequest, call: Call
    ) -> operations_pb2.Operation:
        with self._cloud.lock:
            full, home, held, found = self.version(request.name)
            self._check_idle(full)
            _check_untagged(home, held, found, force=request.force)
            return operation_message(
                self._begin(full, DELETE_S, lambda: self._drop(full, held, found))
            )

    def batch_delete_versions(
        self, request: version.BatchDeleteVersionsRequest, call: Call
    ) -> operations_pb2.Operation:
        if not 0 < len(request.names) <= _MOST_VERSIONS:
            raise invalid(f"names must hold 1 to {_MOST_VERSIONS} versions.", field="names")
        with self._cloud.lock:
            full, _, _ = self.package(request.parent, "parent")
            self._check_idle(full)
            gone = [self.version(name, "names") for name in request.names]
            for name, home, held, found in gone:
                if not name.startswith(f"{full}/versions/"):
                    raise invalid(f"The version {name} is of another package.", field="names")
                _check_untagged(home, held, found, force=False)

            def remove() -> None:
                for name, _, held, found in gone:
                    self._drop(name, held, found)

            effect = (lambda: None) if request.validate_only else remove
            return operation_message(self._begin(full, DELETE_S, effect))

    def _drop(self, full: str, home: Package, found: Version) -> None:
        if home.versions.pop(found.name, None) is not None:
            for name in home.tags_of(found.name):
                del home.tags[name]
            self._cloud.changed("artifactregistry.version.deleted", full, "")

    # --- tags -----------------------------------------------------------------------------------

    def list_tags(self, request: tag.ListTagsRequest, call: Call) -> tag.ListTagsResponse:
        full, _, home = self.package(request.parent, "parent")
        with self._cloud.lock:
            found = [tag_message(full, home, name) for name in sorted(home.tags)]
        told = [{"name": str(t.name), "version": str(t.version)} for t in found]
        names = {t["name"] for t in chosen(told, request.filter)}
        found = [t for t in found if t.name in names]
        shown, token = page(
            found, request.page_size, request.page_token, default=100, most=1000,
            scope=f"{request.parent} {request.filter}",
        )  # fmt: skip
        return tag.ListTagsResponse(tags=shown, next_page_token=token)

    def get_tag(self, request: tag.GetTagRequest, call: Call) -> tag.Tag:
        full, _, home, name = self.tag(request.name)
        return tag_message(full.partition("/tags/")[0], home, name)

    def create_tag(self, request: tag.CreateTagRequest, call: Call) -> tag.Tag:
        if _TAG.fullmatch(request.tag_id) is None:
            raise invalid(f"Invalid tag '{request.tag_id}'.", field="tag_id")
        with self._cloud.lock:
            full, _, home = self.package(request.parent, "parent")
            if request.tag_id in home.tags:
                raise ApiError("ALREADY_EXISTS", "the tag already exists")
            return self._tagged(full, home, request.tag_id, request.tag.version)

    def update_tag(self, request: tag.UpdateTagRequest, call: Call) -> tag.Tag:
        paths = list(request.update_mask.paths)
        if paths not in ([], ["version"], ["*"]):
            raise invalid("Only the version of a tag can be updated.", field="update_mask")
        with self._cloud.lock:
            full, home, held, name = self.tag(request.tag.name, "tag.name")
            if home.immutable:
                raise _fixed()
            return self._tagged(full.partition("/tags/")[0], held, name, request.tag.version)

    def _tagged(self, full: str, home: Package, name: str, wanted: str) -> tag.Tag:
        target, _, _, found = self.version(wanted, "tag.version")
        if target.partition("/versions/")[0] != full:
            raise invalid("The version is of another package.", field="tag.version")
        home.tags[name] = found.name
        home.updated_at = found.updated_at = self._cloud.clock.now()
        self._cloud.changed("artifactregistry.tag.set", f"{full}/tags/{name}", "")
        return tag_message(full, home, name)

    def delete_tag(self, request: tag.DeleteTagRequest, call: Call) -> empty_pb2.Empty:
        with self._cloud.lock:
            full, home, held, name = self.tag(request.name)
            if home.immutable:
                raise _fixed()
            del held.tags[name]
            self._cloud.changed("artifactregistry.tag.deleted", full, "")
        return empty_pb2.Empty()

    # --- Docker images --------------------------------------------------------------------------

    def list_docker_images(
        self, request: artifact.ListDockerImagesRequest, call: Call
    ) -> artifact.ListDockerImagesResponse:
        full, home = self._docker(request.parent, "parent")
        with self._cloud.lock:
            found = [(p, v) for p in home.packages.values() for v in p.versions.values()]
        found = ordered(found, request.order_by,
                        lambda pair, field: _value(f"{pair[0].name}@{pair[1].name}", pair[1],
                                                   field))  # fmt: skip
        shown, token = page(
            found, request.page_size, request.page_token, default=100, most=1000,
            scope=f"{request.parent} {request.order_by}",
        )  # fmt: skip
        return artifact.ListDockerImagesResponse(
            docker_images=[image_message(full, p, v) for p, v in shown], next_page_token=token
        )

    def get_docker_image(
        self, request: artifact.GetDockerImageRequest, call: Call
    ) -> artifact.DockerImage:
        image = parse_name(f"{REPOSITORY}/dockerImages/{{image}}", request.name)["image"]
        full, home = self._docker(request.name.partition("/dockerImages/")[0], "name")
        name, _, digest = image.partition("@")
        found = home.packages.get(name.replace("%2F", "/"))
        if found is None or digest not in found.versions:
            raise missing()
        return image_message(full, found, found.versions[digest])

    def _docker(self, name: str, field: str) -> tuple[str, Repository]:
        full, home = self.repository(name, field)
        if home.message.format_ != repository.Repository.Format.DOCKER:
            raise invalid("The repository is not of the format DOCKER.", field=field)
        return full, home


def _check_untagged(home: Repository, held: Package, found: Version, *, force: bool) -> None:
    tags = held.tags_of(found.name)
    if tags and home.immutable:
        raise _fixed()
    if tags and not force:
        raise failed_precondition(
            f"The version {found.name} has tags ({', '.join(tags)}): delete them first, or ask "
            "with force."
        )


def _fixed() -> ApiError:
    return failed_precondition(
        "The repository has immutable tags: they cannot be moved or deleted."
    )


def _listed(request: Any, found: Mapping[str, Package | Version]) -> tuple[list[str], str]:
    """One page of the names that the request's filter and order leave, and the next one's token."""
    names = [f["name"] for f in chosen([{"name": n} for n in found], request.filter)]
    names = ordered(names, request.order_by, lambda n, field: _value(n, found[n], field))
    return page(
        names, request.page_size, request.page_token, default=100, most=1000,
        scope=f"{request.parent} {request.filter} {request.order_by}",
    )  # fmt: skip


def _escaped(name: str) -> str:
    return name.replace("/", "%2F")


def _value(name: str, found: Package | Version, field: str) -> Any:
    if field == "name":
        return name
    return (found.created_at if field == "create_time" else found.updated_at), name
