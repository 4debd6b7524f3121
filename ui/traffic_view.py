"""The Traffic page's panels: load now, backends, URL map, and where a path goes.

How a URL map decides is `core/routing.py`; the charts over time are `ui/history.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from core.fleet import FleetTier
from core.load_balancer import RouteMatch
from core.records import Backend, BackendService, Source, TierLoad, UrlMap
from core.routing import where_does
from ui import access, formats, states, tables, tier_cards, view

_SOURCES = (Source.LOAD_BALANCER,)
_FEW: Final = 20
_HEALTH_COLOURS: Final = {
    "healthy": "green",
    "unhealthy": "orange",
    "down": "red",
    "not probed": "gray",
    "no members": "gray",
    "unknown": "violet",
    "no backend": "gray",
}


def load_now() -> None:
    """A row per tier: rate, errors, latency, tokens, queue."""
    derived = access.derived()
    snapshot = derived.snapshot
    fresh = states.freshness(snapshot.sources, (Source.LOAD,), access.now())
    with states.panel("Load now", fresh):
        if snapshot.loads is None:
            states.show_missing(snapshot.sources, (Source.LOAD,))
            return
        chosen = [
            (tier, load)
            for tier in derived.fleet.tiers
            if view.current().shows(tier.name)
            and (load := snapshot.loads.get(tier.name)) is not None
        ]
        if not chosen:
            states.show_empty(
                "No chosen tier carries anything", "A tier that is off sends no metric at all."
            )
            return
        tables.fixed(
            [_load_row(tier, load) for tier, load in chosen],
            [_load_words(tier, load) for tier, load in chosen],
            key="traffic-load",
            alt="What each tier carries now",
        )


def _load_row(tier: FleetTier, load: TierLoad) -> tables.Row:
    """Plain figures, for the file."""
    return {
        "Tier": tier.spec.title,
        "Requests/s": load.requests_per_s,
        "Errors": load.error_ratio,
        "TTFT p50 ms": load.ttft.p50_ms,
        "TTFT p95 ms": load.ttft.p95_ms,
        "TTFT p99 ms": load.ttft.p99_ms,
        "Latency p50 ms": load.latency.p50_ms,
        "Latency p95 ms": load.latency.p95_ms,
        "Latency p99 ms": load.latency.p99_ms,
        "Prompt tokens/s": load.prompt_tokens_per_s,
        "Generated tokens/s": load.generation_tokens_per_s,
        "Running": load.requests_running,
        "Waiting": load.requests_waiting,
        "KV cache": load.kv_cache_ratio,
        "Window s": load.window_s,
    }


def _load_words(tier: FleetTier, load: TierLoad) -> dict[str, str]:
    """What the page shows: a missing figure says why it is missing."""
    none = tier_cards.nothing(tier, load)
    absent = none if none == "off" else formats.UNKNOWN

    def figure(value: float | None) -> str:
        return formats.number(value, absent)

    return {
        "Tier": formats.plain(tier.spec.title),
        "Requests/s": figure(load.requests_per_s),
        "Errors": formats.ratio(load.error_ratio, none),
        "TTFT p50 · p95 · p99": tier_cards.triple(load.ttft, none),
        "Latency p50 · p95 · p99": tier_cards.triple(load.latency, none),
        "Prompt tokens/s": figure(load.prompt_tokens_per_s),
        "Generated tokens/s": figure(load.generation_tokens_per_s),
        "Running": figure(load.requests_running),
        "Waiting": figure(load.requests_waiting),
        "KV cache": formats.ratio(load.kv_cache_ratio, absent),
        "Window": formats.duration(load.window_s),
    }


def backends() -> None:
    """Health of what stands behind the load balancer."""
    snapshot = access.snapshot()
    fresh = states.freshness(snapshot.sources, _SOURCES, access.now())
    with states.panel("Backends", fresh):
        balancer = snapshot.load_balancer
        if balancer is None:
            states.show_missing(snapshot.sources, _SOURCES)
            return
        owners = {s.backend_service: s for s in snapshot.specs if s.backend_service}
        chosen = view.current()
        services = [
            s
            for s in balancer.backend_services
            if chosen.tier is None or (s.name in owners and owners[s.name].name == chosen.tier)
        ]
        rows = [
            _backend_row(
                service, backend, owners[service.name].title if service.name in owners else ""
            )
            for service in services
            for backend in service.backends or (None,)
        ]
        _backend_table(rows)


def _backend_table(rows: Sequence[tables.Row]) -> None:
    """In the page while they are few; as a grid with pages beyond that."""
    if 0 < len(rows) <= _FEW:
        shown = [
            {
                name: _badge(cell[0]) if name == "State" else formats.plain(_word(cell))
                for name, cell in row.items()
            }
            for row in rows
        ]
        tables.fixed(rows, shown, key="traffic-backends", alt="Backends with their health")
        return
    tables.table(
        rows,
        key="traffic-backends",
        alt="Backends with their health",
        empty="No backend service",
        why="No load balancer stands before the chosen tiers.",
        config={"State": tables.badges("State", _HEALTH_COLOURS)},
    )


def _badge(health: str) -> str:
    return f":{_HEALTH_COLOURS[health]}-badge[{health}]"


def _word(cell: object) -> str:
    return formats.UNKNOWN if cell is None else str(cell)


def _backend_row(service: BackendService, backend: Backend | None, tier: str) -> tables.Row:
    return {
        "Backend service": service.name,
        "Tier": tier or "–",
        "State": [health_word(backend)],
        "Group": backend.group if backend else "–",
        "Healthy": backend.healthy if backend else None,
        "Unhealthy": backend.unhealthy if backend else None,
        "Draining or new": backend.other if backend else None,
        "Balancing": backend.balancing_mode if backend else "–",
        "Capacity": formats.ratio(backend.capacity_ratio) if backend else "–",
        "Protocol": service.protocol,
        "Time-out": formats.duration(service.timeout_s),
        "Health checks": ", ".join(service.health_checks),
    }


def health_word(backend: Backend | None) -> str:
    """A group's health in a word of `_HEALTH_COLOURS`."""
    if backend is None:
        return "no backend"
    if backend.healthy is None or backend.unhealthy is None:
        return "unknown"
    if backend.healthy == 0:
        if backend.unhealthy:
            return "down"
        return "not probed" if backend.other else "no members"
    return "unhealthy" if backend.unhealthy else "healthy"


