"""Who calls, and what the policies let them do: over both wires and the routers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.api_core import exceptions
from google.cloud.iam_credentials_v1.services.iam_credentials import IAMCredentialsClient
from google.cloud.iam_credentials_v1.services.iam_credentials.transports import (
    IAMCredentialsGrpcTransport,
)

from emulator.apis.iam.needed import permission_for
from emulator.apis.iam.permissions import PERMISSIONS
from emulator.context import make_cloud
from emulator.faults.asked import asked_of
from emulator.faults.naming import asked_http
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.wire.mount import Mount
from tests.emulator.clients import HTTP, PROJECT, make_client
from tests.processes import EmulatorProcess, start_emulator

CLUSTER = f"projects/{PROJECT}/locations/us-central1/clusters/hw-serving"
ZONE = f"projects/{PROJECT}/locations/us-central1-b"
BUCKET = "heartwood-demo-weights"


@pytest.fixture(scope="module")
def guarded() -> Iterator[EmulatorProcess]:
    """The scenario `normal`; each test has principals of its own."""
    running = start_emulator("normal", speed=1200)
    yield running
    running.stop()


class Principal:
    """Somebody who calls with a token; `make` gives them roles of the project."""

    def __init__(self, emulator: EmulatorProcess, member: str, *roles: str) -> None:
        self.emulator, self.member = emulator, member
        self.metadata = (("authorization", f"Bearer heartwood:{member}"),)
        if roles:
            self.bind(f"cloudresourcemanager/v3/projects/{PROJECT}", *roles)

    def bind(self, resource: str, *roles: str) -> None:
        """Give roles in a policy, as the owner."""
        url = f"{self.emulator.rest_url}/{resource}"
        policy = HTTP.post(f"{url}:getIamPolicy").json()
        policy.setdefault("bindings", []).extend(
            {"role": f"roles/{r}", "members": [self.member]} for r in roles
        )
        assert HTTP.post(f"{url}:setIamPolicy", json={"policy": policy}).status_code == 200

    def rest(
        self, path: str, verb: str = "GET", extra: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """A REST call."""
        headers = {"authorization": f"Bearer heartwood:{self.member}", **(extra or {})}
        url = f"{self.emulator.rest_url}/{path}"
        return HTTP.request(verb, url, headers=headers, **more)


def test_a_viewer_reads_and_changes_nothing(guarded: EmulatorProcess) -> None:
    """Reads pass; a change is refused in the service's words with IAM_PERMISSION_DENIED."""
    viewer = Principal(guarded, "user:viewer@heartwood.example", "viewer")
    gke = make_client("ClusterManagerClient", "grpc", guarded)
    assert gke.get_cluster(name=CLUSTER, metadata=viewer.metadata).name == "hw-serving"
    pool = f"{CLUSTER}/nodePools/hw-small-00"
    with pytest.raises(exceptions.PermissionDenied) as refused:
        gke.set_node_pool_size(request={"name": pool, "node_count": 3}, metadata=viewer.metadata)
    assert refused.value.message == (
        f'Required "container.clusters.update" permission(s) for "{pool}".'
    )
    assert refused.value.reason == "IAM_PERMISSION_DENIED"
    assert refused.value.metadata == {
        "permission": "container.clusters.update", "resource": pool,
    }  # fmt: skip
    answer = viewer.rest(f"tpu/v2/{ZONE}/nodes?nodeId=x", "POST", json={})
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == (
        f"Permission 'tpu.nodes.create' denied on resource '//tpu.googleapis.com/{ZONE}/nodes/x' "
        "(or it may not exist)."
    )
    answer = viewer.rest(f"compute/v1/projects/{PROJECT}/global/urlMaps/hw-serving", "DELETE")
    error = answer.json()["error"]
    assert (answer.status_code, error["errors"][0]["reason"]) == (403, "forbidden")
    assert error["message"].startswith("Required 'compute.urlMaps.delete' permission for 'projects")
    nobody = Principal(guarded, "user:nobody@heartwood.example")
    error = nobody.rest(f"compute/v1/projects/{PROJECT}/global/networks?maxResults=3").json()[
        "error"
    ]
    asked = "Required 'compute.networks.list' permission for"
    assert error["message"] == f"{asked} 'projects/{PROJECT}'"


