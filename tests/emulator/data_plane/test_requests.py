"""Requests through the data plane: where they go, what comes back, and how they end."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.emulator.clients import PROJECT
from tests.emulator.data_plane.conftest import Balanced
from tests.processes import EmulatorProcess

Wait = Callable[[Callable[[], bool]], None]


def ask(balanced: Balanced, path: str, **body: object) -> httpx.Response:
    """POST through the load balancer."""
    return balanced.client.post(f"{balanced.url}{path}", json=body)


def tier(response: httpx.Response) -> str:
    """Whose endpoint answered."""
    return response.headers.get("x-heartwood-tier", "")


def test_requests_follow_the_url_map(balanced: Balanced) -> None:
    """A path rule leads to its tier, all else to the default; the prefix is not the server's."""
    answer = ask(balanced, "/simple/v1/echo?a=b", text="é")
    assert (answer.status_code, tier(answer)) == (200, "small")
    assert answer.json() == {"text": "é"}
    path, headers = balanced.backend.seen[-1]
    assert path == "/v1/echo"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert tier(ask(balanced, "/v1/echo")) == "medium"
    assert "words by this machine's server" in answer.headers["x-heartwood-simulated"]


def test_weights_share_requests(balanced: Balanced) -> None:
    """Weighted services get their shares, from the moment that the map holds them."""
    where = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/global/backendServices"
    before = balanced.client.get(f"{balanced.compute}/urlMaps/hw-serving").json()
    weights = [{"backendService": f"{where}/hw-{t}", "weight": w}
               for t, w in (("small", 75), ("medium", 25))]  # fmt: skip
    rule = {"paths": ["/simple/*"], "routeAction": {
        "weightedBackendServices": weights, "urlRewrite": {"pathPrefixRewrite": "/"},
    }}  # fmt: skip
    matchers = [{**before["pathMatchers"][0], "pathRules": [rule]}]
    balanced.patch("urlMaps/hw-serving", {"pathMatchers": matchers})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(balanced, "/simple/v1/echo"), range(200)))
    balanced.patch("urlMaps/hw-serving", {"pathMatchers": before["pathMatchers"]})
    found = Counter(map(tier, answers))
    assert set(found) == {"small", "medium"}
    assert 120 <= found["small"] <= 180  # 150 expected; four standard deviations are 25


def test_a_drained_backend_gets_nothing(balanced: Balanced) -> None:
    """Without capacity no endpoint is picked, and callers are told so; with it they are served."""
    service = "backendServices/hw-small"
    backend = balanced.client.get(f"{balanced.compute}/{service}").json()["backends"][0]
    balanced.patch(service, {"backends": [{**backend, "capacityScaler": 0}]})
    answer = ask(balanced, "/simple/v1/echo")
    balanced.patch(service, {"backends": [backend]})
    assert (answer.status_code, answer.text) == (503, "no healthy upstream")
    assert ask(balanced, "/simple/v1/echo").status_code == 200


def test_unhealthy_backends_get_nothing_once_probes_have_seen_it(
    balanced: Balanced, wait_for: Wait
) -> None:
    """A slice that fails its probes is left out after the threshold, and comes back after it."""
    rule = {"preset": "unhealthy-backend", "tier": "small", "count": 48}
    assert balanced.client.post(balanced.faults, json=rule).status_code == 200
    try:
        wait_for(lambda: ask(balanced, "/simple/v1/echo").status_code == 503)
        assert ask(balanced, "/v1/echo").status_code == 200  # the other tier is as it was
    finally:
        balanced.client.delete(balanced.faults)
    wait_for(lambda: ask(balanced, "/simple/v1/echo").status_code == 200)


def test_streams_pass_as_they_come(balanced: Balanced) -> None:
    """An event reaches the client before the server has sent the next one."""
    url = f"{balanced.url}/v1/held"
    with balanced.client.stream("POST", url, json={}) as answer:
        parts = answer.iter_raw()
        assert next(parts) == b"data: 1\n\n"
        balanced.backend.go.set()
        assert next(parts) == b"data: 2\n\n"