def url_map() -> None:
    """The rules, and the tester."""
    snapshot = access.snapshot()
    fresh = states.freshness(snapshot.sources, _SOURCES, access.now())
    with states.panel("URL map", fresh):
        balancer = snapshot.load_balancer
        if balancer is None:
            states.show_missing(snapshot.sources, _SOURCES)
            return
        if not balancer.url_maps:
            states.show_empty("No URL map", "Nothing routes paths to tiers in this project.")
            return
        for found in balancer.url_maps:
            rules = rule_rows(found)
            tables.fixed(
                rules,
                [{name: formats.plain(cell) for name, cell in rule.items()} for rule in rules],
                key=f"traffic-rules-{found.name}",
                alt=f"Rules of the URL map {found.name}",
            )
        fronts = "; ".join(
            f"{r.name}: {r.address}:{r.ports} → {r.target}" for r in balancer.forwarding_rules
        )
        st.caption(f"Clients come in by {formats.plain(fronts)}" if fronts else "No front end")


def rule_rows(found: UrlMap) -> Sequence[Mapping[str, str]]:
    """A URL map's rules, in the order in which they are tried."""
    rows: list[Mapping[str, str]] = []

    def add(hosts: str, paths: str, goes_to: str, matcher: str) -> None:
        rows.append({"URL map": found.name, "Hosts": hosts, "Paths": paths, "Goes to": goes_to,
                     "Path matcher": matcher})  # fmt: skip

    for matcher in found.matchers:
        hosts = ", ".join(matcher.hosts) or "–"
        for rule in matcher.rules:
            add(hosts, ", ".join(rule.paths), rule.service, matcher.name)
        for route in sorted(matcher.route_rules, key=lambda r: r.priority):
            paths = " or ".join(_route_words(match) for match in route.matches) or "any"
            add(hosts, f"{route.priority}: {paths}", route.service, matcher.name)
        add(hosts, "any other", matcher.default_service, matcher.name)
    add("any other", "any", found.default_service, "–")
    return rows


def _route_words(match: RouteMatch) -> str:
    words = match.value if match.kind == "exact" else f"{match.kind} {match.value}"
    return " and ".join((words, *match.conditions))


def route_tester() -> None:
    """Where does this path go? Answered from the rules that were read, without a request."""
    snapshot = access.snapshot()
    balancer = snapshot.load_balancer
    fresh = states.freshness(snapshot.sources, _SOURCES, access.now())
    maps = balancer.url_maps if balancer else ()
    note = "computed from the rules; nothing is sent"
    with states.panel("Where does this path go?", fresh, note):
        if not maps:
            if balancer is None:
                states.show_missing(snapshot.sources, _SOURCES)
            else:
                states.show_empty("No URL map", "Nothing routes paths to tiers in this project.")
            return
        hosts = [h for m in maps[0].matchers for h in m.hosts if not h.startswith("*")]
        with st.container(horizontal=True, vertical_alignment="bottom"):
            host = st.text_input(
                "Host", hosts[0] if hosts else "", key="route_host", live=True, placeholder="any"
            )
            path = st.text_input("Path", "/v1/chat/completions", key="route_path", live=True)
        for found in maps:
            route = where_does(path or "/", host or "", found)
            st.markdown(
                f":material/arrow_forward: **{formats.plain(route.service)}** "
                f":small[:gray[by {formats.plain(found.name)}]]  \n"
                + "  \n".join(f":small[{formats.plain(s)}]" for s in route.explanation)
            )
