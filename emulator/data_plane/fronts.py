"""Where a request goes by the forwarding rule, its proxy and its URL map; keeps no state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emulator.apis.compute.fields import path_of
from emulator.apis.compute.model import Body, state_of
from emulator.apis.compute.traffic import live_front
from emulator.apis.compute.url_paths import action_for, services_for
from emulator.context import Cloud

UNMATCHED: Final = "UNMATCHED"  # Google's label where no rule fits the path


@dataclass(frozen=True, slots=True)
class Route:
    """One request's way: names of what it passed, and the path as the backend is asked for it."""

    rule: str
    proxy: str
    url_map: str
    service: Body
    path: str
    path_rule: str
    retries: int = 0
    retry_on: frozenset[str] = frozenset()

    @property
    def service_name(self) -> str:
        """Of the backend service."""
        return str(self.service["name"])


@dataclass(frozen=True, slots=True)
class Redirect:
    """The map answers by itself: where to, with which status."""

    location: str
    status: int


def find_route(cloud: Cloud, host: str, path: str, chance: float) -> Route | Redirect | None:
    """The way of a request; `chance`, in [0, 1), decides between weighted services.

    None when no forwarding rule leads to a URL map, or the map to no backend service.
    """
    with cloud.lock:
        front = live_front(cloud)
        if front is None:
            return None
        action = action_for(front.url_map, host, path)
        if action.redirect:
            return _redirect(action.redirect, host, path)
        link = _chosen(services_for(front.url_map, host, path), chance)
        found = path_of(cloud.project, link) if link else None
        service = state_of(cloud).at(found) if found else None
        if service is None:
            return None
        retry = action.route.get("retryPolicy", {})
        return Route(
            str(front.rule["name"]), str(front.proxy["name"]), str(front.url_map["name"]),
            service, action.rewritten(path), action.pattern or UNMATCHED,
            int(retry.get("numRetries", 1)) if retry else 0,
            frozenset(retry.get("retryConditions", ())),
        )  # fmt: skip


def _chosen(shares: dict[str, float], chance: float) -> str:
    passed = 0.0
    for link, share in shares.items():
        passed += share
        if chance < passed:
            return link
    return next(reversed(shares), "") if passed else ""


def _redirect(told: Body, host: str, path: str) -> Redirect:
    status = {"FOUND": 302, "SEE_OTHER": 303, "TEMPORARY_REDIRECT": 307,
              "PERMANENT_REDIRECT": 308}  # fmt: skip
    plain, _, query = path.partition("?")
    target = told.get("pathRedirect") or plain
    if query and not told.get("stripQuery"):
        target = f"{target}?{query}"
    scheme = "https" if told.get("httpsRedirect") else "http"
    code = status.get(str(told.get("redirectResponseCode", "")), 301)
    return Redirect(f"{scheme}://{told.get('hostRedirect') or host}{target}", code)
