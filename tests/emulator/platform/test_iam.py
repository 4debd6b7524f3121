"""IAM: service accounts, roles, and policies of projects and accounts, over both wires."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.iam_admin_v1.types import iam as types
from google.iam.v1 import iam_policy_pb2, options_pb2, policy_pb2
from google.type import expr_pb2

from tests.emulator.clients import PROJECT, WIRES, make_client
from tests.emulator.platform.conftest import Rest
from tests.processes import EmulatorProcess

PARENT = f"projects/{PROJECT}"
DOCUMENT = ("iam.v1", "/iam")
OWNER = policy_pb2.Binding(role="roles/owner", members=["user:owner@heartwood.example"])


def _mail(name: str) -> str:
    return f"{name}@{PROJECT}.iam.gserviceaccount.com"


def _account(name: str) -> str:
    return f"{PARENT}/serviceAccounts/{_mail(name)}"


def _create(client: Any, name: str) -> types.ServiceAccount:
    request = {"name": PARENT, "account_id": name, "service_account": {"display_name": "One"}}
    return client.create_service_account(request=request)


def _read(client: Any, resource: str = PARENT, version: int = 3) -> policy_pb2.Policy:
    options = options_pb2.GetPolicyOptions(requested_policy_version=version)
    request = iam_policy_pb2.GetIamPolicyRequest(resource=resource, options=options)
    return client.get_iam_policy(request=request)


def _write(client: Any, policy: policy_pb2.Policy, resource: str = PARENT) -> policy_pb2.Policy:
    request = iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=policy)
    return client.set_iam_policy(request=request)


def test_an_accounts_life(platform: EmulatorProcess) -> None:
    """Created, found by address and number, changed, switched off and on, deleted, undeleted."""
    iam = make_client("IAMClient", "grpc", platform)
    made = _create(iam, "hw-life")
    assert made.email == _mail("hw-life")
    assert len(made.unique_id) == 21
    with pytest.raises(exceptions.AlreadyExists):
        _create(iam, "hw-life")
    by_number = {"name": f"projects/-/serviceAccounts/{made.unique_id}"}
    assert iam.get_service_account(request=by_number) == made
    assert made in list(iam.list_service_accounts(request={"name": PARENT, "page_size": 1}))
    patch = {
        "service_account": {"name": made.name, "display_name": "Two", "etag": made.etag},
        "update_mask": {"paths": ["display_name"]},
    }
    assert iam.patch_service_account(request=patch).display_name == "Two"
    with pytest.raises(exceptions.Aborted):
        iam.patch_service_account(request=patch)
    iam.disable_service_account(request={"name": made.name})
    assert iam.get_service_account(request={"name": made.name}).disabled
    iam.enable_service_account(request={"name": made.name})
    iam.delete_service_account(request={"name": made.name})
    with pytest.raises(exceptions.NotFound):
        iam.get_service_account(request={"name": made.name})
    restored = iam.undelete_service_account(request=by_number).restored_account
    assert (restored.email, restored.unique_id) == (made.email, made.unique_id)


def test_accounts_are_refused(platform: EmulatorProcess, rest: Rest) -> None:
    """Bad ids, masks, projects and names: the code that Google answers."""
    iam = make_client("IAMClient", "grpc", platform)
    for name in ("short", "UPPER-CASE", "a" * 31, "1digit-first", "ends-with-"):
        with pytest.raises(exceptions.InvalidArgument):
            _create(iam, name)
    with pytest.raises(exceptions.PermissionDenied):
        iam.list_service_accounts(request={"name": "projects/other"})
    mask = {"service_account": {"name": _account("hw-nodes")}, "update_mask": {"paths": ["email"]}}
    with pytest.raises(exceptions.InvalidArgument):
        iam.patch_service_account(request=mask)
    path = f"v1/{PARENT}/serviceAccounts"
    assert rest(*DOCUMENT, "POST", path, {"bogus": 1}, status=400)["status"] == "INVALID_ARGUMENT"
    assert rest(*DOCUMENT, "GET", f"{path}/none@x.y", status=404)["status"] == "NOT_FOUND"


def test_account_bodies_are_googles(rest: Rest) -> None:
    """Every call of an account's life over REST, as gcloud makes them."""
    path = f"v1/{PARENT}/serviceAccounts"
    made = rest(*DOCUMENT, "POST", path, {"accountId": "hw-rest", "serviceAccount": {}})
    assert any(a["email"] == made["email"] for a in rest(*DOCUMENT, "GET", path)["accounts"])
    one = f"{path}/{made['email']}"
    body = {"serviceAccount": {"description": "d"}, "updateMask": "description"}
    assert rest(*DOCUMENT, "PATCH", one, body)["description"] == "d"
    rest(*DOCUMENT, "PUT", one, {"displayName": "x"})
    for verb in ("disable", "enable"):
        rest(*DOCUMENT, "POST", f"{one}:{verb}", {})
    pod = f"serviceAccount:{PROJECT}.svc.id.goog[small/server]"
    policy = {"bindings": [{"role": "roles/iam.workloadIdentityUser", "members": [pod]}]}
    rest(*DOCUMENT, "POST", f"{one}:setIamPolicy", {"policy": policy})
    found = rest(
        *DOCUMENT, "POST", f"{one}:getIamPolicy", **{"options.requestedPolicyVersion": "3"}
    )
    assert found["bindings"][0]["members"] == [pod]
    asked = {"permissions": ["iam.serviceAccounts.actAs"]}
    assert rest(*DOCUMENT, "POST", f"{one}:testIamPermissions", asked) == asked
    rest(*DOCUMENT, "POST", f"{one}:testIamPermissions", {"permissions": ["x.y.z"]}, status=400)
    rest(*DOCUMENT, "GET", f"{one}/keys")
    rest(*DOCUMENT, "DELETE", one)
    number = made["uniqueId"]
    rest(*DOCUMENT, "POST", f"{path}/{number}:undelete", {})


