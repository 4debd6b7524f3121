"""Artifact Registry over both wires: the images of the pods, repositories, their contents."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulator.clients import HTTP, LOCATION, PROJECT, WIRES, make_client
from tests.emulator.lifecycle.conftest import POLL
from tests.processes import EmulatorProcess

SERVING = f"{LOCATION}/repositories/serving"
SERVER = f"{SERVING}/packages/vllm-tpu"
K8S = f"k8s/{PROJECT}/us-central1/hw-serving"


@pytest.mark.parametrize("wire", WIRES)
def test_what_the_pods_run_is_there(beside: EmulatorProcess, wire: str) -> None:
    """The image of a tier's pod, by its tag; as package, version and Docker image alike."""
    registry = make_client("ArtifactRegistryClient", wire, beside)
    pods = HTTP.get(f"{beside.rest_url}/{K8S}/api/v1/namespaces/small/pods?limit=1").json()
    image, _, tag = pods["items"][0]["spec"]["containers"][0]["image"].partition(":")
    assert image == f"us-central1-docker.pkg.dev/{PROJECT}/serving/vllm-tpu"
    everywhere = registry.list_repositories(parent=f"projects/{PROJECT}/locations/-")
    found = {r.name: r for r in everywhere}
    assert found[SERVING] == registry.get_repository(name=SERVING)
    assert (found[SERVING].format_.name, found[SERVING].registry_uri) == (
        "DOCKER", image.removesuffix("/vllm-tpu"))  # fmt: skip
    (package,) = registry.list_packages(parent=SERVING)
    assert package == registry.get_package(name=SERVER)
    wanted = registry.get_tag(name=f"{SERVER}/tags/{tag}")
    assert wanted in list(registry.list_tags(parent=SERVER))
    version = registry.get_version(request={"name": wanted.version, "view": "FULL"})
    assert list(version.related_tags) == [wanted]
    asked = {"parent": SERVER, "view": "FULL", "order_by": "create_time desc"}
    assert version in list(registry.list_versions(request=asked))
    digest = version.name.rpartition("/")[2]
    shown = registry.get_docker_image(name=f"{SERVING}/dockerImages/vllm-tpu@{digest}")
    assert (shown.uri, list(shown.tags)) == (f"{image}@{digest}", [tag])
    assert shown in list(registry.list_docker_images(parent=SERVING))
    assert found[SERVING].size_bytes >= shown.image_size_bytes > 0
    places = registry.list_locations({"name": f"projects/{PROJECT}"}).locations
    assert {"us-central1", "europe"} <= {p.location_id for p in places}
    assert registry.get_location({"name": LOCATION}).location_id == "us-central1"


@pytest.mark.parametrize("wire", WIRES)
def test_a_repository_lives_and_dies(beside: EmulatorProcess, wire: str) -> None:
    """Made by an operation, changed at once, its policy its own, deleted by another."""
    registry = make_client("ArtifactRegistryClient", wire, beside)
    name = f"{LOCATION}/repositories/mine-{wire}"
    given: dict[str, Any] = {
        "format_": "DOCKER", "labels": {"a": "b"}, "docker_config": {"immutable_tags": True},
        "cleanup_policies": {"old": {"action": "DELETE", "condition": {
            "tag_state": "UNTAGGED", "older_than": {"seconds": 86_400}}}},
    }  # fmt: skip
    asked = {"parent": LOCATION, "repository_id": f"mine-{wire}", "repository": given}
    operation = registry.create_repository(request=asked)
    made = operation.result(polling=POLL)
    assert (made.name, made.mode.name) == (name, "STANDARD_REPOSITORY")
    assert made.cleanup_policies["old"].id == "old"
    assert registry.get_operation({"name": operation.operation.name}).done
    with pytest.raises(exceptions.Conflict, match="the repository already exists"):
        registry.create_repository(request=asked)
    changed = registry.update_repository(
        repository={"name": name, "description": "mine"}, update_mask={"paths": ["description"]}
    )
    assert (changed.description, dict(changed.labels)) == ("mine", {"a": "b"})
    bindings = [{"role": "roles/artifactregistry.reader", "members": ["allUsers"]}]
    registry.set_iam_policy({"resource": name, "policy": {"bindings": bindings}})
    assert registry.get_iam_policy({"resource": name}).bindings[0].members == ["allUsers"]
    permissions = ["artifactregistry.repositories.get"]
    tested = registry.test_iam_permissions({"resource": name, "permissions": permissions})
    assert tested.permissions == permissions
    registry.delete_repository(name=name).result(polling=POLL)
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        registry.get_repository(name=name)


