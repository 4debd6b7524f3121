"""Answers that are well formed and yet not what was promised: errors of ours, never guesses."""

from __future__ import annotations

import json

import pytest
from google.cloud import compute_v1 as compute

from core.errors import Invalid, RateLimited
from core.records import Cluster, RouteMatch, RouteRule
from services.clients import Clients
from services.kube import Kube
from services.load_balancer import LoadBalancers, convert_url_map
from tests.services.planted import Answer, PlantedHttp

CLUSTER = Cluster("hw-serving", "us-central1", "1.34", "RUNNING", "", {})


def test_a_deployment_without_its_parts_is_not_understood(
    clients: Clients, http: PlantedHttp
) -> None:
    """A missing field is the service's fault and is told as such, not as a fault of Heartwood."""
    http.answers = [Answer(body=b'{"items": [{"metadata": {"name": "x"}}]}'), Answer()]
    http.answers[1].body = b'{"items": []}'
    with pytest.raises(Invalid, match="not understood"):
        Kube(clients).list_workloads(CLUSTER)


def test_leader_worker_sets_that_may_not_be_read_leave_the_deployments(
    clients: Clients, http: PlantedHttp
) -> None:
    """403 for the custom resource alone: the rest is there, with the role that is missing."""
    refusal = b'{"message": "leaderworkersets.leaderworkerset.x-k8s.io is forbidden: User \\"ada\\"'
    refusal += b' cannot list resource \\"leaderworkersets\\" in API group"}'
    http.answers = [Answer(body=b'{"items": []}'), Answer(403, refusal)]
    told = Kube(clients).list_workloads(CLUSTER)
    assert told.found == ()
    assert told.problem is not None
    assert "ada may not list leaderworkersets" in told.problem.hint
    assert "--role=roles/container.viewer" in told.problem.hint


def test_health_that_comes_too_fast_is_not_a_group_without_health(
    clients: Clients, http: PlantedHttp
) -> None:
    """A quota of calls fails the source; only a group that has no health to tell has none."""
    http.answers = [Answer(429, b'{"error": {"code": 429, "message": "slow down"}}')]
    with pytest.raises(RateLimited):
        LoadBalancers(clients)._get_health(("hw-small", "neg-1"))
    http.answers = [Answer(400, b'{"error": {"code": 400, "message": "serverless"}}')]
    assert LoadBalancers(clients)._get_health(("hw-small", "neg-1")) is None


def test_health_is_three_counts(clients: Clients, http: PlantedHttp) -> None:
    """What drains or was not probed yet is neither healthy nor unhealthy."""
    states = ("HEALTHY", "HEALTHY", "UNHEALTHY", "TIMEOUT", "DRAINING", "UNKNOWN", "")
    body = {"healthStatus": [{"healthState": state} for state in states]}
    http.answers = [Answer(body=json.dumps(body).encode())]
    assert LoadBalancers(clients)._get_health(("hw-small", "neg-1")) == (2, 2, 3)


def test_route_rules_come_with_their_conditions() -> None:
    """Their matches by kind; headers and query parameters as conditions."""
    match = compute.HttpRouteRuleMatch(
        full_path_match="/v1",
        header_matches=[compute.HttpHeaderMatch(header_name="x-beta", present_match=True)],
    )
    rules = [
        compute.HttpRouteRule(priority=2, service="x/y/a", match_rules=[match]),
        compute.HttpRouteRule(
            priority=1,
            service="x/y/b",
            match_rules=[compute.HttpRouteRuleMatch(prefix_match="/", ignore_case=True)],
        ),
    ]
    found = compute.UrlMap(
        name="m", path_matchers=[compute.PathMatcher(name="p", route_rules=rules)]
    )
    assert convert_url_map(found).matchers[0].route_rules == (
        RouteRule(2, (RouteMatch("exact", "/v1", conditions=("header x-beta",)),), "a"),
        RouteRule(1, (RouteMatch("prefix", "/", ignore_case=True),), "b"),
    )


def test_a_url_map_without_services_says_where_it_goes() -> None:
    """Redirects and weighted splits have no service; an empty name would look like one."""
    found = compute.UrlMap(
        name="m",
        default_url_redirect=compute.HttpRedirectAction(https_redirect=True),
        path_matchers=[
            compute.PathMatcher(
                name="p",
                default_route_action=compute.HttpRouteAction(
                    weighted_backend_services=[
                        compute.WeightedBackendService(backend_service="x/y/a", weight=90),
                        compute.WeightedBackendService(backend_service="x/y/b", weight=10),
                    ]
                ),
                path_rules=[compute.PathRule(paths=["/a/*"], service="x/backendServices/c")],
            )
        ],
    )
    shown = convert_url_map(found)
    assert shown.default_service == "redirect to https"
    assert shown.matchers[0].default_service == "split: a 90, b 10"
    assert shown.matchers[0].rules[0].service == "c"
