"""The synthetic requests of the validation suite: one per rule, each where its rule decides."""

from __future__ import annotations

from dataclasses import replace

from control.settings import load_settings
from core.records import LoadBalancer, PathMatcher, PathRule, RouteMatch, RouteRule, UrlMap
from core.route_cases import path_cases, request_cases
from core.router import Rule, need_of
from core.router_request import read_request

LIMITS = load_settings(environ={}).router.limits


def balancer(*matchers: PathMatcher) -> LoadBalancer:
    """One URL map with these."""
    return LoadBalancer((), (UrlMap("hw", "fallback", matchers),), ())


def test_each_rule_of_a_url_map_has_a_request_that_no_other_rule_takes() -> None:
    """Its host where it asks for one; a split may land at each of its services."""
    rules = (
        PathRule(("/a/*", "/exact"), "a"),
        PathRule(("/a/v1/*",), "inner"),
        PathRule(("/s/*",), "split: a 85, b 15", (("a", 85), ("b", 15), ("c", 0))),
    )
    found = path_cases(balancer(PathMatcher("m", ("llm.example.com",), "rest", rules)))
    assert [(c.rule, c.host, c.path, c.expected) for c in found] == [
        ("/a/*", "llm.example.com", "/a/heartwood-route-check", ("a",)),
        ("/exact", "llm.example.com", "/exact", ("a",)),
        ("/a/v1/*", "llm.example.com", "/a/v1/v1/chat/completions", ("inner",)),
        ("/s/*", "llm.example.com", "/s/v1/chat/completions", ("a", "b")),
        ("any other path", "llm.example.com", "/v1/chat/completions", ("rest",)),
        ("any other host", "heartwood-route-check.invalid", "/v1/chat/completions", ("fallback",)),
    ]
    assert not any(c.why_not for c in found)


def test_what_cannot_be_sent_says_why() -> None:
    """Rules on headers, rules that another one hides, several URL maps."""
    asks = RouteRule(2, (RouteMatch("prefix", "/", conditions=("header x",)),), "x")
    plain = RouteRule(1, (RouteMatch("prefix", "/r"),), "r")
    by_header, by_prefix = None, None
    for case in path_cases(balancer(PathMatcher("m", ("*",), "rest", (), (), (asks, plain)))):
        by_header = case if case.rule == "route rule 2" else by_header
        by_prefix = case if case.rule == "route rule 1" else by_prefix
    assert by_header is not None
    assert "more than a path" in by_header.why_not
    assert by_prefix is not None
    assert (by_prefix.path, by_prefix.why_not) == ("/r/v1/chat/completions", "")
    hidden = (PathRule(("/x/*",), "x"), PathRule(("/x/v1/*", "/x/heartwood-route-check"), "y"))
    (case, *_) = path_cases(balancer(PathMatcher("m", ("*",), "rest", hidden)))
    assert "another rule" in case.why_not
    two = replace(balancer(), url_maps=(UrlMap("a", "s", ()), UrlMap("b", "s", ())))
    assert all("several URL maps" in c.why_not for c in path_cases(two))


def test_each_rule_of_the_router_has_a_request_that_calls_it_forth() -> None:
    """Of the need that it stands for, for one token; where thresholds leave none, there is none."""
    found = {c.sample: c.body for c in request_cases(LIMITS, "small")}
    needs = {
        sample: need_of(read_request(body, LIMITS.request), LIMITS)
        for sample, body in found.items()
        if body and body["model"] == "auto"
    }
    assert list(needs.values()) == [Rule.SIMPLE, Rule.SIMPLE, Rule.MODERATE, Rule.COMPLEX]
    assert {b["max_tokens"] for b in found.values() if b} == {1}
    shut = replace(LIMITS, simple_score=0.0, complex_score=0.0)
    bodies = {c.sample: c.body for c in request_cases(shut, "")}
    assert bodies["moderate"] is None
    assert bodies["the model is a tier's name"] is None
    assert bodies["complex"] is not None
