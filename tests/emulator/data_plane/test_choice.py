"""Which endpoint a request is given, and how a map's paths are rewritten."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.compute.url_paths import action_for
from emulator.data_plane.members import Member, Members

GROUPS = (
    "projects/p/zones/z/networkEndpointGroups/a",
    "projects/p/zones/z/networkEndpointGroups/b",
)
endpoints = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6)  # healthy, still there


class _Planted(Members):
    """With members as if probed."""

    def __init__(self, found: dict[str, list[Member]]) -> None:
        super().__init__(cloud=None)  # type: ignore[arg-type] # it is asked by probes alone
        for group, members in found.items():
            self.plant(group, members)


def _members(group: str, states: list[tuple[bool, bool]]) -> list[Member]:
    return [
        Member("t", group, f"{group[-1]}{i}", "10.0.0.1:80", healthy, healthy,
               gone_at=None if there else 1.0)
        for i, (healthy, there) in enumerate(states)
    ]  # fmt: skip


@given(
    st.tuples(endpoints, endpoints),
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    st.floats(0, 1, exclude_max=True),
)
def test_only_healthy_endpoints_of_groups_with_capacity_are_picked(
    states: tuple[list[tuple[bool, bool]], ...], scalers: tuple[float, float], chance: float
) -> None:
    """Whatever the chance: somebody who may answer, if anybody may, else nobody."""
    found = {g: _members(g, s) for g, s in zip(GROUPS, states, strict=True)}
    service = {"backends": [
        {"group": f"https://www.googleapis.com/compute/v1/{g}", "capacityScaler": s}
        for g, s in zip(GROUPS, scalers, strict=True)
    ]}  # fmt: skip
    may = {m.name for g, s in zip(GROUPS, scalers, strict=True) if s
           for m in found[g] if m.healthy and m.gone_at is None}  # fmt: skip
    picked = _Planted(found).pick(service, chance)
    assert (picked.name in may) if may else picked is None
    for one in may:
        again = _Planted(found).pick(service, chance, tried=frozenset(may - {one}))
        assert again is not None
        assert again.name == one


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
