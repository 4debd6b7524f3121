"""Where the requests of the scenario's tiers go, as the URL map leads them.

A tier's requests are those whose paths the scenario's own map leads to it, in equal parts. Maps
that no forwarding rule leads to count for nothing; while there is none the requests go on as last
told, and what goes to backends of no tier is lost to the world.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.apis.compute import groups, load_balancer
from emulator.apis.compute.fields import path_of
from emulator.apis.compute.model import Body, state_of
from emulator.apis.compute.url_paths import services_for
from emulator.context import Cloud
from emulator.world.routing import told

# Changes of these may lead requests elsewhere.
_CHAIN: Final = frozenset(
    {"urlMaps", "targetHttpProxies", "targetHttpsProxies", "forwardingRules", "backendServices"}
)
_HOST: Final = "anyone"


@dataclass(frozen=True, slots=True)
class Front:
    """A forwarding rule, its target proxy and its URL map."""

    rule: Body
    proxy: Body
    url_map: Body


@dataclass
class Traffic:
    """Paths by the tier whose requests they bring, and what was told last of each tier."""

    paths: dict[str, list[str]]
    told: dict[str, dict[str, float]] = field(default_factory=dict)


def shifted(cloud: Cloud, collection: str) -> dict[str, float]:
    """What a change in a collection has led elsewhere, for the log; nothing where it has not."""
    front = live_front(cloud) if collection in _CHAIN and cloud.scenario.tiers else None
    if front is None:
        return {}
    traffic = cloud.store(Traffic, lambda: Traffic(_paths(cloud)))
    found: dict[str, float] = {}
    for tier, paths in traffic.paths.items():
        now = _shares(cloud, front.url_map, paths)
        if now != traffic.told.get(tier, {tier: 1.0}):
            traffic.told[tier] = now
            found |= told(tier, now)
    return found


def _paths(cloud: Cloud) -> dict[str, list[str]]:
    """A path for each rule of the scenario's own map, and for what no rule names."""
    found: dict[str, list[str]] = {}
    for collection, _, body in load_balancer.resources(cloud):
        if collection != "urlMaps":
            continue
        rules = [r for m in body["pathMatchers"] for r in m["pathRules"]]
        for path in ("/", *(p.replace("*", "a") for r in rules for p in r["paths"])):
            for link in services_for(body, _HOST, path):
                name = link.rsplit("/", 1)[-1].removeprefix("hw-")
                found.setdefault(name, []).append(path)
    return found


def _shares(cloud: Cloud, body: Body, paths: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for path in paths:
        for link, part in services_for(body, _HOST, path).items():
            tier = _tier(cloud, link)
            if tier and part:
                shares[tier] = shares.get(tier, 0.0) + part / len(paths)
    return {tier: round(share, 9) for tier, share in shares.items()}


def _tier(cloud: Cloud, link: str) -> str:
    """The tier whose hosts are behind a backend service; "" without, or with none in rotation."""
    body = _at(cloud, link) or {}
    for backend in body.get("backends", []):
        if float(backend.get("capacityScaler", 1.0)) == 0.0:
            continue  # drained
        group = str(backend.get("group", ""))
        names = {e.get("instance", "") for e in groups.endpoints_of(cloud, group)}
        tier = groups.tier_of_group(cloud, group) or next(
            (n.tier for n in cloud.fleet.nodes() if n.name in names and n.tier), ""
        )
        if tier:
            return tier
    return ""


def live_front(cloud: Cloud) -> Front | None:
    """What callers come to: the first forwarding rule, by name, that leads to a URL map."""
    for _, rule in sorted(state_of(cloud).of("forwardingRules", "global").items()):
        proxy = _at(cloud, str(rule.get("target", ""))) or {}
        found = _at(cloud, str(proxy.get("urlMap", "")))
        if found is not None:
            return Front(rule, proxy, found)
    return None


def live_services(cloud: Cloud) -> list[Body]:
    """The backend services that the live URL map names anywhere."""
    front = live_front(cloud)
    links = dict.fromkeys(_links(front.url_map)) if front else {}
    return [body for link in links if (body := _at(cloud, link)) is not None]


def _links(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        if "/backendServices/" in node:
            yield node
        return
    for child in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from _links(child)


def _at(cloud: Cloud, link: str) -> Body | None:
    path = path_of(cloud.project, link)
    return state_of(cloud).at(path) if path else None