def test_tags_move_and_versions_go(beside: EmulatorProcess) -> None:
    """A version with tags is deleted only by force; where tags are immutable neither goes."""
    registry = make_client("ArtifactRegistryClient", "rest", beside)
    versions = list(registry.list_versions(request={"parent": SERVER, "view": "FULL"}))
    first, second = versions[:2]
    tag = registry.create_tag(parent=SERVER, tag_id="canary", tag={"version": first.name})
    with pytest.raises(exceptions.Conflict, match="the tag already exists"):
        registry.create_tag(parent=SERVER, tag_id="canary", tag={"version": first.name})
    moved = registry.update_tag(tag={"name": tag.name, "version": second.name},
                                update_mask={"paths": ["version"]})  # fmt: skip
    asked = {"parent": SERVER, "filter": f'version="{second.name}"'}
    assert moved in list(registry.list_tags(request=asked))
    with pytest.raises(exceptions.BadRequest, match="has tags"):
        registry.delete_version(name=second.name)
    frozen = {"name": SERVING, "docker_config": {"immutable_tags": True}}
    mask = {"paths": ["docker_config"]}
    registry.update_repository(repository=frozen, update_mask=mask)
    for call, request in ((registry.delete_tag, {"name": tag.name}),
                          (registry.update_tag, {"tag": {"name": tag.name, "version": first.name}}),
                          (registry.delete_version, {"name": second.name, "force": True}),
                          (registry.delete_package, {"name": SERVER})):  # fmt: skip
        with pytest.raises(exceptions.BadRequest, match="immutable tags"):
            call(request=request)
    registry.update_repository(repository={"name": SERVING}, update_mask=mask)
    registry.delete_tag(name=tag.name)
    registry.delete_version(request={"name": second.name, "force": True}).result(polling=POLL)
    for found in registry.list_tags(parent=SERVER):
        registry.delete_tag(name=found.name)
    names = [v.name for v in registry.list_versions(parent=SERVER)]
    assert second.name not in names
    asked = {"parent": SERVER, "names": names[:1]}
    registry.batch_delete_versions(request=asked).result(polling=POLL)
    registry.delete_package(name=SERVER).result(polling=POLL)
    assert list(registry.list_docker_images(parent=SERVING)) == []


def test_what_is_refused(beside: EmulatorProcess) -> None:
    """Ids, formats, labels, places and kinds of repositories that cannot be."""
    registry = make_client("ArtifactRegistryClient", "grpc", beside)
    for words, name, given in (
        ("invalid repository_id", "Bad", {"format_": "DOCKER"}),
        ("format must be specified", "good", {}),
        ("Invalid label", "good", {"format_": "DOCKER", "labels": {"A": "b"}}),
        ("docker_config is for", "good", {"format_": "NPM", "docker_config": {
            "immutable_tags": True}}),
        ("not implement", "good", {"format_": "DOCKER", "mode": "REMOTE_REPOSITORY"}),
        ("needs an action", "good", {"format_": "DOCKER", "cleanup_policies": {"p": {}}}),
    ):  # fmt: skip
        asked = {"parent": LOCATION, "repository_id": name, "repository": given}
        with pytest.raises(exceptions.GoogleAPICallError, match=words):
            registry.create_repository(request=asked)
    with pytest.raises(exceptions.PermissionDenied, match="is not found or access"):
        registry.list_repositories(parent=f"projects/{PROJECT}/locations/nowhere")
    with pytest.raises(exceptions.InvalidArgument, match="cannot be updated"):
        registry.update_repository(repository={"name": SERVING, "format_": "NPM"},
                                   update_mask={"paths": ["format_"]})  # fmt: skip
