"""How a load balancer's rules and its groups' health read."""

from __future__ import annotations

import pytest

from core.load_balancer import Backend, PathMatcher, RouteMatch, RouteRule, UrlMap
from ui.traffic_view import health_word, rule_rows


@pytest.mark.parametrize(
    ("healthy", "unhealthy", "other", "word"),
    [
        (3, 0, 0, "healthy"),
        (3, 1, 0, "unhealthy"),
        (0, 2, 1, "down"),
        (0, 0, 2, "not probed"),
        (0, 0, 0, "no members"),
        (None, None, 0, "unknown"),
    ],
)
def test_a_group_is_called_what_it_is(
    healthy: int | None, unhealthy: int | None, other: int, word: str
) -> None:
    """Members that are not probed yet are neither down nor missing."""
    assert health_word(Backend("g", "RATE", 1.0, healthy, unhealthy, other)) == word


def test_route_rules_are_listed_in_their_order() -> None:
    """With priority, kind of match and conditions, before what takes the rest."""
    rules = (
        RouteRule(2, (RouteMatch("prefix", "/v1"),), "second"),
        RouteRule(1, (RouteMatch("exact", "/v1/a", conditions=("header x is y",)),), "first"),
    )
    matcher = PathMatcher("m", ("h.example",), "rest", (), route_rules=rules)
    rows = rule_rows(UrlMap("map", "default", (matcher,)))
    assert [(row["Paths"], row["Goes to"]) for row in rows] == [
        ("1: /v1/a and header x is y", "first"),
        ("2: prefix /v1", "second"),
        ("any other", "rest"),
        ("any", "default"),
    ]
