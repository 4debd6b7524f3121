"""The paths of a URL map that lead to one backend service, as a resource of their own.

A name is a backend service's, /urlMaps/ and the URL map's. Weights and splits are
`load_balancer_writes.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from core.cloud_resources import COMPUTE, CloudResource, path_of
from core.errors import Conflict, NotFound
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.compute import ComputeResources
from services.project.product import Found, Json

RULES: Final = re.compile(r".*/global/backendServices/[^/]+/urlMaps/[^/]+")  # such names
_TIMEOUT_S: Final = 30.0
_TRIES: Final = 5  # the map is shared by all tiers; its fingerprint says when somebody was faster


class UrlRules:
    """In the map's first path matcher."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._compute = clients, ComputeResources(clients)

    def get(self, name: str) -> Found | None:
        """The rules that lead to the service; None: there is no such rule, or no map."""
        url_map, service = _parse(name)
        try:
            found = self._read(url_map)
        except NotFound:
            return None
        whole = any(_last(r.service) == service for m in found.path_matchers for r in m.path_rules)
        there = whole or any(service in _weighted(action) for action in _actions(found))
        return Found({}, None) if there else None

    def create(self, name: str, body: Json) -> str:
        """Begin to add a rule; `body` has paths, the service's link and a prefix's rewrite."""
        from google.cloud.compute_v1.types.compute import HttpRouteAction, PathRule, UrlRewrite

        rewrite = str(body["routeAction"]["urlRewrite"]["pathPrefixRewrite"])

        def add(found: Any) -> bool:
            matcher = found.path_matchers[0]
            action = HttpRouteAction(url_rewrite=UrlRewrite(path_prefix_rewrite=rewrite))
            rule = PathRule(
                paths=list(body["paths"]), service=str(body["service"]), route_action=action
            )
            if any(_last(r.service) == _last(rule.service) for r in matcher.path_rules):
                return False
            # What an earlier tear-down left of these paths gives way.
            kept = [r for r in matcher.path_rules if list(r.paths) != list(rule.paths)]
            matcher.path_rules = [*kept, rule]
            return True

        return self._change(name, add)

    def delete(self, name: str) -> str:
        """Begin to take out every path rule that leads to the service, and its part of others."""
        _, service = _parse(name)

        def remove(found: Any) -> bool:
            changed = _drop_weights(found, service)
            for matcher in found.path_matchers:
                kept = [r for r in matcher.path_rules if not _leads_to(r, service)]
                changed |= len(kept) != len(matcher.path_rules)
                matcher.path_rules = kept
            return changed

        try:
            return self._change(name, remove)
        except NotFound:
            return ""

    def get_operation(self, name: str) -> OperationState:
        """An operation of Compute."""
        return self._compute.get_operation(name)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """None by themselves: a rule goes with its map or its service."""
        return ()

    def _change(self, name: str, change: Callable[[Any], bool]) -> str:
        url_map, _ = _parse(name)
        for attempt in range(_TRIES):
            found = self._read(url_map)
            if not change(found):
                return ""
            request = {
                "project": self._clients.project,
                "url_map": url_map,
                "url_map_resource": found,
            }
            try:
                started: Any = self._clients.call(
                    lambda t, r=request: self._clients.url_maps().update_unary(
                        request=r, timeout=t, retry=None
                    ),
                    resource=name,
                    timeout_s=_TIMEOUT_S,
                    policy=calls.ONCE,
                )
            except Conflict:
                if attempt + 1 == _TRIES:
                    raise
                continue
            project = self._clients.project
            return f"//{COMPUTE}/projects/{project}/global/operations/{started.name}"
        raise Conflict("the URL map changes all the time", resource=name)

    def _read(self, url_map: str) -> Any:
        return self._clients.call(
            lambda t: self._clients.url_maps().get(
                project=self._clients.project, url_map=url_map, timeout=t, retry=None
            ),
            resource=f"projects/{self._clients.project}/global/urlMaps/{url_map}",
            timeout_s=_TIMEOUT_S,
        )


def _actions(url_map: Any) -> Iterator[Any]:
    """Every place of the map that may divide requests by weights."""
    yield url_map.default_route_action
    for matcher in url_map.path_matchers:
        yield matcher.default_route_action
        for rule in matcher.path_rules:
            yield rule.route_action


def _weighted(action: Any) -> tuple[str, ...]:
    return tuple(_last(w.backend_service) for w in action.weighted_backend_services)


def _drop_weights(url_map: Any, service: str) -> bool:
    """Leave what it got to those beside it; whether there was any. What only it has stays."""
    changed = False
    for action in _actions(url_map):
        kept = [w for w in action.weighted_backend_services if _last(w.backend_service) != service]
        if kept and len(kept) < len(action.weighted_backend_services):
            action.weighted_backend_services = kept
            changed = True
    return changed


def _leads_to(rule: Any, service: str) -> bool:
    """Whether a path rule leads to that service, and to no other."""
    return _last(rule.service) == service or set(_weighted(rule.route_action)) == {service}


def _parse(name: str) -> tuple[str, str]:
    """(URL map, backend service)."""
    service, _, url_map = path_of(name).partition("/backendServices/")[2].partition("/urlMaps/")
    return url_map, service


def _last(link: object) -> str:
    return str(link).rsplit("/", 1)[-1]
