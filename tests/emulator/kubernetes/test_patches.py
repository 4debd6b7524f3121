"""The kinds of patch, and server-side apply: what they change, what they leave, who owns what."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.kubernetes.overlays import merge_difference, merged
from emulator.apis.kubernetes.protobuf_body import decode
from emulator.apis.kubernetes.strategic import strategic_merge
from tests.emulator.kubernetes.test_parts import code_of
from tests.emulator.kubernetes.test_writes import deployment

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


def container(body: dict[str, Any], name: str = "web") -> dict[str, Any]:
    """A container of a Deployment's template."""
    found = body["spec"]["template"]["spec"]["containers"]
    return next(c for c in found if c["name"] == name)


def pod_patch(**of_spec: Any) -> dict[str, Any]:
    """A patch of a Deployment's pod spec."""
    return {"spec": {"template": {"spec": of_spec}}}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"containers": [{"name": "a", "image": "x:2"}]}, {"a": "x:2", "b": "y:1"}),
        ({"containers": [{"name": "c", "image": "z:1"}]}, {"a": "x:1", "b": "y:1", "c": "z:1"}),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, {"b": "y:1"}),
        ({"containers": [{"$patch": "replace"}, {"name": "d", "image": "d:1"}]}, {"d": "d:1"}),
    ],
)
def test_lists_merge_by_their_keys(patch: dict[str, Any], expected: dict[str, str]) -> None:
    """Strategic merge: containers by name; directives delete or replace."""
    pod = {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}
    result = strategic_merge("V1PodSpec", pod, patch)
    assert {c["name"]: c["image"] for c in result["containers"]} == expected
    assert pod["containers"][0]["image"] == "x:1"


def test_strategic_directives_order_and_retain() -> None:
    """$setElementOrder sorts, $retainKeys drops the rest, sets grow, atomic lists are replaced."""
    pod = {"containers": [{"name": "a"}, {"name": "b"}], "tolerations": [{"key": "x"}]}
    order = [{"name": "b"}, {"name": "a"}]
    patch = {"$setElementOrder/containers": order, "tolerations": [{"key": "y"}]}
    result = strategic_merge("V1PodSpec", pod, patch)
    assert [c["name"] for c in result["containers"]] == ["b", "a"]
    assert result["tolerations"] == [{"key": "y"}]
    spec = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    retain = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert strategic_merge("V1DeploymentSpec", spec, retain) == {"strategy": {"type": "Recreate"}}
    meta = {"finalizers": ["a/x", "a/y"]}
    gone = {"$deleteFromPrimitiveList/finalizers": ["a/x"], "finalizers": ["a/z"]}
    assert strategic_merge("V1ObjectMeta", meta, gone) == {"finalizers": ["a/y", "a/z"]}


objects = st.recursive(
    st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from("abc"), objects, max_size=3),
    st.dictionaries(st.sampled_from("abc"), objects, max_size=3),
)
def test_a_difference_leads_from_one_to_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    """What a caller wrote on a derived object is what is shown."""
    assert merged(before, merge_difference(before, after)) == after


