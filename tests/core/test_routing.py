"""Where a request goes by a URL map."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import PathMatcher, PathRule, RouteMatch, RouteRule, UrlMap
from core.routing import host_fits, path_fits, way_to, where_does

URL_MAP = UrlMap(
    "hw-map",
    "default",
    (
        PathMatcher(
            "exact",
            ("llm.example.com",),
            "exact-default",
            (
                PathRule(("/small/*", "/small"), "small"),
                PathRule(("/small/v2/*",), "small-v2"),
                PathRule(("/small/v2/models",), "models"),
            ),
        ),
        PathMatcher("near", ("*.example.com",), "near-default", ()),
        PathMatcher("nearer", ("*.eu.example.com",), "nearer-default", ()),
        PathMatcher("any", ("*",), "any-default", (PathRule(("/only/*",), "only"),)),
    ),
)


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("llm.example.com", "/small/x", "small"),
        ("LLM.Example.com:443", "/small/x?y=/small/v2/", "small"),
        ("llm.example.com", "/small", "small"),
        ("llm.example.com", "/smaller", "exact-default"),
        ("llm.example.com", "/small/v2/chat", "small-v2"),
        ("llm.example.com", "/small/v2/models", "models"),
        ("llm.example.com", "/Small/x", "exact-default"),
        ("a.example.com", "/small/x", "near-default"),
        ("a.eu.example.com", "/", "nearer-default"),
        ("example.com", "/", "any-default"),
        ("other.org", "/only/", "only"),
        ("other.org", "/only", "any-default"),
    ],
)
def test_the_most_specific_rule_wins(host: str, path: str, service: str) -> None:
    """Exact host over longest wildcard over "*"; exact path over longest prefix over default."""
    assert where_does(path, host, URL_MAP).service == service


BY_RULES = UrlMap(
    "hw-map",
    "default",
    (
        PathMatcher(
            "rules",
            ("*",),
            "rest",
            (),
            route_rules=(
                RouteRule(30, (RouteMatch("prefix", "/"),), "all"),
                RouteRule(1, (RouteMatch("prefix", "/v1", conditions=("header x-beta",)),), "beta"),
                RouteRule(2, (RouteMatch("exact", "/V1/models", ignore_case=True),), "models"),
                RouteRule(
                    3, (RouteMatch("regex", "/v[12]/chat"), RouteMatch("prefix", "/c")), "chat"
                ),
            ),
        ),
    ),
)


@pytest.mark.parametrize(
    ("path", "service", "unless"),
    [
        ("/v1/models", "models", True),
        ("/v2/models", "all", False),
        ("/v2/chat", "chat", False),
        ("/v2/chat/x", "all", False),
        ("/chat", "chat", False),
        ("/v1/x", "all", True),
    ],
)
def test_route_rules_are_tried_by_priority(path: str, service: str, unless: bool) -> None:
    """The lowest number that fits wins; one that asks for a header is told as a reservation."""
    route = where_does(path, "any.org", BY_RULES)
    assert route.service == service
    assert any(
        "unless route rule 1" in line and "x-beta" in line for line in route.explanation
    ) == (unless)


def test_no_route_rule_means_the_matchers_default() -> None:
    """A template cannot be evaluated here: the answer says so."""
    rules = (RouteRule(1, (RouteMatch("template", "/a/{x=*}"),), "a"),)
    matcher = PathMatcher("m", ("*",), "rest", (), route_rules=rules)
    route = where_does("/b", "any.org", UrlMap("u", "default", (matcher,)))
    assert route.service == "rest"
    assert any("not evaluated" in line for line in route.explanation)


def test_no_host_rule_means_the_maps_default() -> None:
    """A map without a fitting host rule answers with its own default service, and says so."""
    route = where_does("/x", "elsewhere.org", UrlMap("m", "fallback", URL_MAP.matchers[:2]))
    assert (route.service, route.matcher, route.rule) == ("fallback", "", "")
    assert "default service" in route.explanation[-1]


_segments = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)
_patterns = st.builds(
    lambda parts, wild: "/" + "/".join(parts) + ("/*" if wild and parts else "*" if wild else ""),
    _segments,
    st.booleans(),
)


@given(st.lists(_patterns, min_size=1, max_size=8, unique=True), _segments)
def test_no_other_rule_is_more_specific(patterns: list[str], segments: list[str]) -> None:
    """The chosen rule fits, and every other fitting rule is a shorter prefix; else the default."""
    path = "/" + "/".join(segments)
    rules = tuple(PathRule((p,), p) for p in patterns)
    url_map = UrlMap("m", "map", (PathMatcher("pm", ("*",), "default", rules),))
    chosen = where_does(path, "h", url_map).service
    fitting = [p for p in patterns if path_fits(p, path)]
    if not fitting:
        assert chosen == "default"
        return
    assert chosen in fitting
    if path in fitting:
        assert chosen == path
    else:
        assert all(len(p) <= len(chosen) for p in fitting)


@given(_patterns, _segments)
def test_a_prefix_rule_is_a_prefix_of_whole_segments(pattern: str, segments: list[str]) -> None:
    """ "/a/*" fits what lies below "/a/", never "/a" itself nor "/ab"."""
    path = "/" + "/".join(segments)
    if pattern.endswith("/*"):
        assert path_fits(pattern, path) == (path + "\0").startswith(pattern[:-1])
    else:
        assert path_fits(pattern, path) == (pattern == path)


@pytest.mark.parametrize("order", [1, -1])
def test_an_exact_host_beats_a_wildcard_of_its_length(order: int) -> None:
    """ "a.example.com" and "*.example.com" are as long as each other: the exact one wins."""
    exact = PathMatcher("exact", ("a.example.com",), "exact", ())
    wild = PathMatcher("wild", ("*.example.com",), "wild", ())
    matchers = (exact, wild)[::order]
    assert where_does("/", "a.example.com", UrlMap("m", "d", matchers)).service == "exact"


def test_a_wildcard_host_needs_something_before_the_suffix() -> None:
    """ "*.example.com" fits a.example.com, not .example.com nor example.com."""
    assert host_fits("*.example.com", "a.example.com")
    assert not host_fits("*.example.com", ".example.com")
    assert not host_fits("*.example.com", "example.com")


@pytest.mark.parametrize(
    ("service", "host", "way"),
    [
        ("exact-default", "llm.example.com", ""),
        ("small", "llm.example.com", "/small"),
        ("small-v2", "llm.example.com", "/small/v2"),
        ("models", "llm.example.com", None),  # a whole path, which is no prefix
        ("only", "other.org", "/only"),
        ("only", "llm.example.com", None),
    ],
)
def test_the_way_to_a_service_is_a_prefix_that_leads_there(
    service: str, host: str, way: str | None
) -> None:
    """None without one; what it gives leads to the service."""
    assert way_to(service, "/v1/chat/completions", host, URL_MAP) == way
    if way is not None:
        assert where_does(f"{way}/v1/chat/completions", host, URL_MAP).service == service