def test_routers_refuse_in_their_own_words(guarded: EmulatorProcess) -> None:
    """Storage, BigQuery, Kubernetes and the older Resource Manager, before and after a grant."""
    nobody = Principal(guarded, f"serviceAccount:new@{PROJECT}-other.iam.gserviceaccount.com")
    cases = {
        f"storage/v1/b/{BUCKET}/o": ("storage.objectViewer", "storage.objects.list"),
        f"bigquery/v2/projects/{PROJECT}/jobs": ("bigquery.user", "bigquery.jobs.list"),
        f"k8s/{PROJECT}/us-central1/hw-serving/api/v1/pods?limit=1":
            ("container.viewer", "container.pods.list"),
        f"cloudresourcemanager/v1/projects/{PROJECT}": ("browser", "resourcemanager.projects.get"),
    }  # fmt: skip
    for path, (_, permission) in cases.items():
        answer = nobody.rest(path)
        assert answer.status_code == 403, path
        assert permission in answer.text
    nobody.bind(f"cloudresourcemanager/v3/projects/{PROJECT}", *(r for r, _ in cases.values()))
    for path in cases:
        assert nobody.rest(path).status_code == 200, path


def test_reviews_tell_what_the_caller_may(guarded: EmulatorProcess) -> None:
    """Everybody may ask about themselves; the answer is what a call would meet."""
    cluster = f"k8s/{PROJECT}/us-central1/hw-serving"
    group = f"{cluster}/apis/authorization.k8s.io/v1"
    made = {
        role: Principal(guarded, f"user:{role}@reviews.example", *([f"container.{role}"] * bool(n)))
        for n, role in enumerate(("nobody", "viewer", "developer"))
    }

    def may(who: str, verb: str, resource: str, of_group: str = "") -> bool:
        asked = {"verb": verb, "resource": resource, "group": of_group}
        body = {"spec": {"resourceAttributes": asked}}
        answer = made[who].rest(f"{group}/selfsubjectaccessreviews", "POST", json=body)
        assert answer.status_code == 201, answer.text
        return bool(answer.json()["status"]["allowed"])

    assert [may(who, "list", "pods") for who in made] == [False, True, True]
    assert [may(who, "create", "deployments", "apps") for who in made] == [False, False, True]
    assert [may(who, "delete", "nodes") for who in made] == [False, False, False]
    assert [may(who, "*", "*", "*") for who in made] == [False, False, False]
    rules = (
        made["viewer"]
        .rest(f"{group}/selfsubjectrulesreviews", "POST", json={"spec": {"namespace": "default"}})
        .json()["status"]["resourceRules"]
    )
    verbs = {rule["resources"][0]: set(rule["verbs"]) for rule in rules}
    assert verbs["pods"] == {"get", "list", "watch"}
    body = {"spec": {"user": "viewer@reviews.example",
                     "resourceAttributes": {"verb": "delete", "resource": "pods"}}}  # fmt: skip
    url = f"{guarded.rest_url}/{group}/subjectaccessreviews"
    assert not HTTP.post(url, json=body).json()["status"]["allowed"]


def test_a_bucket_s_own_policy_counts(guarded: EmulatorProcess) -> None:
    """A grant on the bucket alone lets one in there."""
    reader = Principal(guarded, "user:reader@heartwood.example")
    path = f"storage/v1/b/{BUCKET}"
    assert reader.rest(f"{path}/o").status_code == 403
    url = f"{guarded.rest_url}/{path}/iam"
    policy = HTTP.get(url).json()
    policy["bindings"].append({"role": "roles/storage.objectViewer", "members": [reader.member]})
    assert HTTP.put(url, json=policy).status_code == 200
    assert reader.rest(f"{path}/o").status_code == 200
    assert reader.rest(path).status_code == 403
    call = f"GET /storage/v1/b/{BUCKET} HTTP/1.1"
    part = f"--b\r\nContent-Type: application/http\r\n\r\n{call}\r\n\r\n"
    batch = reader.rest(
        "batch/storage/v1", "POST", content=f"{part}\r\n--b--",
        extra={"content-type": "multipart/mixed; boundary=b"},
    )  # fmt: skip
    assert "HTTP/1.1 403" in batch.text
    assert "does not have storage.buckets.get access" in batch.text
    asked = "permissions=storage.objects.list&permissions=storage.buckets.get"
    assert reader.rest(f"{path}/iam/testPermissions?{asked}").json()["permissions"] == [
        "storage.objects.list"
    ]


