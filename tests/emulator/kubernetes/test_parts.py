"""The parts by themselves: selectors, ages, names, versions, and what incidents do to nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.compute.catalogue import resources
from emulator.apis.gke.nodes import make_nodes
from emulator.apis.kubernetes.drafts import Draft
from emulator.apis.kubernetes.model import ClusterObjects
from emulator.apis.kubernetes.naming import pod_name
from emulator.apis.kubernetes.nodes import NORMAL, node_draft
from emulator.apis.kubernetes.printing import age
from emulator.apis.kubernetes.requests import make_token, read_token
from emulator.apis.kubernetes.resources import EVENTS, NEW_EVENTS, NODES, PODS
from emulator.apis.kubernetes.selectors import label_selector
from emulator.apis.kubernetes.status import StatusError
from emulator.apis.kubernetes.store import Derived, ObjectStore
from emulator.clock import Clock, rfc3339
from emulator.context import Cloud, make_cloud
from emulator.machines import SIZES
from emulator.settings import Settings


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("", {}, True),
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a!=1", {}, True),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a notin (1,2)", {"a": "2"}, False),
        ("a notin (1,2)", {}, True),
        ("a in (1,2),b!=3", {"a": "1", "b": "3"}, False),
        ("x.io/y-z=1.2", {"x.io/y-z": "1.2"}, True),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], matches: bool) -> None:
    """As Kubernetes documents them: a missing label differs from every value."""
    assert label_selector(selector)(labels) is matches


def code_of(call: Callable[[], object]) -> int | None:
    """The code that a call is refused with; None when it is not."""
    try:
        call()
    except StatusError as error:
        return error.code
    return None


@given(st.text(max_size=30))
def test_no_selector_text_breaks_anything(text: str) -> None:
    """Any text is a selector, or is refused with 400."""
    assert code_of(lambda: label_selector(text)({"a": "1"})) in (None, 400)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (185, "3m5s"), (600, "10m"), (10_800, "3h"),
        (11_100, "3h5m"), (86_400, "24h"), (172_800, "2d"), (180_000, "2d2h"),
        (86_400 * 81, "81d"), (86_400 * 800, "2y70d"),
    ],
)  # fmt: skip
def test_ages_read_as_kubectl_writes_them(seconds: int, text: str) -> None:
    """Fewer digits the longer ago."""
    now = 1_800_000_000.0
    assert age(rfc3339(now - seconds), now) == text


@given(st.integers(min_value=0, max_value=2**63), st.text(alphabet="abc-.", max_size=20))
def test_continue_tokens_are_read_back(version: int, name: str) -> None:
    """Whatever was put in comes out."""
    assert read_token(make_token(version, "small", name)) == (version, ("small", name))


@given(st.text(max_size=60))
def test_no_token_breaks_anything(token: str) -> None:
    """Rubbish is refused with 400 or 410."""
    assert code_of(lambda: read_token(token)) in (None, 400, 410)


def test_pod_names_differ() -> None:
    """Every TPU node of the largest scenario has a pod of its own name."""
    cloud = make_cloud(Settings(scenario="full-fleet"))
    nodes = [n for n in cloud.fleet.nodes() if n.tier]
    assert len({pod_name(n) for n in nodes}) == len(nodes) == 2608


@dataclass
class Shelf:
    """What a store under test should hold: node name → value."""

    things: dict[str, int]

    def derive(self) -> Derived:
        def draft(name: str, value: int) -> Draft:
            body: dict[str, Any] = {"metadata": {"name": name}, "value": value}
            return Draft(NODES, "", name, value, lambda: body)

        return Derived([draft(n, v) for n, v in self.things.items()], float("inf"), float("inf"))


states = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3))


@given(st.lists(states, min_size=1, max_size=8))
def test_changes_since_a_version_lead_to_the_present(history: list[dict[str, int]]) -> None:
    """Whoever listed once and applies all changes since knows what a list would say now."""
    shelf = Shelf({"a": 0})
    store = ObjectStore(shelf.derive, lambda: repr(shelf.things), time.time, 100)
    seen: list[tuple[int, dict[str, int]]] = []
    for state in history:
        shelf.things = state
        found = store.list(NODES)
        assert found is not None
        seen.append((found[0], {i.name: i.body["value"] for i in found[1].values()}))
        assert seen[-1][1] == state
    for version, known in seen:
        known = dict(known)
        changes = store.changes_since(version, NODES)
        assert changes is not None
        last = version
        for change in changes:
            assert change.version > last
            last = change.version
            assert (change.type == "ADDED") is (change.item.name not in known)
            if change.type == "DELETED":
                del known[change.item.name]
            else:
                known[change.item.name] = change.item.body["value"]
        assert known == history[-1]


@dataclass
class SetClock(Clock):
    """A clock that stands at a time of its own."""

    stands_at: float = 0.0

    def now(self) -> float:
        return self.stands_at


def cloud_at(cloud: Cloud, at: float) -> Cloud:
    """The same project, looked at at another time."""
    clock = SetClock(cloud.clock.speed, cloud.clock.started_at, at)
    return Cloud(cloud.settings, cloud.scenario, clock)


@pytest.mark.parametrize(
    ("kind", "ready", "cordoned", "reason"),
    [
        ("chip_fault", "False", False, "TPUDeviceUnhealthy"),
        ("host_drained", "True", True, "NodeNotSchedulable"),
        ("slice_preempted", "Unknown", False, "NodeNotReady"),
    ],
)
def test_an_incident_shows_on_its_hosts(kind: str, ready: str, cordoned: bool, reason: str) -> None:
    """What the world says went wrong is what Kubernetes shows, on those hosts and only then."""
    from emulator.world.world import World

    cloud = make_cloud(Settings())
    start = cloud.clock.started_at
    world = World(cloud.scenario, cloud.log, cloud.seed, start)
    found = next(e for e in world.incidents(start, start + 60 * 86_400) if e.kind == kind)
    amid = cloud_at(cloud, found.start + 60)
    objects = ClusterObjects(amid, next(iter(amid.fleet.clusters.values())))
    listed = objects.store.list(NODES)
    assert listed is not None
    hit = [i.body for i in listed[1].values() if _ready(i.body) != "True" or _cordoned(i.body)]
    assert len(hit) == (4 if kind == "slice_preempted" else 1)
    assert {b["metadata"]["labels"]["heartwood-tier"] for b in hit} == {found.tier}
    assert {(_ready(b), _cordoned(b)) for b in hit} == {(ready, cordoned)}
    events = objects.store.list(EVENTS)
    assert events is not None
    about = {(i.body["involvedObject"]["name"], i.body["reason"]) for i in events[1].values()}
    assert all((b["metadata"]["name"], reason) in about for b in hit)
    pods = objects.store.list(PODS)
    assert pods is not None
    unready = [p for p in pods[1].values() if not _serves(p.body)]
    assert len(unready) == len(hit)
    later = cloud_at(cloud, found.end + 1)
    calm = ClusterObjects(later, next(iter(later.fleet.clusters.values())))
    listed = calm.store.list(NODES)
    assert listed is not None
    assert all(_ready(i.body) == "True" for i in listed[1].values())


def _ready(body: Any) -> str:
    return next(c["status"] for c in body["status"]["conditions"] if c["type"] == "Ready")


def _cordoned(body: Any) -> bool:
    return bool(body["spec"].get("unschedulable"))


def _serves(body: Any) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in body["status"]["conditions"])


def test_future_nodes_are_named_before_they_come() -> None:
    """A pod that waits for a host keeps its name when the host is there."""
    cloud = make_cloud(Settings())
    pool = cloud.fleet.pool("hw-small-00")
    assert pool is not None
    coming = next(make_nodes(pool, [16], cloud.seed, 0.0, None))
    come = next(make_nodes(pool, [16], cloud.seed, 5.0, 6.0))
    assert pod_name(coming) == pod_name(come)


@pytest.mark.parametrize("machine", sorted(SIZES))
def test_every_machine_type_makes_a_node_that_pods_fit_on(machine: str) -> None:
    """What a pool accepts has processors and memory, less what the system keeps."""
    cloud = make_cloud(Settings())
    pool = cloud.fleet.pool("hw-small-00")
    assert pool is not None
    node = replace(next(make_nodes(pool, [0], cloud.seed, 5.0, 6.0)), machine_type=machine)
    draft = node_draft(node, pool, cloud.project, "v1.34.1-gke.1", NORMAL)
    offered = draft.make()["status"]["allocatable"]
    cpus, memory_gb = SIZES[machine]
    assert 0.4 * cpus * 1000 < int(offered["cpu"].removesuffix("m")) < cpus * 1000
    assert 0.5 * memory_gb * 1e9 < int(offered["memory"].removesuffix("Ki")) * 1024
    assert int(offered["memory"].removesuffix("Ki")) * 1024 < memory_gb * 1e9


def test_pools_accept_machines_whose_size_is_known() -> None:
    """Compute lists no other type in any zone."""
    cloud = make_cloud(Settings())
    listed = {body["name"] for kind, _, body in resources(cloud.project) if kind == "machineTypes"}
    assert listed <= set(SIZES)


def test_events_are_forgotten_after_an_hour() -> None:
    """An hour after it was last reported an event is gone, in both of its shapes; others stay."""
    cloud = make_cloud(Settings())
    shown = cloud.clock.now()
    cloud.clock.wall = lambda: shown
    objects = ClusterObjects(cloud, next(iter(cloud.fleet.clusters.values())))
    objects.store.refresh()
    about = next(iter(objects.store.peek(NODES).values())).body

    def told() -> list[str]:
        shapes: list[list[str]] = []
        for kind in (EVENTS, NEW_EVENTS):
            objects.converge()
            items = objects.store.peek(kind).values()
            shapes.append([i.name for i in items if i.body["reason"] in ("First", "Second")])
        assert shapes[0] == shapes[1]
        return shapes[0]

    objects.state.event(about, "First", "once")
    shown += 1800
    objects.state.event(about, "Second", "twice")
    shown += 1000
    objects.state.event(about, "Second", "twice")
    assert len(told()) == 2
    shown += 801
    (kept,) = told()
    shown += 2000
    assert told() == [kept]
    shown += 1000
    assert told() == []
