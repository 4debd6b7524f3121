"""Writes as clients make them: create, update, delete, conflicts, dry runs, what is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from tests.emulator.kubernetes.conftest import make_api
from tests.processes import EmulatorProcess


def deployment(name: str = "web", replicas: int = 2, **labels: str) -> dict[str, Any]:
    """A Deployment of one container."""
    chosen = labels or {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": chosen},
            "template": {
                "metadata": {"labels": chosen},
                "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
            },
        },
    }


def wait(until: Callable[[], bool], limit_s: float = 60) -> None:
    """Until it holds, or fail."""
    end = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_the_client_creates_reads_updates_and_deletes(
    writable: EmulatorProcess, namespace: str
) -> None:
    """What the Python client sends is kept, defaulted, versioned, and gone after a deletion."""
    core = client.CoreV1Api(make_api(writable))
    made = core.create_namespaced_config_map(
        namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"x": "1"})
    )
    assert made.metadata.uid
    assert made.metadata.creation_timestamp is not None
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_config_map(namespace, made_again(made))
    assert caught.value.status == 409
    assert "AlreadyExists" in caught.value.body
    made.data = {"x": "2"}
    changed = core.replace_namespaced_config_map("a", namespace, made)
    assert int(changed.metadata.resource_version) > int(made.metadata.resource_version)
    with pytest.raises(ApiException) as caught:
        core.replace_namespaced_config_map("a", namespace, made)
    assert caught.value.status == 409
    assert "the object has been modified" in caught.value.body
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_config_map("a", namespace)
    assert caught.value.status == 404


def made_again(made: client.V1ConfigMap) -> client.V1ConfigMap:
    """The same, as a caller writes it first."""
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=made.metadata.name), data=made.data)


def test_an_update_that_changes_nothing_keeps_the_version(
    cluster: httpx.Client, namespace: str
) -> None:
    """Neither a watch nor a controller is woken by it; generateName draws names by itself."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = cluster.post(path, json={"metadata": {"generateName": "x-"}, "data": {"a": "b"}}).json()
    other = cluster.post(path, json={"metadata": {"generateName": "x-"}}).json()
    name = made["metadata"]["name"]
    assert name.startswith("x-")
    assert len(name) == 7
    assert name != other["metadata"]["name"]
    again = cluster.put(f"{path}/{name}", json=made).json()
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_deployment_runs_and_its_pods_go_with_it(
    writable: EmulatorProcess, cluster: httpx.Client, namespace: str
) -> None:
    """Deployment, ReplicaSet and pods come; a watch is told; a deletion takes all of them along."""
    core, apps = client.CoreV1Api(make_api(writable)), client.AppsV1Api(make_api(writable))
    version = core.list_namespaced_pod(namespace).metadata.resource_version
    told: list[tuple[str, str]] = []

    def listen() -> None:
        stream = watch.Watch().stream(
            core.list_namespaced_pod, namespace, resource_version=version, timeout_seconds=5
        )
        told.extend((event["type"], event["object"].metadata.name) for event in stream)

    thread = threading.Thread(target=listen)
    thread.start()
    made = apps.create_namespaced_deployment(namespace, deployment())
    assert made.spec.strategy.type == "RollingUpdate"
    assert made.spec.template.spec.containers[0].image_pull_policy == "IfNotPresent"

    def ready() -> int:
        return apps.read_namespaced_deployment("web", namespace).status.ready_replicas or 0

    wait(lambda: ready() == 2)
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 3}})
    wait(lambda: ready() == 3)
    assert apps.read_namespaced_deployment_scale("web", namespace).status.replicas == 3
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")
    wait(lambda: not core.list_namespaced_pod(namespace).items)
    wait(lambda: not apps.list_namespaced_replica_set(namespace).items)
    wait(lambda: not apps.list_namespaced_deployment(namespace).items)
    thread.join(20)
    added = {name for kind, name in told if kind == "ADDED"}
    assert len(added) == 3
    assert {name for kind, name in told if kind == "DELETED"} == added


def test_a_dry_run_changes_nothing(cluster: httpx.Client, namespace: str) -> None:
    """It answers as the write would, also with its refusals."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    dry = {"dryRun": "All"}
    made = cluster.post(path, json=deployment(), params=dry)
    assert made.status_code == 201
    assert made.json()["spec"]["revisionHistoryLimit"] == 10
    assert cluster.get(f"{path}/web").status_code == 404
    cluster.post(path, json=deployment())
    before = cluster.get(f"{path}/web").json()["spec"]
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = {"spec": {"replicas": 5}}
    after = cluster.patch(f"{path}/web", json=patch, params=dry, headers=merge).json()
    assert after["spec"]["replicas"] == 5
    assert cluster.delete(f"{path}/web", params=dry).status_code == 200
    assert cluster.get(f"{path}/web").json()["spec"] == before


def broken(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """A Deployment with something wrong."""
    body = deployment()
    change(body)
    return body


@pytest.mark.parametrize(
    ("body", "status", "field", "words"),
    [
        (broken(lambda b: b["spec"].update(replicass=1)), 400, "", 'field "spec.replicass"'),
        (broken(lambda b: b["spec"].update(replicas="2")), 400, "", "cannot unmarshal"),
        (broken(lambda b: b["spec"].update(replicas=-1)), 422, "spec.replicas", "greater than"),
        (broken(lambda b: b["spec"].pop("selector")), 422, "spec.selector", "Required value"),
        (broken(lambda b: b["metadata"].update(name="Up")), 422, "metadata.name", "RFC 1123"),
        (broken(lambda b: b["metadata"].pop("name")), 422, "metadata.name", "generateName"),
        (
            broken(lambda b: b["spec"]["template"]["metadata"].update(labels={"a": "b"})),
            422, "spec.template.metadata.labels", "does not match",
        ),
        (
            broken(lambda b: b["spec"]["template"]["spec"]["containers"][0].pop("image")),
            422, "spec.template.spec.containers[0].image", "Required value",
        ),
        (
            broken(lambda b: b["spec"]["template"]["spec"].update(restartPolicy="Never")),
            422, "spec.template.spec.restartPolicy", "Unsupported value",
        ),
        (broken(lambda b: b.update(kind="Pod")), 400, "", "cannot be handled"),
        (broken(lambda b: b["metadata"].update(namespace="other")), 400, "", "namespace"),
    ],
)  # fmt: skip
def test_refusals_name_what_is_wrong(
    cluster: httpx.Client, body: dict[str, Any], status: int, field: str, words: str
) -> None:
    """400 for what cannot be decoded, 422 with causes for what breaks a rule."""
    path = "/apis/apps/v1/namespaces/default/deployments"
    answer = cluster.post(path, json=body, params={"fieldValidation": "Strict"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["kind"]) == (status, status, "Status")
    assert words in told["message"]
    if field:
        assert field in [cause["field"] for cause in told["details"]["causes"]]


def test_unknown_fields_are_warned_of_or_ignored(cluster: httpx.Client, namespace: str) -> None:
    """As fieldValidation says; what is not known is not kept."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for validation, warned in (("Warn", True), ("Ignore", False)):
        body = {"metadata": {"name": validation.lower()}, "colour": "red"}
        answer = cluster.post(path, json=body, params={"fieldValidation": validation})
        assert answer.status_code == 201
        assert "colour" not in answer.json()
        assert ('unknown field \\"colour\\"' in answer.headers.get("warning", "")) is warned