@pytest.mark.parametrize("wire", WIRES)
def test_a_policy_is_read_changed_and_written(platform: EmulatorProcess, wire: str) -> None:
    """The etag guards against a write between; deleting an account marks it in the policy."""
    projects = make_client("ProjectsClient", wire, platform)
    iam = make_client("IAMClient", "grpc", platform)
    name = f"hw-policy-{wire}"
    _create(iam, name)
    policy = _read(projects)
    policy.bindings.add(role="roles/tpu.viewer", members=[f"serviceAccount:{_mail(name)}"])
    written = _write(projects, policy)
    assert written.etag != policy.etag
    with pytest.raises((exceptions.Aborted, exceptions.Conflict), match="concurrent"):
        _write(projects, policy)
    iam.delete_service_account(request={"name": _account(name)})
    members = [m for b in _read(projects).bindings for m in b.members]
    assert any(m.startswith(f"deleted:serviceAccount:{_mail(name)}?uid=") for m in members)
    assert f"serviceAccount:{_mail(name)}" not in members


@pytest.mark.parametrize("wire", WIRES)
def test_conditions_need_version_three(platform: EmulatorProcess, wire: str) -> None:
    """Older readers see the role with a mark and no condition; older writers are refused."""
    projects = make_client("ProjectsClient", wire, platform)
    before = _read(projects)
    condition = expr_pb2.Expr(title="soon", expression="request.time < timestamp('2030-01-01')")
    new = policy_pb2.Policy(version=3, etag=before.etag, bindings=before.bindings)
    new.bindings.add(role="roles/browser", members=["user:a@example.com"], condition=condition)
    assert _write(projects, new).version == 3
    old = _read(projects, version=1)
    assert any(b.role.startswith("roles/browser_withcond_") for b in old.bindings)
    assert not any(b.HasField("condition") for b in old.bindings)
    with pytest.raises(exceptions.BadRequest):
        _write(projects, policy_pb2.Policy(version=1, etag=old.etag, bindings=before.bindings))
    with pytest.raises(exceptions.BadRequest):
        _read(projects, version=2)
    _write(projects, policy_pb2.Policy(version=3, bindings=before.bindings))


@pytest.mark.parametrize(
    ("role", "member"),
    [
        ("roles/none.such", "user:a@example.com"),
        ("roles/tpu.viewer", "a@example.com"),
        ("roles/tpu.viewer", "allUsers"),
        ("roles/tpu.viewer", f"serviceAccount:nobody@{PROJECT}.iam.gserviceaccount.com"),
        (f"projects/{PROJECT}/roles/none", "user:a@example.com"),
    ],
)
def test_bad_bindings_are_refused(platform: EmulatorProcess, role: str, member: str) -> None:
    """Roles that are not there, principals without type, everybody, accounts that are not there."""
    projects = make_client("ProjectsClient", "grpc", platform)
    policy = policy_pb2.Policy(bindings=[OWNER, policy_pb2.Binding(role=role, members=[member])])
    with pytest.raises(exceptions.InvalidArgument):
        _write(projects, policy)


def test_roles(platform: EmulatorProcess, rest: Rest) -> None:
    """Google's are read only; the project's own come and go, and are granted by name."""
    for role in ("container.admin", "compute.loadBalancerAdmin", "billing.costsManager"):
        assert rest(*DOCUMENT, "GET", f"v1/roles/{role}")["includedPermissions"]
    page = rest(*DOCUMENT, "GET", "v1/roles", pageSize="5", view="FULL")
    assert len(page["roles"]) == 5
    assert page["nextPageToken"]
    developer = rest(*DOCUMENT, "GET", "v1/roles/container.developer")["includedPermissions"]
    assert "container.clusters.update" not in developer
    path = f"v1/{PARENT}/roles"
    permissions = ["container.clusters.update", "aiplatform.endpoints.deploy"]
    role = {"title": "Operator", "includedPermissions": permissions, "stage": "GA"}
    made = rest(*DOCUMENT, "POST", path, {"roleId": "hwOperator", "role": role})
    assert made["includedPermissions"] == sorted(permissions)
    rest(*DOCUMENT, "POST", path, {"roleId": "hwOperator", "role": role}, status=409)
    bad = {"includedPermissions": ["container.clusters.explode"]}
    rest(*DOCUMENT, "POST", path, {"roleId": "hwBad", "role": bad}, status=400)
    one = f"{path}/hwOperator"
    changed = rest(
        *DOCUMENT, "PATCH", one, {"title": "T", "etag": made["etag"]}, updateMask="title"
    )
    assert changed["includedPermissions"] == made["includedPermissions"]
    rest(*DOCUMENT, "PATCH", one, {"title": "U", "etag": made["etag"]}, status=409)
    assert rest(*DOCUMENT, "DELETE", one)["deleted"]
    assert "roles" not in rest(*DOCUMENT, "GET", path)
    assert rest(*DOCUMENT, "GET", path, showDeleted="true")["roles"]
    rest(*DOCUMENT, "POST", path, {"roleId": "hwOperator", "role": role}, status=400)
    rest(*DOCUMENT, "POST", f"{one}:undelete", {})
    resource = {"fullResourceName": f"//cloudresourcemanager.googleapis.com/{PARENT}"}
    rest(*DOCUMENT, "POST", "v1/roles:queryGrantableRoles", resource)
    rest(*DOCUMENT, "POST", "v1/permissions:queryTestablePermissions", resource)
    rest(*DOCUMENT, "GET", "v1/roles/none", status=404)