def test_impersonation(guarded: EmulatorProcess) -> None:
    """A token from IAM Credentials acts as the account; disabled, expired and wrong ones do not."""
    iam = make_client("IAMClient", "grpc", guarded)
    account = iam.create_service_account(
        request={"name": f"projects/{PROJECT}", "account_id": "ops-robot"}
    )
    robot = Principal(guarded, f"serviceAccount:{account.email}", "tpu.viewer")
    person = Principal(guarded, "user:person@heartwood.example")
    with grpc.insecure_channel(guarded.grpc_target) as channel:
        tokens = IAMCredentialsClient(transport=IAMCredentialsGrpcTransport(channel=channel))
        ask = {
            "name": f"projects/-/serviceAccounts/{account.email}",
            "scope": ["https://www.googleapis.com/auth/cloud-platform"],
        }
        with pytest.raises(exceptions.PermissionDenied, match="getAccessToken"):
            tokens.generate_access_token(request=ask, metadata=person.metadata)
        person.bind(f"iam/v1/{account.name}", "iam.serviceAccountTokenCreator")
        token = tokens.generate_access_token(request=ask, metadata=person.metadata).access_token
    nodes = f"{guarded.rest_url}/tpu/v2/{ZONE}/nodes"
    bearer = {"authorization": f"Bearer {token}"}
    assert HTTP.get(nodes, headers=bearer).status_code == 200
    assert HTTP.delete(f"{nodes}/hw-dev-00", headers=bearer).status_code == 403
    iam.disable_service_account(request={"name": account.name})
    for wrong, reason in (
        (token, "ACCOUNT_STATE_INVALID"),
        (f"heartwood:{robot.member};expires=1", "ACCESS_TOKEN_EXPIRED"),
        ("heartwood:nobody", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        (f"heartwood:serviceAccount:gone@{PROJECT}.iam.gserviceaccount.com",
         "ACCOUNT_STATE_INVALID"),
    ):  # fmt: skip
        answer = HTTP.get(nodes, headers={"authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
        assert answer.json()["error"]["details"][0]["reason"] == reason


def test_permissions_are_told_to_the_caller(guarded: EmulatorProcess) -> None:
    """testIamPermissions answers for whoever asks; the owner has all."""
    viewer = Principal(guarded, "user:asks@heartwood.example", "tpu.viewer")
    projects = make_client("ProjectsClient", "grpc", guarded)
    asked = {
        "resource": f"projects/{PROJECT}",
        "permissions": ["tpu.nodes.list", "tpu.nodes.delete"],
    }
    mine = projects.test_iam_permissions(request=asked, metadata=viewer.metadata)
    assert list(mine.permissions) == ["tpu.nodes.list"]
    assert list(projects.test_iam_permissions(request=asked).permissions) == asked["permissions"]


def test_other_tokens_are_the_owner_s(guarded: EmulatorProcess) -> None:
    """bq, kubectl and gcloud send tokens of their own; nobody signs in on loopback."""
    for token in ("emulator", "ya29.something"):
        headers = {"authorization": f"Bearer {token}"}
        url = f"{guarded.rest_url}/tpu/v2/{ZONE}/nodes"
        assert HTTP.get(url, headers=headers).status_code == 200


# From Google's references of the methods.
KNOWN = {
    "container ListNodePools": "container.clusters.get",
    "container CreateNodePool": "container.clusters.update",
    "container GetCluster": "container.clusters.get",
    "container CreateCluster": "container.clusters.create",
    "container ListOperations": "container.operations.list",
    "tpu CreateNode": "tpu.nodes.create",
    "tpu GetAcceleratorType": "tpu.acceleratortypes.get",
    "compute backendServices.get": "compute.backendServices.get",
    "compute backendServices.insert": "compute.backendServices.create",
    "compute machineTypes.aggregatedList": "compute.machineTypes.list",
    "compute urlMaps.validate": "compute.urlMaps.validate",
    "compute globalForwardingRules.setTarget": "compute.globalForwardingRules.setTarget",
    "monitoring ListTimeSeries": "monitoring.timeSeries.list",
    "monitoring ListDashboards": "monitoring.dashboards.list",
    "logging WriteLogEntries": "logging.logEntries.create",
    "logging ListLogs": "logging.logs.list",
    "logging CreateSink": "logging.sinks.create",
    "logging DeleteLogMetric": "logging.logMetrics.delete",
    "aiplatform DeployModel": "aiplatform.endpoints.deploy",
    "aiplatform ListModels": "aiplatform.models.list",
    "billingbudgets ListBudgets": "billing.budgets.list",
    "cloudquotas GetQuotaInfo": "cloudquotas.quotas.get",
    "cloudresourcemanager SetIamPolicy": "resourcemanager.projects.setIamPolicy",
    "iam GetServiceAccount": "iam.serviceAccounts.get",
    "iam ListServiceAccountKeys": "iam.serviceAccountKeys.list",
    "serviceusage BatchEnableServices": "serviceusage.services.enable",
    "serviceusage ListServices": "serviceusage.services.list",
    "cloudbilling ListSkus": "",
}


def test_every_method_has_its_permission() -> None:
    """The rule gives what Google's references say, and for no served method nonsense."""
    found: dict[str, str] = {}
    for mount in load_apis(make_cloud(Settings())):
        for method in mount.methods() if isinstance(mount, Mount) else ():
            if hasattr(mount.handler, method.name) and method.host:
                asked = asked_of(method, method.request())
                found[f"{asked.service} {asked.methods[0]}"] = permission_for(asked)
    assert {k: found.get(k) for k in KNOWN} == KNOWN
    services = {p.partition(".")[0] for p in PERMISSIONS}
    odd = {k: p for k, p in found.items() if p and p.partition(".")[0] in services
           and (p.count(".") != 2 or not all(p.split(".")))}  # fmt: skip
    assert odd == {}
    whole = {"artifactregistry", "lustre", "parallelstore", "pubsub", "redis"}
    assert {p for p in found.values() if p.partition(".")[0] in whole} <= {*PERMISSIONS}


@pytest.mark.parametrize(
    ("prefix", "host", "call", "permission"),
    [
        ("/storage", "storage.googleapis.com", "GET /v1/b", "storage.buckets.list"),
        ("/storage", "storage.googleapis.com", "PATCH /v1/b/x", "storage.buckets.update"),
        ("/storage", "storage.googleapis.com", "PUT /v1/b/x/iam", "storage.buckets.setIamPolicy"),
        ("/storage", "storage.googleapis.com", "GET /v1/b/x/o/a%2Fb", "storage.objects.get"),
        ("/storage", "storage.googleapis.com", "POST /v1/b/x/o/a/rewriteTo/b/y/o/c",
         "storage.objects.create"),
        ("/upload/storage", "storage.googleapis.com", "POST /v1/b/x/o", "storage.objects.create"),
        ("/bigquery", "bigquery.googleapis.com", "POST /v2/projects/p/queries",
         "bigquery.jobs.create"),
        ("/bigquery", "bigquery.googleapis.com", "GET /v2/projects/p/queries/j",
         "bigquery.jobs.get"),
        ("/bigquery", "bigquery.googleapis.com", "GET /bigquery/v2/projects/p/datasets/d/tables/t",
         "bigquery.tables.get"),
        ("/bigquery", "bigquery.googleapis.com", "GET /v2/projects/p/datasets/d/tables/t/data",
         "bigquery.tables.getData"),
        ("/k8s", "", "GET /p/l/c/api/v1/namespaces/n/pods/x/log", "container.pods.getLogs"),
        ("/k8s", "", "DELETE /p/l/c/apis/apps/v1/namespaces/n/statefulsets/x",
         "container.statefulSets.delete"),
        ("/k8s", "", "PATCH /p/l/c/apis/leaderworkerset.x-k8s.io/v1/namespaces/n/x/y",
         "container.thirdPartyObjects.update"),
        ("/k8s", "", "GET /p/l/c/apis", ""),
    ],
)  # fmt: skip
def test_routers_methods_have_their_permissions(
    prefix: str, host: str, call: str, permission: str
) -> None:
    """From verb and path, as Google's references say."""
    verb, _, path = call.partition(" ")
    asked = asked_http(prefix, host, verb, path, {}, PROJECT)
    assert asked is not None
    assert permission_for(asked) == permission
