"""Where pods go: properties of the plan."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.apis.kubernetes.controllers.fitting import (
    TPU,
    Ask,
    Host,
    Room,
    key_of_spec,
)
from emulator.apis.kubernetes.controllers.objects import milli
from emulator.apis.kubernetes.controllers.placing import plan

_TAINT = {"key": TPU, "value": "present", "effect": "NoSchedule"}
_AMOUNTS = st.integers(0, 6).map(lambda n: n * 1000)


@st.composite
def _hosts(draw: st.DrawFn) -> list[Host]:
    found = []
    for index in range(draw(st.integers(0, 8))):
        chips = draw(st.sampled_from([0, 4]))
        labels = {"cloud.google.com/gke-nodepool": draw(st.sampled_from("pq")),
                  "colour": draw(st.sampled_from(["red", "blue"]))}  # fmt: skip
        allocatable = {"cpu": draw(_AMOUNTS), TPU: chips * 1000, "pods": draw(_AMOUNTS)}
        found.append(
            Host(f"n{index}", labels, (_TAINT,) if chips else (), draw(st.booleans()),
                 draw(st.booleans()), allocatable)
        )  # fmt: skip
    return found


@st.composite
def _asks(draw: st.DrawFn) -> list[Ask]:
    found = []
    for index in range(draw(st.integers(0, 12))):
        requests = {"cpu": draw(_AMOUNTS), "pods": 1000}
        if draw(st.booleans()):
            requests[TPU] = 4000
        spec = {"nodeSelector": {"colour": "red"}} if draw(st.booleans()) else {}
        group = draw(st.sampled_from(["", "", "g", "h"]))
        ports = frozenset({("TCP", 80)}) if draw(st.booleans()) else frozenset()
        key = key_of_spec(spec, ()) + str(TPU in requests)
        size = draw(st.integers(1, 4)) if group else 1
        found.append(Ask("d", f"p{index}", key, spec, requests, ports, frozenset(), group, size,
                         index))  # fmt: skip
    return found


@given(_hosts(), _asks())
@settings(max_examples=150, deadline=None)
def test_plan_never_overcommits_and_never_places_on_an_unfit_node(
    hosts: list[Host], asks: list[Ask]
) -> None:
    """A node's resources and ports suffice for all that is placed on it; taints, selectors, cordons
    and readiness are honoured; every pod is either placed or told why not; groups with chips keep
    to one pool, whole.
    """
    rooms = {h.name: Room(dict(h.allocatable)) for h in hosts}
    found = plan(asks, hosts, rooms)
    by_name = {h.name: h for h in hosts}
    assert found.placed.keys() | found.refused.keys() == {(a.namespace, a.name) for a in asks}
    assert not found.placed.keys() & found.refused.keys()
    on: dict[str, list[Ask]] = {}
    pools: dict[str, set[str]] = {}
    for ask in asks:
        place = found.placed.get((ask.namespace, ask.name))
        if place is None:
            continue
        host = by_name[place]
        assert host.ready
        assert not host.cordoned
        assert not host.taints or TPU in ask.requests
        assert not ask.spec or host.labels["colour"] == "red"
        on.setdefault(place, []).append(ask)
        if ask.group and TPU in ask.requests:
            pools.setdefault(ask.group, set()).add(host.pool)
    for place, there in on.items():
        for resource in {r for ask in there for r in ask.requests}:
            taken = sum(ask.requests.get(resource, 0) for ask in there)
            assert taken <= by_name[place].allocatable.get(resource, 0)
        assert sum(bool(ask.ports) for ask in there) <= 1
    assert all(len(p) == 1 for p in pools.values())
    for group in pools:
        members = [a for a in asks if a.group == group and TPU in a.requests]
        assert all((a.namespace, a.name) in found.placed for a in members)
    assert all(f"/{len(hosts)} nodes" in w or not hosts for w in found.refused.values())


@given(st.integers(1, 40), st.integers(0, 30), st.sampled_from([1, 2, 4]))
@settings(max_examples=60, deadline=None)
def test_uniform_pods_are_all_placed_when_there_is_room(hosts: int, asked: int, chips: int) -> None:
    """Of pods alike, as many are placed as the nodes have room for."""
    ground = [
        Host(f"n{i}", {}, (_TAINT,), False, True, {TPU: 4000, "pods": 9000}) for i in range(hosts)
    ]
    asks = [
        Ask("d", f"p{i}", "k", {}, {TPU: chips * 1000, "pods": 1000}, frozenset())
        for i in range(asked)
    ]
    found = plan(asks, ground, {h.name: Room(dict(h.allocatable)) for h in ground})
    assert len(found.placed) == min(asked, hosts * (4 // chips))


@given(st.integers(0, 10**6), st.sampled_from(["", "m", "k", "Ki", "Mi", "Gi", "M"]))
def test_quantities_keep_their_order(number: int, unit: str) -> None:
    """A larger number of the same unit is never a smaller quantity."""
    assert milli(f"{number + 1}{unit}") > milli(f"{number}{unit}") >= 0


def test_leader_alone_goes_where_its_workers_will_fit() -> None:
    """With LeaderReady the leader waits alone; its pool still has to have room for the group, and
    what is bound already keeps the rest to its pool.
    """
    sizes = {"p": 1, "q": 3}
    hosts = [
        Host(f"{pool}{i}", {"cloud.google.com/gke-nodepool": pool}, (_TAINT,), False, True,
             {TPU: 4000, "pods": 9000})
        for pool, size in sizes.items()
        for i in range(size)
    ]  # fmt: skip
    asks = [
        Ask("d", f"w{i}", "k", {}, {TPU: 4000, "pods": 1000}, frozenset(), frozenset(), "g", 3, i)
        for i in range(3)
    ]
    rooms = {h.name: Room(dict(h.allocatable)) for h in hosts}
    assert plan(asks[:1], hosts, rooms).placed == {("d", "w0"): "q0"}
    assert plan(asks[1:], hosts, rooms, {"g": "q"}).placed == {("d", "w1"): "q1", ("d", "w2"): "q2"}
    assert not plan(asks[:1], hosts, rooms, {"g": "q"}).placed
