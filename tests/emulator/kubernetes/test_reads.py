"""Reads of a cluster through the ordinary client: nodes, pods, workloads, pages, Tables, errors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def test_discovery_names_every_kind(api: client.ApiClient) -> None:
    """A client finds by itself what there is and how it is called."""
    core = client.CoreV1Api(api).get_api_resources()
    assert {r.name for r in core.resources} >= {"nodes", "pods", "namespaces", "services", "events"}
    groups = {g.name for g in client.ApisApi(api).get_api_versions().groups}
    assert groups >= {"apps", "batch", "events.k8s.io", "leaderworkerset.x-k8s.io"}
    assert client.VersionApi(api).get_code().git_version.startswith("v1.34.")


def test_aggregated_discovery_agrees_with_the_plain_one(http: httpx.Client) -> None:
    """Newer clients ask for all kinds at once and learn of the same ones."""
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    answer = http.get("/apis", headers=accept)
    assert answer.headers["content-type"].startswith(accept["Accept"])
    found = {
        (group["metadata"]["name"], name)
        for group in answer.json()["items"]
        for version in group["versions"]
        for resource in version["resources"]
        for name in (
            resource["resource"],
            *(f"{resource['resource']}/{s['subresource']}" for s in resource["subresources"]),
        )
    }
    plain = set()
    for group in http.get("/apis").json()["groups"]:
        path = group["preferredVersion"]["groupVersion"]
        for resource in http.get(f"/apis/{path}").json()["resources"]:
            plain.add((group["name"], resource["name"]))
    assert found == plain


def test_nodes_carry_what_gke_puts_on_them(api: client.ApiClient) -> None:
    """Labels, capacity, conditions and addresses of every TPU node, typed by the client."""
    nodes = client.CoreV1Api(api).list_node().items
    tpus = [n for n in nodes if "google.com/tpu" in n.status.capacity]
    assert len(tpus) == 48 + 64 * 4
    for node in tpus:
        labels = node.metadata.labels
        assert labels["cloud.google.com/gke-tpu-accelerator"] == "tpu7x"
        assert labels["cloud.google.com/gke-tpu-topology"] in ("2x2x1", "2x2x4")
        assert labels["cloud.google.com/gke-nodepool"].startswith(f"hw-{labels['heartwood-tier']}-")
        assert labels["topology.kubernetes.io/zone"] == "us-central1-c"
        assert labels["node.kubernetes.io/instance-type"] == "tpu7x-standard-4t"
        assert node.status.capacity["google.com/tpu"] == "4"
        assert node.spec.provider_id.startswith("gce://heartwood-demo/us-central1-c/gke-")
        ready = {c.type: c.status for c in node.status.conditions}
        assert ready["Ready"] == "True"
        assert {a.type for a in node.status.addresses} == {"InternalIP", "Hostname"}
    addresses = [a.address for n in nodes for a in n.status.addresses if a.type == "InternalIP"]
    assert len(set(addresses)) == len(nodes)


def test_every_tpu_node_runs_one_ready_server(api: client.ApiClient) -> None:
    """Pods are bound to nodes that there are, one per node with chips."""
    core = client.CoreV1Api(api)
    pods = core.list_pod_for_all_namespaces(label_selector="heartwood-tier").items
    nodes = core.list_node(label_selector="heartwood-tier").items
    assert Counter(p.spec.node_name for p in pods) == Counter(n.metadata.name for n in nodes)
    by_name = {n.metadata.name: n for n in nodes}
    for pod in pods:
        assert pod.metadata.namespace == pod.metadata.labels["heartwood-tier"]
        assert all(c.ready for c in pod.status.container_statuses)
        host = by_name[pod.spec.node_name]
        assert pod.status.host_ip in {a.address for a in host.status.addresses}


def test_workloads_count_their_pods(api: client.ApiClient) -> None:
    """single-host: a Deployment; multi-host: a LeaderWorkerSet whose groups are slices."""
    small = client.AppsV1Api(api).read_namespaced_deployment("hw-small-server", "small")
    assert (small.spec.replicas, small.status.ready_replicas) == (48, 48)
    custom = client.CustomObjectsApi(api)
    where = ("leaderworkerset.x-k8s.io", "v1")
    medium: Any = custom.get_namespaced_custom_object(
        *where, "medium", "leaderworkersets", "hw-medium-server"
    )
    assert medium["spec"]["replicas"] == medium["status"]["readyReplicas"] == 64
    assert medium["spec"]["leaderWorkerTemplate"]["size"] == 4
    large: Any = custom.get_namespaced_custom_object(
        *where, "large", "leaderworkersets", "hw-large-server"
    )
    assert large["spec"]["replicas"] == large["status"]["readyReplicas"] == 0


def test_a_slices_pods_are_named_as_a_leader_worker_set_names_them(api: client.ApiClient) -> None:
    """Leader without, workers with their number; all of a group on one node pool."""
    core = client.CoreV1Api(api)
    group = "leaderworkerset.sigs.k8s.io/group-index=7"
    pods = core.list_namespaced_pod("medium", label_selector=group).items
    assert [p.metadata.name for p in pods] == [
        "hw-medium-server-7",
        "hw-medium-server-7-1",
        "hw-medium-server-7-2",
        "hw-medium-server-7-3",
    ]
    pools = {
        core.read_node(p.spec.node_name).metadata.labels["cloud.google.com/gke-nodepool"]
        for p in pods
    }
    assert pools == {"hw-medium-07"}


def test_owners_exist(api: client.ApiClient) -> None:
    """What a pod says it is owned by is there under the same uid, up to the Deployment."""
    pod = client.CoreV1Api(api).list_namespaced_pod("small", limit=1).items[0]
    apps = client.AppsV1Api(api)
    owner = pod.metadata.owner_references[0]
    replica_set = apps.read_namespaced_replica_set(owner.name, "small")
    assert replica_set.metadata.uid == owner.uid
    above = replica_set.metadata.owner_references[0]
    assert apps.read_namespaced_deployment(above.name, "small").metadata.uid == above.uid


@pytest.mark.parametrize("limit", [7, 100, 306, 307, 400])
def test_pages_of_any_size_make_up_the_whole(http: httpx.Client, limit: int) -> None:
    """limit and continue lose and repeat nothing, and all pages show one version."""
    whole = [n["metadata"]["name"] for n in http.get("/api/v1/nodes").json()["items"]]
    names: list[str] = []
    versions: set[str] = set()
    token = ""
    while True:
        answer = http.get("/api/v1/nodes", params={"limit": limit, "continue": token}).json()
        names += [n["metadata"]["name"] for n in answer["items"]]
        versions.add(answer["metadata"]["resourceVersion"])
        token = answer["metadata"].get("continue", "")
        assert len(answer["items"]) <= limit
        if not token:
            break
        assert answer["metadata"]["remainingItemCount"] == len(whole) - len(names)
    assert names == whole
    assert len(versions) == 1


def test_selectors_choose_on_the_server(http: httpx.Client) -> None:
    """Labels and fields, together too."""

    def names(path: str, **params: str) -> list[str]:
        return [i["metadata"]["name"] for i in http.get(path, params=params).json()["items"]]

    assert len(names("/api/v1/nodes", labelSelector="heartwood-tier in (small,large)")) == 48
    assert len(names("/api/v1/nodes", labelSelector="heartwood-tier!=small")) == 3 + 256
    assert len(names("/api/v1/nodes", labelSelector="!heartwood-tier")) == 3
    node = names("/api/v1/nodes", labelSelector="heartwood-tier=small")[0]
    assert names("/api/v1/nodes", fieldSelector=f"metadata.name={node}") == [node]
    on_node = names("/api/v1/pods", fieldSelector=f"spec.nodeName={node},status.phase=Running")
    assert len(on_node) == 1
    assert names("/api/v1/namespaces/medium/pods", fieldSelector=f"spec.nodeName={node}") == []


def test_tables_have_kubectls_columns(http: httpx.Client) -> None:
    """`kubectl get` prints what the server puts into columns."""
    expected = {
        "/api/v1/nodes": ["Name", "Status", "Roles", "Age", "Version"],
        "/api/v1/pods": ["Name", "Ready", "Status", "Restarts", "Age"],
        "/apis/apps/v1/deployments": ["Name", "Ready", "Up-to-date", "Available", "Age"],
        "/api/v1/namespaces": ["Name", "Status", "Age"],
    }
    for path, columns in expected.items():
        table = http.get(path, headers={"Accept": TABLE}).json()
        assert table["kind"] == "Table"
        shown = [c["name"] for c in table["columnDefinitions"] if not c["priority"]]
        assert shown == columns
        for row in table["rows"]:
            assert len(row["cells"]) == len(table["columnDefinitions"])
            assert row["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize(
    ("path", "status", "reason", "words"),
    [
        ("/api/v1/nodes/nope", 404, "NotFound", 'nodes "nope" not found'),
        ("/apis/apps/v1/namespaces/small/deployments/x", 404, "NotFound", "deployments.apps"),
        ("/api/v1/widgets", 404, "NotFound", "could not find"),
        ("/apis/none/v1", 404, "NotFound", "could not find"),
        ("/api/v1/nodes?limit=x", 400, "BadRequest", "limit"),
        ("/api/v1/nodes?limit=-1", 400, "BadRequest", "limit"),
        ("/api/v1/nodes?watch=maybe", 400, "BadRequest", "watch"),
        ("/api/v1/nodes?labelSelector=a b", 400, "BadRequest", "selector"),
        ("/api/v1/nodes?fieldSelector=spec.colour=red", 400, "BadRequest", "not supported"),
        ("/api/v1/nodes?continue=%%%", 400, "BadRequest", "continue"),
        ("/api/v1/nodes?resourceVersion=1&resourceVersionMatch=Exact", 410, "Expired", "too old"),
    ],
)
def test_refusals_come_as_status_objects(
    http: httpx.Client, path: str, status: int, reason: str, words: str
) -> None:
    """Kubernetes' own envelope, not Google's."""
    answer = http.get(path)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, status)
    assert (body["kind"], body["status"], body["reason"]) == ("Status", "Failure", reason)
    assert words in body["message"]


def test_a_version_that_is_yet_to_come_is_refused(http: httpx.Client) -> None:
    """As by an API server that has lost its store; clients then list without a version."""
    answer = http.get("/api/v1/pods", params={"resourceVersion": str(10**18)})
    assert answer.status_code == 504
    assert answer.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_a_node_without_a_name_is_refused(api: client.ApiClient) -> None:
    """Such a write is refused with 422, and the client raises its own exception."""
    with pytest.raises(ApiException) as caught:
        client.CoreV1Api(api).create_node(client.V1Node())
    assert caught.value.status == 422


@pytest.mark.parametrize("path", ["other/us-central1/hw-serving", "heartwood-demo/x/hw-serving"])
def test_another_project_or_location_has_no_cluster(http: httpx.Client, path: str) -> None:
    """An address that names something else finds nothing, instead of the one cluster."""
    base = str(http.base_url).split("/k8s/")[0]
    assert httpx.get(f"{base}/k8s/{path}/api/v1/nodes", trust_env=False).status_code == 404


def test_the_whole_fleet_lists_at_once_and_in_pages(full: httpx.Client) -> None:
    """2,608 TPU nodes in one answer, or 500 at a time; `make bench-emulator` tells how fast."""
    items = full.get("/api/v1/nodes").json()["items"]
    assert sum("heartwood-tier" in n["metadata"]["labels"] for n in items) == 2608
    pages = full.get("/api/v1/nodes", params={"limit": 500}).json()
    assert len(pages["items"]) == 500


def test_calls_are_counted_by_kind(http: httpx.Client) -> None:
    """The counter names verb and kind, never an object."""
    http.get("/api/v1/nodes/nope")
    base = str(http.base_url).split("/k8s/")[0]
    text = httpx.get(f"{base}/metrics", trust_env=False).text
    assert 'method="get nodes",service="kubernetes"' in text
    assert "nope" not in text
