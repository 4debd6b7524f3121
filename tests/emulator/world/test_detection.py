"""What the console finds wrong by itself while each story runs, over the real wires."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import httpx
import pytest

from core.problems import Severity
from emulator.scenario import SCENARIOS
from tests.emulator.clients import PROJECT
from tests.emulator.world.detection import EXPECTED, Watcher, affected, named, serious
from tests.processes import start_emulator


@pytest.fixture(scope="module")
def watcher() -> Iterator[Watcher]:
    """Of an emulator whose fleet every story fits; it has a story of its own, which comes later."""
    running = start_emulator("preemption-storm", speed=1200)
    built = Watcher(running)
    yield built
    built.close()
    running.stop()


def test_every_story_is_expected_to_be_found() -> None:
    """None is left out of the table above."""
    assert set(EXPECTED) == {name for name, one in SCENARIOS.items() if one.story}


# The last one leaves node pools behind, which others would be blamed for.
@pytest.mark.parametrize(
    "name", ["", *(n for n in EXPECTED if n != "runaway-cost"), "runaway-cost"]
)
def test_the_affected_tier_is_found_with_the_cause_and_no_other(
    watcher: Watcher, name: str
) -> None:
    """Each tier of the truth is blamed and its cause named in time; no tier else is blamed."""
    watcher.calm()
    if not name:
        found = watcher.findings()
        # Notes there may be: of an incident some hours ago, which every fleet has now and then.
        assert serious(found) == set(), found
        return
    truth = watcher.begin(name, EXPECTED[name].minutes)
    assert truth["running"]["state"] == "running"
    findings = watcher.findings()
    assert serious(findings) == affected(truth), findings
    assert named(findings, EXPECTED[name].cause) == affected(truth), findings
    assert all(f.next_step for f in findings)


def test_worse_answers_are_found_out(watcher: Watcher) -> None:
    """Of bad-rollout within forty minutes, of its tier alone."""
    watcher.tell("bad-rollout", -2400)
    found = [f for f in watcher.findings() if "answers solve" in f.sentence]
    assert [(f.tier, f.severity) for f in found] == [("small", Severity.WARNING)], found


def test_a_switch_is_told_and_refused_clearly(watcher: Watcher) -> None:
    """The list and one scenario with its truth; what another fleet needs is said."""
    scenarios = f"{watcher.url}/_heartwood/scenarios"
    listed = httpx.get(scenarios, trust_env=False).json()
    assert {s["name"] for s in listed["scenarios"]} == set(SCENARIOS)
    watcher.tell("chip-fault", 3600)
    truth = httpx.get(f"{scenarios}/chip-fault", trust_env=False).json()
    assert truth["story"]["tiers"] == ["medium"]
    assert {sign["page"] for sign in truth["story"]["signs"]} == {"fleet", "overview"}
    assert truth["running"]["state"] == "coming"
    refused = httpx.post(f"{scenarios}/full-fleet", trust_env=False)
    assert (refused.status_code, "--scenario full-fleet" in refused.text) == (400, True)
    for body in ('{"starts_in_s": "x"}', '{"start": 1}', "[]", "{"):
        wrong = httpx.post(f"{scenarios}/chip-fault", content=body, trust_env=False)
        assert wrong.status_code == 400, body
    assert httpx.post(f"{scenarios}/nope", trust_env=False).status_code == 404


def _get(watcher: Watcher, path: str) -> httpx.Response:
    base = f"{watcher.url}/k8s/{PROJECT}/us-central1/hw-serving/api/v1"
    return httpx.get(f"{base}/{path}", timeout=60, trust_env=False)


def test_a_crashing_server_tells_why(watcher: Watcher) -> None:
    """Its pod is of the new revision and restarts on a node that is well; its log says the end."""
    watcher.tell("bad-rollout", -600)
    pods = _get(watcher, "namespaces/small/pods").json()["items"]
    crashed = [p for p in pods if p["status"]["containerStatuses"][0]["restartCount"]]
    assert len(crashed) == 12
    pod = crashed[0]
    status = pod["status"]["containerStatuses"][0]
    assert pod["spec"]["containers"][0]["image"].endswith(":0.33.0")
    assert (status["ready"], status["lastState"]["terminated"]["exitCode"]) == (False, 1)
    name = pod["metadata"]["name"]
    last = _get(watcher, f"namespaces/small/pods/{name}/log?previous=true").text.splitlines()[-1]
    assert "RESOURCE_EXHAUSTED" in last
    events = _get(watcher, "namespaces/small/events").json()["items"]
    assert {e["reason"] for e in events if e["involvedObject"]["name"] == name} == {"BackOff"}


def test_a_preempted_slice_leaves_pods_that_pend(watcher: Watcher) -> None:
    """Its nodes are no more, its pods have none; what is left of the pool stays."""
    watcher.tell("preemption-storm", -600)
    nodes = {n["metadata"]["name"] for n in _get(watcher, "nodes").json()["items"]}
    pods = _get(watcher, "namespaces/medium/pods").json()["items"]
    pending = [p for p in pods if p["status"]["phase"] == "Pending"]
    assert 20 <= len(pending) < 88
    assert not any("nodeName" in p["spec"] for p in pending)
    placed = {p["spec"]["nodeName"] for p in pods if p not in pending}
    assert placed <= nodes
    assert len(placed) + len(pending) == 256


def test_alerts_follow_a_past_that_is_written_anew(watcher: Watcher) -> None:
    """An outage opens alerts of its tiers; once it never was, so were they not."""
    watcher.tell("regional-outage", -1500)
    assert {"small", "medium"} & {a.tier for a in watcher.alerts()}
    watcher.tell("normal", -6 * 3600.0)
    assert not [a for a in watcher.alerts() if a.tier in ("small", "medium")]


def test_a_restarted_server_keeps_how_long_it_loaded(watcher: Watcher) -> None:
    """It is another pod on its host, began when it was restarted, and its log says what it does."""
    usual = {
        p["metadata"]["name"]: p["metadata"]["uid"]
        for p in _get(watcher, "namespaces/small/pods").json()["items"]
    }
    watcher.calm()
    watcher.begin("slow-weights", 30)
    took: list[float] = []
    loading = ""
    for pod in _get(watcher, "namespaces/small/pods").json()["items"]:
        name, status = pod["metadata"]["name"], pod["status"]
        if pod["metadata"]["uid"] == usual[name]:
            continue
        (ready,) = (c for c in status["conditions"] if c["type"] == "Ready")
        began = status["containerStatuses"][0]["state"]["running"]["startedAt"]
        since = datetime.fromisoformat(ready["lastTransitionTime"])
        if ready["status"] == "True":
            took.append((since - datetime.fromisoformat(began)).total_seconds())
        else:
            loading = name
    assert took
    assert all(17 * 60 < s <= 18 * 60 for s in took), took
    log = _get(watcher, f"namespaces/small/pods/{loading}/log").text
    assert "Loading weights of" in log
    assert "took" not in log