def test_many_streams_are_neither_cut_nor_mixed(balanced: Balanced) -> None:
    """Of 200 streams at once each has all of its own events, in order, and none of others."""
    count, names = 20, range(200)
    ready = threading.Barrier(50)

    def stream(name: int) -> str:
        if name < ready.parties:
            ready.wait(60)
        return ask(balanced, "/v1/stream", name=f"s{name}", count=count).text

    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(stream, names))
    assert found == [
        "".join(f"data: s{name} {number}\n\n" for number in range(count)) for name in names
    ]


def test_a_client_that_leaves_takes_its_request_along(balanced: Balanced, wait_for: Wait) -> None:
    """The server is told that nobody waits any more."""
    balanced.backend.left.clear()
    url = f"{balanced.url}/v1/slow"
    with balanced.client.stream("POST", url, json={"begin": True}) as answer:
        assert next(answer.iter_raw()) == b"data: 1\n\n"
    wait_for(balanced.backend.left.is_set)


@pytest.mark.parametrize("begin", [False, True])
def test_the_time_out_of_the_backend_service_holds(balanced: Balanced, begin: bool) -> None:
    """An answer that comes too late is a 504; one that had begun is broken off, not ended."""
    before = balanced.patch("backendServices/hw-small", {"timeoutSec": 1})
    try:
        if not begin:
            answer = ask(balanced, "/simple/v1/slow")
            assert (answer.status_code, answer.text) == (504, "upstream request timeout")
            return
        with pytest.raises(httpx.TransportError):
            ask(balanced, "/simple/v1/slow", begin=True)
    finally:
        balanced.patch("backendServices/hw-small", {"timeoutSec": before["timeoutSec"]})


def entries(balanced: Balanced, mark: str) -> list[dict[str, Any]]:
    """What the load balancer's log has of a URL."""
    query = f'resource.type="http_load_balancer" AND httpRequest.requestUrl:"{mark}"'
    body = {"resourceNames": [f"projects/{PROJECT}"], "filter": query, "pageSize": 1000}
    url = f"{balanced.emulator.rest_url}/logging/v2/entries:list"
    found: list[dict[str, Any]] = []
    while True:
        page = balanced.client.post(url, json=body).json()
        found += page.get("entries", [])
        body["pageToken"] = page.get("nextPageToken", "")
        if not body["pageToken"]:
            return found


def test_requests_are_in_the_load_balancers_log(balanced: Balanced, wait_for: Wait) -> None:
    """An entry per request, with what became of it, where the backend service has logs on."""
    ask(balanced, "/simple/v1/echo?once=only")
    wait_for(lambda: bool(entries(balanced, "once=only")))
    (entry,) = entries(balanced, "once=only")
    assert entry["httpRequest"]["status"] == 200
    assert entry["resource"]["labels"]["backend_service_name"] == "hw-small"
    assert entry["jsonPayload"]["statusDetails"] == "response_sent_by_backend"


def test_the_log_follows_a_sink_to_its_topic(balanced: Balanced, wait_for: Wait) -> None:
    """What Logging is told of a request is published where a sink wants it."""
    project, http = f"projects/{PROJECT}", balanced.client
    topic, subscription = f"{project}/topics/requests", f"{project}/subscriptions/requests"
    base = f"{balanced.emulator.rest_url}/pubsub/v1"
    http.put(f"{base}/{topic}", json={}).raise_for_status()
    http.put(f"{base}/{subscription}", json={"topic": topic}).raise_for_status()
    sink = {
        "name": "requests",
        "destination": f"pubsub.googleapis.com/{topic}",
        "filter": 'httpRequest.requestUrl:"sunk=yes"',
    }
    sinks = f"{balanced.emulator.rest_url}/logging/v2/{project}/sinks"
    writer = http.post(sinks, json=sink).raise_for_status().json()["writerIdentity"]
    policy = {"bindings": [{"role": "roles/pubsub.publisher", "members": [writer]}]}
    http.post(f"{base}/{topic}:setIamPolicy", json={"policy": policy}).raise_for_status()
    for asked in ("no", "yes"):
        ask(balanced, f"/simple/v1/echo?sunk={asked}")
    found: list[str] = []

    def came() -> bool:
        pulled = http.post(
            f"{base}/{subscription}:pull", json={"maxMessages": 9, "returnImmediately": True}
        )
        for message in pulled.raise_for_status().json().get("receivedMessages", []):
            entry = json.loads(base64.b64decode(message["message"]["data"]))
            found.append(entry["httpRequest"]["requestUrl"])
        return bool(found)

    wait_for(came)
    assert [url.rpartition("?")[2] for url in found] == ["sunk=yes"]
    http.delete(f"{sinks}/requests").raise_for_status()


