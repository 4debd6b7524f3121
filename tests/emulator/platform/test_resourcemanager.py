"""Resource Manager: the project in both versions, found, changed, refused."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.iam.v1 import iam_policy_pb2

from tests.emulator.clients import PROJECT, WIRES, make_client
from tests.emulator.platform.conftest import Rest
from tests.processes import EmulatorProcess

NUMBER = "482910573316"
V1 = ("cloudresourcemanager.v1", "/cloudresourcemanager")
V3 = ("cloudresourcemanager.v3", "/cloudresourcemanager")


@pytest.mark.parametrize("wire", WIRES)
def test_the_project_is_found(platform: EmulatorProcess, wire: str) -> None:
    """By id and number, by search, below its organisation."""
    projects = make_client("ProjectsClient", wire, platform)
    own = projects.get_project(name=f"projects/{PROJECT}")
    assert own == projects.get_project(name=f"projects/{NUMBER}")
    assert (own.name, own.project_id, own.state.name) == (f"projects/{NUMBER}", PROJECT, "ACTIVE")
    for query in ("", f"id:{PROJECT}", "state:ACTIVE", f"parent:{own.parent}"):
        assert list(projects.search_projects(query=query)) == [own]
    assert list(projects.search_projects(query="id:other")) == []
    assert list(projects.list_projects(parent=own.parent)) == [own]
    for parent, error in (("", exceptions.BadRequest), ("folders/1", exceptions.Forbidden)):
        with pytest.raises(error):
            projects.list_projects(parent=parent)
    with pytest.raises(exceptions.Forbidden):
        projects.get_project(name="projects/other")


@pytest.mark.parametrize("wire", WIRES)
def test_name_and_labels_change(platform: EmulatorProcess, wire: str) -> None:
    """An operation; a stale etag, a bad name and other fields are refused."""
    projects = make_client("ProjectsClient", wire, platform)
    own = projects.get_project(name=f"projects/{PROJECT}")

    def update(mask: str, etag: str = "", **fields: object) -> object:
        project = {"name": own.name, "etag": etag, **fields}
        request = {"project": project, "update_mask": {"paths": [mask]}}
        return projects.update_project(request=request).result(timeout=60)

    assert update("labels", own.etag, labels={"wire": wire}).labels == {"wire": wire}
    with pytest.raises((exceptions.Aborted, exceptions.Conflict)):
        update("labels", own.etag, labels={})
    for mask, fields in (("display_name", {"display_name": "?"}), ("parent", {})):
        with pytest.raises(exceptions.BadRequest):
            update(mask, **fields)


@pytest.mark.parametrize("wire", WIRES)
def test_permissions_are_tested(platform: EmulatorProcess, wire: str) -> None:
    """The owner holds all that exist; what does not exist is refused."""
    projects = make_client("ProjectsClient", wire, platform)

    def test(*names: str) -> list[str]:
        request = iam_policy_pb2.TestIamPermissionsRequest(
            resource=f"projects/{PROJECT}", permissions=names
        )
        return list(projects.test_iam_permissions(request=request).permissions)

    asked = ["container.clusters.update", "tpu.nodes.create"]
    assert test(*asked) == asked
    for bad in ("container.*", "nothing.at.all", "container.clusters.explode"):
        with pytest.raises(exceptions.BadRequest):
            test(bad)


def test_bodies_of_both_versions_are_googles(rest: Rest) -> None:
    """As gcloud calls version 1 and the library version 3."""
    one = f"projects/{PROJECT}"
    assert rest(*V1, "GET", f"v1/{one}")["projectNumber"] == NUMBER
    assert rest(*V1, "GET", "v1/projects", filter="lifecycleState:ACTIVE")["projects"]
    assert rest(*V1, "GET", "v1/projects", filter="projectId:x") == {}
    assert len(rest(*V1, "POST", f"v1/{one}:getAncestry", {})["ancestor"]) == 2
    policy = rest(*V1, "POST", f"v1/{one}:getIamPolicy", {"options": {"requestedPolicyVersion": 3}})
    assert rest(*V1, "POST", f"v1/{one}:setIamPolicy", {"policy": policy})["etag"] != policy["etag"]
    rest(*V1, "POST", f"v1/{one}:setIamPolicy", {"policy": policy}, status=409)
    rest(*V1, "POST", f"v1/{one}:testIamPermissions", {"permissions": ["tpu.nodes.get"]})
    rest(*V1, "PUT", f"v1/{one}", {"name": "Heartwood demo", "labels": {"a": "b"}})
    assert rest(*V3, "GET", f"v3/{one}")["labels"] == {"a": "b"}
    assert rest(*V3, "GET", "v3/projects:search")["projects"]
    for verb, path, body, status in (
        ("GET", "v1/projects/other", None, 403),
        ("POST", f"v1/{one}:setIamPolicy", {"policy": 1}, 400),
        ("POST", f"v1/{one}:setIamPolicy", {"polizy": {}}, 400),
        ("POST", f"v1/{one}:getIamPolicy", [], 400),
        ("PUT", f"v1/{one}", {"labels": 7}, 400),
        ("PUT", f"v1/{one}", {"projectNumber": "1"}, 400),
        ("GET", f"v1/{one}:nothing", None, 403),
        ("GET", "v1/nothing", None, 404),
    ):
        assert rest(*V1, verb, path, body, status=status)["status"]
    rest(*V1, "GET", "v1/projects", status=400, bogus="1")
    rest(*V1, "GET", "v1/projects", status=400, pageSize="x")
