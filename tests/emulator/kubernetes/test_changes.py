"""A resize as Kubernetes shows it: nodes, pods and events that come and go, told to watches."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from kubernetes import client, watch

from tests.emulator.clients import HTTP
from tests.emulator.kubernetes.conftest import make_api, make_http
from tests.processes import EmulatorProcess, held_resizes, start_emulator

POOL = "hw-small-00"
SIZE_PATH = (
    "/container/v1/projects/heartwood-demo/locations/us-central1/clusters/hw-serving"
    f"/nodePools/{POOL}:setSize"
)
ON_POOL = f"cloud.google.com/gke-nodepool={POOL}"


@pytest.fixture(scope="module")
def running() -> Iterator[EmulatorProcess]:
    """An emulator of this file's own."""
    started = start_emulator("normal", speed=600)
    yield started
    started.stop()


def is_calm(running: EmulatorProcess) -> bool:
    """Whether no resize runs."""
    path = "/container/v1/projects/heartwood-demo/locations/us-central1/operations"
    answer = HTTP.get(running.rest_url + path).json()
    return all(job["status"] == "DONE" for job in answer.get("operations", []))


def resize(running: EmulatorProcess, size: int) -> None:
    """Ask GKE for another size of the pool."""
    body = {"nodeCount": size}
    HTTP.post(running.rest_url + SIZE_PATH, json=body).raise_for_status()


def nodes_of(http: httpx.Client) -> list[dict[str, Any]]:
    """The pool's nodes."""
    return http.get("/api/v1/nodes", params={"labelSelector": ON_POOL}).json()["items"]


@pytest.fixture
def http(running: EmulatorProcess) -> Iterator[httpx.Client]:
    """Plain HTTP to its cluster; each test leaves the pool at its own size."""
    with make_http(running) as opened:
        yield opened
        wait(lambda: is_calm(running))
        if len(nodes_of(opened)) != 16:
            resize(running, 16)
        wait(lambda: is_calm(running) and settled(opened, 16))


def is_ready(node: dict[str, Any]) -> bool:
    """Its Ready condition."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])


def deployment(http: httpx.Client) -> dict[str, Any]:
    """The tier's."""
    return http.get("/apis/apps/v1/namespaces/small/deployments/hw-small-server").json()


def settled(http: httpx.Client, size: int) -> bool:
    """Whether the pool has that size, with a server on every node."""
    nodes, found = nodes_of(http), deployment(http)
    return (
        len(nodes) == size
        and all(is_ready(n) for n in nodes)
        and not any(n["spec"].get("unschedulable") for n in nodes)
        and found["status"]["readyReplicas"] == found["spec"]["replicas"] == 32 + size
    )


def wait(until: Callable[[], bool], limit_s: float = 60) -> None:
    """Until it holds, or fail."""
    end = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def reasons(http: httpx.Client, field: str) -> list[str]:
    """Reasons of events about what the field selector names."""
    items = http.get("/api/v1/events", params={"fieldSelector": field}).json()["items"]
    return [event["reason"] for event in items]


def test_a_pool_grows(running: EmulatorProcess, http: httpx.Client) -> None:
    """Replicas are wanted at once, a pod waits until its node is ready, pulls and serves."""
    before = {n["metadata"]["name"] for n in nodes_of(http)}
    pods = "/api/v1/namespaces/small/pods"
    known = {p["metadata"]["name"] for p in http.get(pods).json()["items"]}
    with held_resizes(running):
        resize(running, 17)
        found = deployment(http)
        assert (found["spec"]["replicas"], found["status"]["unavailableReplicas"]) == (49, 1)
        wait(lambda: len(nodes_of(http)) == 17)
        (joined,) = [n for n in nodes_of(http) if n["metadata"]["name"] not in before]
        assert not is_ready(joined)
        assert joined["status"]["allocatable"]["google.com/tpu"] == "0"
        items = http.get(pods).json()["items"]
        (pod,) = [p for p in items if p["metadata"]["name"] not in known]
        assert pod["status"]["phase"] == "Pending"
    wait(lambda: settled(http, 17))
    name, server = joined["metadata"]["name"], pod["metadata"]["name"]
    assert http.get(f"{pods}/{server}").json()["status"]["phase"] == "Running"
    assert {"Scheduled", "Pulled", "Started"} <= set(reasons(http, f"involvedObject.name={server}"))
    assert {"RegisteredNode", "NodeReady"} <= set(reasons(http, f"involvedObject.name={name}"))
    assert "ScalingReplicaSet" in reasons(http, "involvedObject.kind=Deployment")


