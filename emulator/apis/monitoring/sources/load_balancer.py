"""Metrics of the global load balancer: requests and latencies of the tiers behind it.

The world's clients, simulated, and the requests that the data plane really carried (carried.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from emulator.apis.compute.load_balancer import NAME
from emulator.apis.monitoring.block import Block, DistributionBlock, Moments
from emulator.apis.monitoring.carried import COUNTRY, Way, carried_of
from emulator.apis.monitoring.columns import Table, table
from emulator.apis.monitoring.distributions import BOUNDS_MS
from emulator.apis.monitoring.sources.servers import moments
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.world.load import Load
from emulator.world.noise import Floats, Ints
from emulator.world.parts import Part, PartKind

PATHS: Final = {"small": "/simple/*", "large": "/complex/*"}  # the URL map's rules
PROXY_OVERHEAD_S: Final = 0.012

# Clients by Google's continent names, and the country that stands for each.
CLIENTS: Final = {
    "America": ("United States", 0.71),
    "Europe": ("Germany", 0.2),
    "Asia": ("Japan", 0.09),
}

NO_BACKEND: Final = "NO_BACKEND_SELECTED"

# (response_code, response_code_class, field of the load)
CODES: Final = (
    ("200", "200", "completed"),
    ("400", "400", "client_errors"),
    ("500", "500", "failed"),
    ("503", "500", "rejected"),
)


def count_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """https/request_count and https/backend_request_count, by code and clients."""
    weights = np.array([[share] for _, share in CLIENTS.values()])
    return _carried_counts(telemetry, name) + [
        Block("https_lb_rule", _labels(telemetry, part, name, code, klass), weights,
              partial(_counts, telemetry, part, field))
        for part in _parts(telemetry)
        for code, klass, field in CODES
    ]  # fmt: skip


def latency_blocks(telemetry: Telemetry, name: str) -> list[DistributionBlock]:
    """https/total_latencies and https/backend_latencies in milliseconds."""
    weights = np.array([share for _, share in CLIENTS.values()])
    bounds = np.array(BOUNDS_MS)
    return _carried_latencies(telemetry, name) + [
        DistributionBlock("https_lb_rule", _labels(telemetry, part, name, code, klass), weights,
                          bounds, partial(_latencies, telemetry, part, name, field, bounds))
        for part in _parts(telemetry)
        for code, klass, field in CODES
    ]  # fmt: skip


def _carried_counts(telemetry: Telemetry, name: str) -> list[Block]:
    carried, backend = carried_of(telemetry.cloud), name.startswith("backend")
    ways = carried.ways(backend=backend)
    if not ways:
        return []
    return [
        Block("https_lb_rule", _way_labels(telemetry, ways, name), np.eye(len(ways)),
              partial(carried.counts, ways, backend=backend))
    ]  # fmt: skip


def _carried_latencies(telemetry: Telemetry, name: str) -> list[DistributionBlock]:
    carried, backend = carried_of(telemetry.cloud), name.startswith("backend")
    return [
        DistributionBlock("https_lb_rule", _way_labels(telemetry, [way], name), np.ones(1),
                          np.array(BOUNDS_MS), partial(carried.latencies, way, backend=backend))
        for way in carried.ways(backend=backend)
    ]  # fmt: skip


def _parts(telemetry: Telemetry) -> list[Part]:
    return [
        p for p in telemetry.world.parts
        if p.kind is PartKind.GKE and p.seed.behind_load_balancer and telemetry.world.receives(p)
    ]  # fmt: skip


def _counts(telemetry: Telemetry, part: Part, field: str, minutes: Ints) -> Floats:
    rate: Floats = getattr(telemetry.load(part, minutes), field)
    return 60.0 * rate[None, :]


def _latencies(
    telemetry: Telemetry, part: Part, name: str, field: str, bounds: Floats, minutes: Ints
) -> Moments:
    load = telemetry.load(part, minutes)
    rate: Floats = getattr(load, field)
    mean, sigma = shape_ms(load, field)
    extra = 1000 * PROXY_OVERHEAD_S if name == "total_latencies" else 2.0
    return moments(60.0 * rate, mean + extra, sigma, bounds)


def shape_ms(load: Load, field: str) -> tuple[Floats, Floats]:
    """(mean in ms, σ) of a response: whole answers, or refusals, which come at once."""
    ones = np.ones(load.minutes.shape)
    if field == "completed":
        return 1000.0 * load.e2e_s, load.e2e_sigma
    if field == "failed":
        return 700.0 * load.e2e_s, load.e2e_sigma
    return 9.0 * ones, 0.5 * ones


def _labels(telemetry: Telemetry, part: Part, name: str, code: str, klass: str) -> Table:
    project = telemetry.cloud.project
    service = f"hw-{part.tier}"
    metric = {
        "response_code_class": klass,
        "proxy_continent": list(CLIENTS),
        "client_country": [country for country, _ in CLIENTS.values()],
        "cache_result": "DISABLED",
        "protocol": "HTTP/2.0",
        "load_balancing_scheme": "EXTERNAL_MANAGED",
    }
    if name.endswith("count"):
        metric["response_code"] = code
    return table(
        len(CLIENTS),
        resource={
            "project_id": project.id,
            "region": "global",
            "forwarding_rule_name": NAME,
            "url_map_name": NAME,
            "target_proxy_name": NAME,
            "matched_url_path_rule": PATHS.get(part.tier, "UNMATCHED"),
            "backend_target_name": service,
            "backend_target_type": "BACKEND_SERVICE",
            "backend_name": f"{service}-neg",
            "backend_type": "NETWORK_ENDPOINT_GROUP",
            "backend_scope": part.seed.zone,
            "backend_scope_type": "ZONE",
        },
        metric=metric,
    )


def _way_labels(telemetry: Telemetry, ways: Sequence[Way], name: str) -> Table:
    metric = {
        "response_code_class": [str(way.status // 100 * 100) for way in ways],
        "proxy_continent": "America",
        "client_country": COUNTRY,
        "cache_result": "DISABLED",
        "protocol": [way.protocol for way in ways],
        "load_balancing_scheme": "EXTERNAL_MANAGED",
    }
    if name.endswith("count"):
        metric["response_code"] = [str(way.status) for way in ways]
    return table(
        len(ways),
        resource={
            "project_id": telemetry.cloud.project.id,
            "region": "global",
            "forwarding_rule_name": [way.forwarding_rule for way in ways],
            "url_map_name": [way.url_map for way in ways],
            "target_proxy_name": [way.proxy for way in ways],
            "matched_url_path_rule": [way.path_rule for way in ways],
            "backend_target_name": [way.service for way in ways],
            "backend_target_type": "BACKEND_SERVICE",
            "backend_name": [way.group.rpartition("/")[2] or NO_BACKEND for way in ways],
            "backend_type": ["NETWORK_ENDPOINT_GROUP" if w.group else "UNKNOWN" for w in ways],
            "backend_scope": [_zone(way.group) for way in ways],
            "backend_scope_type": ["ZONE" if way.group else "UNKNOWN" for way in ways],
        },
        metric=metric,
    )


def _zone(group: str) -> str:
    """Of a group's path; UNKNOWN of none."""
    return group.partition("/zones/")[2].partition("/")[0] or "UNKNOWN"