def test_each_kind_of_patch(cluster: httpx.Client, namespace: str) -> None:
    """JSON patch by path, merge patch by whole lists, strategic merge by keys; 4xx for rubbish."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    cluster.post(path, json=deployment())

    def patch(form: str, body: Any) -> httpx.Response:
        headers = {"Content-Type": form}
        return cluster.patch(f"{path}/web", content=json.dumps(body), headers=headers)

    env = [{"name": "A", "value": "1"}]
    told = patch(STRATEGIC, pod_patch(containers=[{"name": "web", "env": env}])).json()
    assert container(told)["env"] == env
    assert container(told)["image"] == "nginx:1.27"
    place = "/spec/template/spec/containers/0/image"
    told = patch(JSON_PATCH, [{"op": "replace", "path": place, "value": "nginx:1.28"}]).json()
    assert container(told)["image"] == "nginx:1.28"
    told = patch(MERGE, {"metadata": {"annotations": {"a": "b"}}}).json()
    assert told["metadata"]["annotations"]["a"] == "b"
    told = patch(MERGE, {"metadata": {"annotations": {"a": None}}}).json()
    assert "a" not in told["metadata"].get("annotations", {})
    for form, body, status in (
        (JSON_PATCH, [{"op": "test", "path": "/kind", "value": "Pod"}], 422),
        (JSON_PATCH, [{"op": "fly", "path": "/kind"}], 400),
        (JSON_PATCH, {"spec": 1}, 400),
        (MERGE, [1], 400),
        (MERGE, {"spec": {"replicas": "many"}}, 400),
        (STRATEGIC, pod_patch(containers=[{"image": "x"}]), 400),
        (MERGE, {"metadata": {"resourceVersion": "1"}}, 409),
        (MERGE, {"metadata": {"name": "other"}}, 400),
        ("application/x-patch", {}, 415),
    ):
        answer = patch(form, body)
        assert (answer.status_code, answer.json()["kind"]) == (status, "Status"), (form, body)


def test_applying_the_same_again_writes_nothing(cluster: httpx.Client, namespace: str) -> None:
    """An apply that changes no field leaves the version; of an object that no controller writes."""
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}}
    versions = {
        cluster.patch(
            f"/api/v1/namespaces/{namespace}/configmaps/web",
            content=yaml.safe_dump({**head, "data": {"a": "1"}}),
            params={"fieldManager": "one"},
            headers={"Content-Type": APPLY},
        ).json()["metadata"]["resourceVersion"]
        for _ in range(3)
    }
    assert len(versions) == 1


def test_server_side_apply_shares_fields(cluster: httpx.Client, namespace: str) -> None:
    """Owners are told apart; a conflict names the other; what is left out goes, unless shared."""
    url = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"

    def apply(manager: str, body: dict[str, Any], **query: str) -> httpx.Response:
        params = {"fieldManager": manager, **query}
        headers = {"Content-Type": APPLY}
        return cluster.patch(url, content=yaml.safe_dump(body), params=params, headers=headers)

    whole = deployment()
    whole["metadata"]["labels"] = {"a": "1", "b": "2"}
    assert apply("one", whole).status_code == 201
    again = apply("one", whole)
    assert again.status_code == 200
    # Not its resourceVersion: controllers go on writing its status.
    assert again.json()["metadata"]["generation"] == 1
    assert again.json()["spec"] == apply("one", whole).json()["spec"]
    head = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    refused = apply("two", {**head, "spec": {"replicas": 7}})
    assert refused.status_code == 409
    cause = refused.json()["details"]["causes"][0]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".spec.replicas")
    assert '"one"' in cause["message"]
    taken = apply("two", {**head, "spec": {"replicas": 7}}, force="true").json()
    assert taken["spec"]["replicas"] == 7
    owners = {e["manager"]: e["fieldsV1"] for e in taken["metadata"]["managedFields"]}
    assert owners["two"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in owners["one"]["f:spec"]
    del whole["metadata"]["labels"]["b"]
    del whole["spec"]["replicas"]
    left = apply("one", whole).json()
    assert left["metadata"]["labels"] == {"a": "1"}
    assert left["spec"]["replicas"] == 7
    assert apply("", whole).status_code == 422
    assert apply("one", {**whole, "colour": "red"}).status_code == 400


DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.demo.example.com"},
    "spec": {
        "group": "demo.example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Colour", "type": "string", "jsonPath": ".spec.colour"}
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["colour"],
                                "properties": {
                                    "colour": {"type": "string", "enum": ["red", "green"]},
                                    "size": {"type": "integer", "default": 3, "minimum": 1},
                                },
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}


def test_custom_resources_follow_their_definition(cluster: httpx.Client, namespace: str) -> None:
    """Served, validated, defaulted, pruned and printed as the CRD says, and gone with it."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = cluster.post(definitions, json=DEFINITION).json()
    established = {c["type"]: c["status"] for c in made["status"]["conditions"]}
    assert established["Established"] == "True"
    path = f"/apis/demo.example.com/v1/namespaces/{namespace}/widgets"
    body = {"metadata": {"name": "w"}, "spec": {"colour": "red", "odd": 1}, "status": {"x": 1}}
    made = cluster.post(path, json=body).json()
    assert made["spec"] == {"colour": "red", "size": 3}
    assert "status" not in made
    for spec, words in (
        ({"colour": "blue"}, "Unsupported value"),
        ({"size": 1}, "spec.colour"),
        ({"colour": "red", "size": 0}, "greater than or equal to 1"),
        ({"colour": 1}, "must be of type string"),
    ):
        answer = cluster.post(path, json={"metadata": {"name": "bad"}, "spec": spec})
        assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid"), spec
        assert words in answer.json()["message"]
    merge = {"Content-Type": MERGE}
    told = cluster.patch(f"{path}/w/status", json={"status": {"y": 2}}, headers=merge).json()
    assert (told["status"], told["metadata"]["generation"]) == ({"y": 2}, 1)
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    shown = cluster.get(path, headers=table).json()
    assert [c["name"] for c in shown["columnDefinitions"]] == ["Name", "Colour"]
    assert shown["rows"][0]["cells"] == ["w", "red"]
    changed = cluster.get(f"{definitions}/widgets.demo.example.com").json()
    changed["spec"]["names"]["shortNames"] = ["wdg"]
    assert cluster.put(f"{definitions}/widgets.demo.example.com", json=changed).status_code == 200
    assert [i["metadata"]["name"] for i in cluster.get(path).json()["items"]] == ["w"]
    assert cluster.delete(f"{definitions}/widgets.demo.example.com").status_code == 200
    assert cluster.get(path).status_code == 404