def test_a_pool_shrinks(running: EmulatorProcess, http: httpx.Client) -> None:
    """A node is cordoned, its pod ends, both go; the others stay as they were."""
    before = {n["metadata"]["name"]: n["metadata"]["resourceVersion"] for n in nodes_of(http)}
    with held_resizes(running):
        resize(running, 15)
        wait(lambda: any(n["spec"].get("unschedulable") for n in nodes_of(http)))
        (leaving,) = [n for n in nodes_of(http) if n["spec"].get("unschedulable")]
        name = leaving["metadata"]["name"]
        pods = http.get("/api/v1/pods", params={"fieldSelector": f"spec.nodeName={name}"}).json()
        assert pods["items"][0]["metadata"]["deletionTimestamp"]
    wait(lambda: settled(http, 15))
    after = {n["metadata"]["name"]: n["metadata"]["resourceVersion"] for n in nodes_of(http)}
    assert before.items() >= after.items()
    assert before.keys() - after.keys() == {name}
    assert {"NodeNotSchedulable", "RemovingNode"} <= set(
        reasons(http, f"involvedObject.name={name}")
    )


def test_a_watch_is_told_of_every_change(running: EmulatorProcess, http: httpx.Client) -> None:
    """From a list's version on, ADDED and MODIFIED come as they happen, in order of version."""
    core = client.CoreV1Api(make_api(running))
    version = core.list_node(label_selector=ON_POOL).metadata.resource_version
    told: list[tuple[str, str, int]] = []
    watching = watch.Watch()

    def listen() -> None:
        stream = watching.stream(
            core.list_node,
            resource_version=version,
            label_selector=ON_POOL,
            timeout_seconds=60,
        )
        for event in stream:
            meta = event["object"].metadata
            told.append((event["type"], meta.name, int(meta.resource_version)))
            if len(told) == 2:
                watching.stop()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    with held_resizes(running):
        resize(running, 17)
        wait(lambda: len(told) == 1)
    thread.join(60)
    assert [kind for kind, _, _ in told] == ["ADDED", "MODIFIED"]
    assert len({name for _, name, _ in told}) == 1
    assert [v for _, _, v in told] == sorted(v for _, _, v in told)
    assert int(version) < told[0][2]


def lines_of(http: httpx.Client, path: str, **params: str) -> list[dict[str, Any]]:
    """All that a watch of one second says."""
    query = {"watch": "true", "timeoutSeconds": "1", **params}
    with http.stream("GET", path, params=query) as response:
        return [json.loads(line) for line in response.iter_lines() if line]


def test_a_watch_without_a_version_begins_with_all(http: httpx.Client) -> None:
    """Every object is ADDED first; a streaming list ends with a bookmark that says so."""
    told = lines_of(http, "/api/v1/nodes", labelSelector=ON_POOL)
    assert [line["type"] for line in told] == ["ADDED"] * 16
    told = lines_of(
        http, "/api/v1/namespaces", sendInitialEvents="true", allowWatchBookmarks="true"
    )
    assert {line["type"] for line in told[:-1]} == {"ADDED"}
    last = told[-1]["object"]["metadata"]
    assert told[-1]["type"] == "BOOKMARK"
    assert last["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_from_a_forgotten_version_is_told_to_list_anew(http: httpx.Client) -> None:
    """An ERROR with code 410, as clients expect."""
    told = lines_of(http, "/api/v1/nodes", resourceVersion="1")
    assert [line["type"] for line in told] == ["ERROR"]
    assert told[0]["object"]["code"] == 410


def test_a_watch_can_be_of_tables(http: httpx.Client) -> None:
    """`kubectl get -w` asks for that: columns in the first line alone."""
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    query = {"watch": "true", "timeoutSeconds": "1", "labelSelector": ON_POOL}
    with http.stream("GET", "/api/v1/nodes", params=query, headers=accept) as response:
        told = [json.loads(line)["object"] for line in response.iter_lines() if line]
    assert {table["kind"] for table in told} == {"Table"}
    assert told[0]["columnDefinitions"]
    assert told[1]["columnDefinitions"] is None
    assert all(len(table["rows"]) == 1 for table in told)


def test_a_page_is_of_the_version_it_began_with(
    running: EmulatorProcess, http: httpx.Client
) -> None:
    """A list read in pages while nodes come shows none of them twice and none of the new ones."""
    first = http.get("/api/v1/nodes", params={"limit": 100}).json()
    resize(running, 17)
    wait(lambda: len(nodes_of(http)) == 17)
    names = [n["metadata"]["name"] for n in first["items"]]
    token = first["metadata"]["continue"]
    while token:
        page = http.get("/api/v1/nodes", params={"limit": 100, "continue": token}).json()
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [n["metadata"]["name"] for n in page["items"]]
        token = page["metadata"].get("continue")
    assert len(names) == len(set(names)) == 307
