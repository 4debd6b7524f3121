"""Which endpoint a request is given, and how a map's paths are rewritten."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.compute.url_paths import action_for
from emulator.data_plane.choice import Choice
from emulator.data_plane.members import Member, Members
from emulator.data_plane.outliers import Outliers

GROUPS = (
    "projects/p/zones/z/networkEndpointGroups/a",
    "projects/p/zones/z/networkEndpointGroups/b",
)
endpoints = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6)  # healthy, still there


def _members(group: str, states: list[tuple[bool, bool]]) -> list[Member]:
    return [
        Member("t", group, f"{group[-1]}{i}", "10.0.0.1:80", healthy, healthy,
               gone_at=None if there else 1.0)
        for i, (healthy, there) in enumerate(states)
    ]  # fmt: skip


def _choice(
    found: dict[str, list[Member]], seed: int, clock: Callable[[], float] = time.monotonic
) -> Choice:
    members = Members(cloud=None)  # type: ignore[arg-type] # it is asked by probes alone
    for group, planted in found.items():
        members.plant(group, planted)
    return Choice(members, random.Random(seed), clock)


def _service(*backends: dict[str, float]) -> dict[str, Any]:
    return {"name": "s", "backends": [
        {"group": f"https://www.googleapis.com/compute/v1/{g}", **b}
        for g, b in zip(GROUPS, backends, strict=True)
    ]}  # fmt: skip


def _group(member: Member | None) -> str:
    return member.group[-1] if member else ""


@given(
    st.tuples(endpoints, endpoints),
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    st.integers(0, 99),
)
def test_only_healthy_endpoints_of_groups_with_capacity_are_picked(
    states: tuple[list[tuple[bool, bool]], ...], scalers: tuple[float, float], seed: int
) -> None:
    """Whatever the chance: somebody who may answer, if anybody may, else nobody."""
    found = {g: _members(g, s) for g, s in zip(GROUPS, states, strict=True)}
    service = _service(*({"capacityScaler": s} for s in scalers))
    may = {m.name for g, s in zip(GROUPS, scalers, strict=True) if s
           for m in found[g] if m.healthy and m.gone_at is None}  # fmt: skip
    picked = _choice(found, seed).pick(service)
    assert (picked.name in may) if may else picked is None
    for one in may:
        again = _choice(found, seed).pick(service, tried=frozenset(may - {one}))
        assert again is not None
        assert again.name == one


def test_a_group_at_its_target_rate_gets_more_only_when_all_are() -> None:
    """Groups fill up to their targets; above the sum of these they share as their targets are."""
    found = {g: _members(g, [(True, True)] * 2) for g in GROUPS}
    service = _service({"maxRatePerEndpoint": 10}, {"maxRate": 60})
    now = [0.0]
    choice = _choice(found, 1, lambda: now[0])
    given = Counter(_group(choice.pick(service)) for _ in range(80))
    assert given == {"a": 20, "b": 60}
    assert Counter(_group(choice.pick(service)) for _ in range(400))["b"] > 240  # 300 expected
    now[0] = 1.5  # a second later all may have their rates again
    given = Counter(_group(choice.pick(service)) for _ in range(80))
    assert given == {"a": 20, "b": 60}


NAMES = [f"e{i}" for i in range(10)]


class _Watched:
    """Outliers of one service, on a clock that the test moves."""

    def __init__(self, **settings: object) -> None:
        self.now = 0.0
        self.service = {"name": "s", "outlierDetection": settings}
        self.outliers = Outliers(lambda: self.now, random.Random(0).random)

    def saw(self, member: str, status: int, times: int = 1) -> None:
        for _ in range(times):
            self.outliers.saw(self.service, NAMES, member, status)

    @property
    def out(self) -> frozenset[str]:
        return self.outliers.ejected(self.service, NAMES)


def test_failures_in_a_row_eject_an_endpoint_for_a_while() -> None:
    """Three gateway failures by default; 500s where they are to; each time for longer."""
    watched = _Watched(baseEjectionTime={"seconds": 10})
    watched.saw("e1", 503, 2)
    watched.saw("e1", 200)
    watched.saw("e1", 503, 2)
    watched.saw("e2", 500, 20)
    assert watched.out == frozenset()
    watched.saw("e1", 502)
    assert watched.out == {"e1"}
    watched.now = 10.5
    assert watched.out == frozenset()
    watched.saw("e1", 503, 3)
    watched.now = 21.0
    assert watched.out == {"e1"}  # the second time twice as long
    watched.now = 31.0
    assert watched.out == frozenset()
    watched = _Watched(enforcingConsecutiveErrors=100, enforcingConsecutiveGatewayFailure=0)
    watched.saw("e2", 500, 4)
    watched.saw("e3", 503, 4)
    assert watched.out == frozenset()
    watched.saw("e2", 500)
    assert watched.out == {"e2"}


def test_an_endpoint_that_fails_more_than_its_peers_is_ejected() -> None:
    """By success rates over an interval, of endpoints with enough requests, if enough have them."""
    for peers, out in ((9, {"e0"}), (3, set[str]())):
        watched = _Watched(enforcingConsecutiveGatewayFailure=0)
        for name in NAMES[1 : peers + 1]:
            watched.saw(name, 200, 100)
        for _ in range(50):
            watched.saw("e0", 200)
            watched.saw("e0", 503)
        watched.now = 1.0
        assert watched.out == out


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([200, 500, 503]), st.floats(0, 2)),
             max_size=200),
    st.integers(0, 100),
)  # fmt: skip
def test_never_more_are_ejected_than_may_be(
    answers: list[tuple[str, int, float]], percent: int
) -> None:
    """Whatever is answered: at most that share; and without the setting nobody."""
    watched = _Watched(maxEjectionPercent=percent, enforcingConsecutiveErrors=100)
    for member, status, passed in answers:
        watched.now += passed
        watched.saw(member, status, 3)
        assert 100 * len(watched.out) <= percent * len(NAMES)
    watched.service = {"name": "s"}
    assert watched.out == frozenset()


def test_a_prefix_is_replaced_by_what_the_rule_says() -> None:
    """The part that the pattern names goes; the query stays; without a rewrite all stays."""
    rewrite = {"urlRewrite": {"pathPrefixRewrite": "/"}}
    body: dict[str, Any] = {
        "hostRules": [{"hosts": ["*"], "pathMatcher": "m"}],
        "pathMatchers": [{"name": "m", "pathRules": [
            {"paths": ["/simple/*", "/exact"], "routeAction": rewrite},
            {"paths": ["/kept/*"], "service": "s"},
        ]}],
    }  # fmt: skip
    for path, expected in {
        "/simple/v1/chat?x=/simple/": "/v1/chat?x=/simple/",
        "/simple": "/simple",
        "/exact": "/",
        "/kept/v1": "/kept/v1",
        "/other": "/other",
    }.items():
        assert action_for(body, "h", path).rewritten(path) == expected
