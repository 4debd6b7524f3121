"""Deletions: evicted, orphaned, collected, held by finalizers, gone with the namespace."""

from __future__ import annotations

from typing import Any

import httpx

from tests.emulator.kubernetes.test_writes import deployment, wait

CONTAINER = {"name": "c", "image": "busybox", "command": ["sleep", "infinity"]}


def test_evictions_heed_disruption_budgets(cluster: httpx.Client, namespace: str) -> None:
    """The second of two pods that a budget keeps is not evicted; without the budget it is."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    made = cluster.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", json=deployment())
    assert made.status_code == 201

    def ready() -> list[str]:
        items = cluster.get(pods).json()["items"]
        return [item["metadata"]["name"] for item in items if is_ready(item)]

    wait(lambda: len(ready()) == 2)
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}
    body = {"metadata": {"name": "keep"}, "spec": spec}
    assert cluster.post(budgets, json=body).status_code == 201
    name = ready()[0]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    refused = cluster.post(f"{pods}/{name}/eviction", json=eviction)
    assert refused.status_code == 429
    assert refused.json()["details"]["causes"][0]["message"] == (
        "The disruption budget keep needs 2 healthy pods and has 2 currently"
    )
    cluster.delete(f"{budgets}/keep")
    assert cluster.post(f"{pods}/{name}/eviction", json=eviction).status_code == 201


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether its Ready condition is True."""
    conditions = pod["status"].get("conditions", ())
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def test_a_deleted_node_comes_back_repaired(cluster: httpx.Client, namespace: str) -> None:
    """Its pods go with it; auto-repair makes its host anew, under its name and with another uid."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    servers = cluster.get("/api/v1/namespaces/medium/pods").json()["items"]
    server = next(s for s in reversed(servers) if is_ready(s))
    name = server["spec"]["nodeName"]
    uid = cluster.get(f"/api/v1/nodes/{name}").json()["metadata"]["uid"]
    tolerations = [{"operator": "Exists"}]
    spec = {"nodeName": name, "tolerations": tolerations, "containers": [CONTAINER]}
    body = {"metadata": {"name": "there"}, "spec": spec}
    assert cluster.post(pods, json=body).status_code == 201
    gone = cluster.delete(f"/api/v1/nodes/{name}").json()
    assert (gone["status"], gone["details"]["kind"]) == ("Success", "nodes")
    wait(lambda: cluster.get(f"{pods}/there").status_code == 404)

    def back() -> bool:
        found = cluster.get(f"/api/v1/nodes/{name}").json()
        return found["kind"] == "Node" and is_ready(found) and found["metadata"]["uid"] != uid

    wait(back)
    path = f"/api/v1/namespaces/medium/pods/{server['metadata']['name']}"
    wait(lambda: is_ready(cluster.get(path).json()))
    assert cluster.get(path).json()["metadata"]["uid"] != server["metadata"]["uid"]


def test_dependents_are_orphaned_or_collected(cluster: httpx.Client, namespace: str) -> None:
    """With Orphan they stay, without their owner; otherwise they go, in the background."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for policy, left in (("Orphan", True), ("Background", False)):
        owner = cluster.post(path, json={"metadata": {"name": "owner"}}).json()
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
        reference["uid"] = owner["metadata"]["uid"]
        meta = {"name": f"owned-{policy.lower()}", "ownerReferences": [reference]}
        assert cluster.post(path, json={"metadata": meta}).status_code == 201
        cluster.delete(f"{path}/owner", params={"propagationPolicy": policy})
        found = cluster.get(f"{path}/{meta['name']}")
        assert (found.status_code == 200) is left
        if left:
            assert "ownerReferences" not in found.json()["metadata"]


def test_finalizers_hold_an_object(cluster: httpx.Client, namespace: str) -> None:
    """It is marked first, and gone when the last one is taken off."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.post(path, json={"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    marked = cluster.delete(f"{path}/a").json()
    assert marked["metadata"]["deletionTimestamp"]
    assert cluster.get(f"{path}/a").status_code == 200
    merge = {"Content-Type": "application/merge-patch+json"}
    cluster.patch(f"{path}/a", json={"metadata": {"finalizers": None}}, headers=merge)
    assert cluster.get(f"{path}/a").status_code == 404


def test_a_claim_in_use_is_kept(cluster: httpx.Client, namespace: str) -> None:
    """kubernetes.io/pvc-protection: it goes with the last pod that mounts it."""
    core = f"/api/v1/namespaces/{namespace}"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = f"{core}/persistentvolumeclaims"
    claim = cluster.post(claims, json={"metadata": {"name": "c"}, "spec": spec}).json()
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert claim["spec"]["storageClassName"] == "standard-rwo"
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    pod = {"containers": [{"name": "a", "image": "x:1"}], "volumes": [volume]}
    cluster.post(f"{core}/pods", json={"metadata": {"name": "p"}, "spec": pod})
    cluster.delete(f"{claims}/c")
    held = cluster.get(f"{claims}/c").json()
    assert held["metadata"]["deletionTimestamp"]
    cluster.delete(f"{core}/pods/p", params={"gracePeriodSeconds": "0"})
    wait(lambda: cluster.get(f"{claims}/c").status_code == 404)


def test_a_namespace_goes_with_all_in_it(cluster: httpx.Client, namespace: str) -> None:
    """Nothing new may come into it meanwhile; some may not be deleted at all."""
    path = f"/api/v1/namespaces/{namespace}"
    cluster.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", json=deployment())
    pods = cluster.get(f"{path}/pods").json()["items"]
    assert len(pods) == 2
    going = cluster.delete(path).json()
    assert going["status"]["phase"] == "Terminating"
    late = cluster.post(f"{path}/configmaps", json={"metadata": {"name": "late"}})
    assert late.status_code in (403, 404)
    wait(lambda: cluster.get(path).status_code == 404)
    assert cluster.get(f"{path}/pods").json()["items"] == []
    refused = cluster.delete("/api/v1/namespaces/kube-system")
    assert (refused.status_code, refused.json()["reason"]) == (403, "Forbidden")