def half_fails(balanced: Balanced) -> None:
    """Half of small's slices fail their probes from now on; its faults are to be deleted."""
    rule = {"preset": "unhealthy-backend", "tier": "small", "count": 24}
    assert balanced.client.post(balanced.faults, json=rule).status_code == 200


def test_what_fails_under_load_goes_elsewhere_and_is_counted(
    balanced: Balanced, wait_for: Wait
) -> None:
    """Half of a tier's slices fail under load: once the probes have seen it nothing reaches them,
    and the log has what the clients have counted, status by status."""
    told: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            told.append(ask(balanced, "/simple/v1/echo?half").status_code)

    def counted() -> Counter[int]:
        return Counter(e["httpRequest"]["status"] for e in entries(balanced, "echo?half"))

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(load) for _ in range(8)]
        wait_for(lambda: len(told) > 50)
        half_fails(balanced)
        try:
            wait_for(lambda: 502 in told)
            # Thresholds of two at a probe a second: after them nothing is sent to those slices.
            wait_for(lambda: 502 not in told[-200:])
        finally:
            stop.set()
            balanced.client.delete(balanced.faults)
    for client in clients:
        client.result()
    wait_for(lambda: counted().total() >= len(told))
    assert counted() == Counter(told)


def test_outliers_are_left_out_before_the_probes_have_seen_them(
    balanced: Balanced, wait_for: Wait
) -> None:
    """Each of the failing slices fails one request, where the backend service ejects outliers."""
    said = {"outlierDetection": {"consecutiveGatewayFailure": 1}}
    balanced.patch("backendServices/hw-small", said)
    before = balanced.patch("healthChecks/hw-ready", {"unhealthyThreshold": 10})
    told: list[int] = []

    def has_failed() -> bool:
        told.append(ask(balanced, "/simple/v1/echo").status_code)
        return 502 in told

    half_fails(balanced)
    try:
        wait_for(has_failed)
        told += [ask(balanced, "/simple/v1/echo").status_code for _ in range(150)]
    finally:
        balanced.client.delete(balanced.faults)
        balanced.patch(
            "healthChecks/hw-ready", {"unhealthyThreshold": before["unhealthyThreshold"]}
        )
        off = {"outlierDetection": {"enforcingConsecutiveGatewayFailure": 0}}
        balanced.patch("backendServices/hw-small", off)
    assert 1 <= told.count(502) <= 24
    wait_for(lambda: ask(balanced, "/simple/v1/echo").status_code == 200)


def test_without_a_server_the_load_balancer_says_so(emulator: EmulatorProcess) -> None:
    """A server that is down is a 503 with the reason."""
    answer = httpx.post(f"{emulator.lb_url}/v1/completions", json={}, trust_env=False)
    assert answer.status_code == 503
    assert answer.text.startswith("upstream connect error")


def test_a_request_of_any_size_that_can_be_held_passes(balanced: Balanced) -> None:
    """Ten MB there and back; more than can be held is told so."""
    content = b"x" * 10_000_000
    url = f"{balanced.url}/v1/echo"
    assert balanced.client.post(url, content=content).content == content
    most = balanced.client.post(url, content=b"x" * (33 * 2**20))
    assert most.status_code == 413
