"""Artifact Registry's state in Google's messages (google.devtools.artifactregistry.v1)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from google.cloud.artifactregistry_v1.types import artifact, package, repository, tag, version

from emulator.apis.artifactregistry.model import Package, Repository, Version, stamp
from emulator.wire.codec import plain

FULL = version.VersionView.FULL


def repository_message(found: Repository) -> repository.Repository:
    """A repository with what follows from its contents."""
    shown = repository.Repository()
    inside: Any = plain(shown)
    inside.CopyFrom(plain(found.message))
    _, project, _, location, _, name = str(found.message.name).split("/")
    kind = repository.Repository.Format(found.message.format_).name.lower()
    shown.size_bytes = found.size
    shown.registry_uri = f"{location}-{kind}.pkg.dev/{project}/{name}"
    return shown


def package_message(full: str, found: Package) -> package.Package:
    """A package."""
    return package.Package(
        name=full, create_time=stamp(found.created_at), update_time=stamp(found.updated_at),
        annotations=found.annotations,
    )  # fmt: skip


def version_message(parent: str, home: Package, found: Version, view: int) -> version.Version:
    """A version, in the FULL view with its tags; `parent` is the package's name."""
    tags = home.tags_of(found.name) if view == FULL else []
    repository_name, _, package_name = parent.partition("/packages/")
    return version.Version(
        name=f"{parent}/versions/{found.name}",
        create_time=stamp(found.created_at), update_time=stamp(found.updated_at),
        related_tags=[tag_message(parent, home, name) for name in tags],
        metadata={
            "imageSizeBytes": str(found.size), "mediaType": found.media_type,
            "name": f"{repository_name}/dockerImages/{package_name}@{found.name}",
        },
        annotations=found.annotations,
    )  # fmt: skip


def tag_message(parent: str, home: Package, name: str) -> tag.Tag:
    """A tag; `parent` is the package's name."""
    return tag.Tag(name=f"{parent}/tags/{name}", version=f"{parent}/versions/{home.tags[name]}")


def image_message(repository_name: str, home: Package, found: Version) -> artifact.DockerImage:
    """A version of a package as a Docker image."""
    _, project, _, location, _, name = repository_name.split("/")
    uri = f"{location}-docker.pkg.dev/{project}/{name}/{home.name}@{found.name}"
    return artifact.DockerImage(
        name=f"{repository_name}/dockerImages/{quote(home.name, safe='')}@{found.name}",
        uri=uri, tags=home.tags_of(found.name), image_size_bytes=found.size,
        upload_time=stamp(found.created_at), update_time=stamp(found.updated_at),
        media_type=found.media_type,
    )  # fmt: skip