@given(st.binary(max_size=60))
def test_no_protobuf_breaks_anything(raw: bytes) -> None:
    """Rubbish is refused with 400 or 415."""
    models = {("v1", "Namespace"): "V1Namespace"}
    for body in (raw, b"k8s\x00" + raw, b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12" + raw):
        assert code_of(lambda body=body: decode(body, models)) in (None, 400, 415)


def test_an_autoscaler_has_two_versions(cluster: httpx.Client, namespace: str) -> None:
    """autoscaling/v1 shows and changes the same object; what it has no field for is kept."""
    of = f"namespaces/{namespace}/horizontalpodautoscalers"
    new, old = f"/apis/autoscaling/v2/{of}", f"/apis/autoscaling/v1/{of}"
    cpu = {"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}  # fmt: skip
    queue = {"type": "Pods", "pods": {
        "metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}},
        "target": {"type": "AverageValue", "averageValue": "5"}}}  # fmt: skip
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 4, "metrics": [queue, cpu],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 9}}}  # fmt: skip
    made = cluster.post(new, json={"metadata": {"name": "a"}, "spec": spec}).json()
    shown = cluster.get(f"{old}/a").json()
    assert (shown["apiVersion"], shown["spec"]["targetCPUUtilizationPercentage"]) == (
        "autoscaling/v1", 60)  # fmt: skip
    notes = json.loads(shown["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"])
    assert notes[0]["pods"]["targetAverageValue"] == "5"
    assert [i["apiVersion"] for i in cluster.get(old).json()["items"]] == ["autoscaling/v1"]
    merge = {"content-type": "application/merge-patch+json"}
    more = {"spec": {"maxReplicas": 7, "targetCPUUtilizationPercentage": 50}}
    changed = cluster.patch(f"{old}/a", json=more, headers=merge).json()
    assert changed["spec"]["maxReplicas"] == 7
    after = cluster.get(f"{new}/a").json()
    assert after["spec"]["metrics"][0] == queue
    assert after["spec"]["metrics"][1]["resource"]["target"]["averageUtilization"] == 50
    assert after["spec"]["behavior"] == made["spec"]["behavior"]
    wrong = {"metadata": {"name": "b"}, "spec": {**spec, "metrics": 3}}
    assert cluster.post(old, json=wrong, params={"fieldValidation": "Strict"}).status_code == 400
    for text in ("{", "3", "[3]", '[{"type": "Pods", "pods": 3}]', '[{"type": "Pods"}]'):
        noted = {"autoscaling.alpha.kubernetes.io/metrics": text}
        wrong = {"metadata": {"name": "b", "annotations": noted}, "spec": {"maxReplicas": 1}}
        assert cluster.post(old, json=wrong).status_code == 400
