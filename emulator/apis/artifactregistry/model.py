"""State of Artifact Registry: repositories with packages, their versions and tags.

A project that serves begins with the repositories whose images its pods and its Vertex AI models
name; what is in them follows from those names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from google.cloud.artifactregistry_v1.types import repository as types
from google.protobuf.timestamp_pb2 import Timestamp

from core import tpu
from emulator.apis.kubernetes.pods import USUAL, pod_spec
from emulator.apis.vertex.messages import serving_image
from emulator.context import Cloud
from emulator.scenario import SCENARIOS
from emulator.wire.codec import plain

MULTI_REGIONS: Final = ("asia", "europe", "us")
MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
# Made up, as the images are: of the order of a server with its libraries for TPUs.
IMAGE_BYTES: Final = 4_800_000_000


@dataclass(slots=True)
class Version:
    """A version of a package, e.g. an image by its digest ("sha256:…"); times in Unix seconds."""

    name: str
    created_at: float
    updated_at: float
    size: int = IMAGE_BYTES
    media_type: str = MANIFEST
    annotations: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Package:
    """A package, e.g. an image by its name; `tags` lead to names of versions."""

    name: str
    created_at: float
    updated_at: float
    versions: dict[str, Version] = field(default_factory=dict[str, Version])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    annotations: dict[str, str] = field(default_factory=dict[str, str])

    def tags_of(self, version: str) -> list[str]:
        """The tags of a version."""
        return sorted(tag for tag, found in self.tags.items() if found == version)


@dataclass(slots=True)
class Repository:
    """A repository, as a caller gave it, and what is in it."""

    message: types.Repository
    packages: dict[str, Package] = field(default_factory=dict[str, Package])

    @property
    def size(self) -> int:
        """Bytes of all that is in it."""
        return sum(v.size for p in self.packages.values() for v in p.versions.values())

    @property
    def immutable(self) -> bool:
        """Whether tags stay where they are."""
        return bool(self.message.docker_config.immutable_tags)


@dataclass
class Registry:
    """All repositories by full names with the project's id."""

    repositories: dict[str, Repository] = field(default_factory=dict[str, Repository])


def registry_of(cloud: Cloud) -> Registry:
    """The one instance."""
    return cloud.store(Registry, lambda: _initial(cloud))


def locations() -> list[str]:
    """Where repositories can be: the regions that have TPUs, and the multi-regions."""
    zones = {zone for found in tpu.GENERATIONS.values() for zone in found.zones}
    return sorted({zone.rpartition("-")[0] for zone in zones}.union(MULTI_REGIONS))


def digest_of(image: str) -> str:
    """The digest of an image that nobody built: it follows from its name and tag."""
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def stamp(at: float) -> Timestamp:
    """Unix seconds as a message."""
    made = Timestamp()
    made.FromMicroseconds(int(at * 1e6))
    return made


def _initial(cloud: Cloud) -> Registry:
    found, epoch = Registry(), cloud.clock.epoch()
    for image in _images(cloud):
        host, project, name, rest = image.split("/", 3)
        location = host.removesuffix("-docker.pkg.dev")
        full = f"projects/{project}/locations/{location}/repositories/{name}"
        if full not in found.repositories:
            found.repositories[full] = _repository(full, epoch)
        package_name, _, tag = rest.partition(":")
        packages = found.repositories[full].packages
        package = packages.setdefault(package_name, Package(package_name, epoch, epoch))
        version = digest_of(image)
        package.versions[version] = Version(version, epoch, epoch)
        package.tags[tag] = version
    return found


def _repository(name: str, epoch: float) -> Repository:
    message = types.Repository(
        name=name, format_=types.Repository.Format.DOCKER,
        mode=types.Repository.Mode.STANDARD_REPOSITORY, description="Images of the servers",
        labels={"app": "heartwood"},
    )  # fmt: skip
    inside = plain(message)
    inside.create_time.CopyFrom(stamp(epoch))
    inside.update_time.CopyFrom(stamp(epoch))
    return Repository(message)


def _images(cloud: Cloud) -> Iterator[str]:
    """The images that the scenario's tiers name, with the revisions of whatever may befall them."""
    stories = [found.story for found in SCENARIOS.values() if found.story]
    special = {d.revision for story in stories for d in story.disruptions if d.revision}
    revisions = [USUAL, *sorted(special - {USUAL})]
    for seed in cloud.scenario.tiers:
        if seed.gke_slices:
            for revision in revisions:
                yield pod_spec(seed, cloud.project, revision)["containers"][0]["image"]
        if seed.vertex_replicas:
            yield serving_image(cloud.project)
