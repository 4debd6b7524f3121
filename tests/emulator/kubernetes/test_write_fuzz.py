"""Writes of anything: whatever a body holds, the answer is no 5xx and the cluster goes on."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.emulator.kubernetes.test_writes import deployment

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
PATHS = (
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/services",
    "/api/v1/namespaces/default/events",
    "/api/v1/namespaces/default/persistentvolumeclaims",
    "/apis/apps/v1/namespaces/default/deployments",
    "/apis/apps/v1/namespaces/default/statefulsets",
    "/apis/batch/v1/namespaces/default/jobs",
    "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
    "/apis/leaderworkerset.x-k8s.io/v1/namespaces/default/leaderworkersets",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
)
SPECS: dict[str, dict[str, Any]] = {
    "pods": deployment()["spec"]["template"]["spec"],
    "services": {"ports": [{"port": 80}], "selector": {"a": "b"}},
    "persistentvolumeclaims": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    },
    "statefulsets": deployment()["spec"],
    "deployments": deployment()["spec"],
    "jobs": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}],
                                   "restartPolicy": "Never"}}},
    "leaderworkersets": {
        "leaderWorkerTemplate": {"size": 2, "workerTemplate": deployment()["spec"]["template"]},
    },
    "horizontalpodautoscalers": {
        "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"},
    },
}  # fmt: skip
few = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a JSON value."""
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        found += places(inner, (*path, key))
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    """Set what is at a path."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


@few
@given(st.data())
def test_a_wrong_value_anywhere_is_no_fault_of_the_server(
    cluster: httpx.Client, data: st.DataObject
) -> None:
    """One value of a good object is replaced by any other; it is taken or refused, and shown."""
    path = data.draw(st.sampled_from(PATHS))
    kind = path.rsplit("/", 1)[1]
    spec = copy.deepcopy(SPECS.get(kind, {}))
    body = {"metadata": {"name": "fuzzed", "labels": {"a": "b"}}, "spec": spec}
    where = data.draw(st.sampled_from(places(body)))
    put(body, where, data.draw(anything))
    try:
        raw = json.dumps(body, allow_nan=True)
    except ValueError:
        return
    headers = {"Content-Type": "application/json"}
    answer = cluster.post(path, content=raw.encode(errors="surrogatepass"), headers=headers)
    assert answer.status_code < 500, (body, answer.text)
    if answer.status_code == 201 and "selfsubject" not in kind:
        name = answer.json()["metadata"]["name"]
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        assert cluster.get(path, headers=table).status_code == 200
        assert cluster.delete(f"{path}/{name}").status_code == 200


@few
@given(
    form=st.sampled_from(["json-patch+json", "merge-patch+json", "strategic-merge-patch+json",
                          "apply-patch+yaml"]),
    patch=anything,
    query=st.sampled_from(["", "?dryRun=All", "?fieldManager=x&force=true", "?dryRun=x"]),
    sub=st.sampled_from(["", "/status", "/scale"]),
)  # fmt: skip
def test_no_patch_is(cluster: httpx.Client, form: str, patch: Any, query: str, sub: str) -> None:
    """The same for patches of every kind, of a derived object too."""
    try:
        raw = json.dumps({"spec": patch} if isinstance(patch, dict) else patch)
    except ValueError:
        return
    path = f"/apis/apps/v1/namespaces/kube-system/deployments/kube-dns{sub}{query}"
    headers = {"Content-Type": f"application/{form}"}
    answer = cluster.patch(path, content=raw.encode(errors="surrogatepass"), headers=headers)
    assert answer.status_code < 500, (raw, answer.text)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"nul", b"\xff\xfe", b'{"metadata":[]}', b"1"])
def test_no_body_is(cluster: httpx.Client, raw: bytes) -> None:
    """What is no object is refused with 400."""
    answer = cluster.post("/api/v1/namespaces/default/configmaps", content=raw)
    assert (answer.status_code, answer.json()["kind"]) in ((400, "Status"), (422, "Status"))