def test_what_is_fixed_stays(cluster: httpx.Client, namespace: str) -> None:
    """Selectors, a pod's containers, a claim's class: 422 or the field is forbidden."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = cluster.post(path, json=deployment()).json()
    del made["metadata"]["resourceVersion"]
    made["spec"]["selector"]["matchLabels"] = {"app": "other"}
    made["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    refused = cluster.put(f"{path}/web", json=made)
    assert refused.status_code == 422
    assert "field is immutable" in refused.json()["message"]
    pods = f"/api/v1/namespaces/{namespace}/pods"
    name = cluster.get(pods).json()["items"][0]["metadata"]["name"]
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = {"spec": {"hostNetwork": True}}
    assert cluster.patch(f"{pods}/{name}", json=patch, headers=merge).status_code == 422


def test_access_reviews_allow_the_owner(writable: EmulatorProcess) -> None:
    """Nobody signs in on loopback: the caller may do everything."""
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="create", resource="pods")
        )
    )
    api = client.AuthorizationV1Api(make_api(writable))
    assert api.create_self_subject_access_review(review).status.allowed


def test_a_stateful_set_mounts_its_own_claims(cluster: httpx.Client, namespace: str) -> None:
    """The names of its claim templates are volumes of its pods; no other name is."""
    body = deployment("db", 1)
    body["kind"] = "StatefulSet"
    spec = body["spec"] | {"serviceName": "db", "volumeClaimTemplates": [{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]}  # fmt: skip
    (container,) = spec["template"]["spec"]["containers"]
    container["volumeMounts"] = [{"name": "other", "mountPath": "/data"}]
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    assert cluster.post(path, json=body | {"spec": spec}).status_code == 422
    container["volumeMounts"][0]["name"] = "data"
    assert cluster.post(path, json=body | {"spec": spec}).status_code == 201


def test_the_tiers_own_workloads_can_be_scaled_and_deleted(
    writable: EmulatorProcess, cluster: httpx.Client
) -> None:
    """Fewer replicas end pods, more wait for hosts; a deleted pod begins anew on its host."""
    apps, core = client.AppsV1Api(make_api(writable)), client.CoreV1Api(make_api(writable))
    name = "hw-small-server"
    for wanted, ready in ((2, 2), (50, 48)):
        apps.patch_namespaced_deployment_scale(name, "small", {"spec": {"replicas": wanted}})
        found = apps.read_namespaced_deployment(name, "small")
        assert (found.spec.replicas, found.status.ready_replicas) == (wanted, ready)
        assert found.status.observed_generation == found.metadata.generation
        assert len(core.list_namespaced_pod("small").items) == wanted
    before = core.list_namespaced_pod("small").items[0]
    core.delete_namespaced_pod(before.metadata.name, "small")
    after = core.read_namespaced_pod(before.metadata.name, "small")
    assert after.metadata.uid != before.metadata.uid
    assert after.spec.node_name == before.spec.node_name
    node = core.list_node(limit=1).items[0].metadata.name
    core.patch_node(node, {"spec": {"unschedulable": True}, "metadata": {"labels": {"a": "b"}}})
    shown = core.read_node(node)
    assert shown.spec.unschedulable
    assert shown.metadata.labels["a"] == "b"
    apps.delete_namespaced_deployment(name, "small")
    assert core.list_namespaced_pod("small").items == []


def test_logs_follow_from_the_pod(writable: EmulatorProcess) -> None:
    """A server's start and its probes; the newest lines alone where that is asked."""
    core = client.CoreV1Api(make_api(writable))
    name = core.list_namespaced_pod("medium", limit=1).items[0].metadata.name
    lines = core.read_namespaced_pod_log(name, "medium", tail_lines=3).splitlines()
    assert len(lines) == 3
    assert all('"GET /health HTTP/1.1" 200 OK' in line for line in lines)
    recent = core.read_namespaced_pod_log(name, "medium", since_seconds=100).splitlines()
    assert 8 <= len(recent) <= 11
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_pod_log(name, "medium", container="none")
    assert caught.value.status == 400
