"""Builders of records for tests: a whole Snapshot by scenario, and the pieces that vary.

Deterministic: the same arguments give the same records. `make_snapshot("normal")` is the default
world of heartwood.toml, "full-fleet" has all 10,504 chips, "empty" a project with nothing in it,
"unread" the first second after the start. No Streamlit, no I/O but the settings file. Builders of
single resources and of series stand in modules of their own and are all offered from here.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from core import tpu
from core.money import VERTEX
from core.records import (
    Backend,
    BackendService,
    Budget,
    ChipQuota,
    Cluster,
    CostRow,
    ForwardingRule,
    LoadBalancer,
    PathMatcher,
    PathRule,
    Price,
    Problem,
    Quantiles,
    ServerStatus,
    Snapshot,
    Source,
    SourceState,
    TierLoad,
    UrlMap,
)
from core.specs import TIER_LABEL, Objectives, PartKind, PartSpec, TierSpec
from tests.make_inventory import (
    CLUSTER,
    CLUSTER_LOCATION,
    NOW,
    make_chips,
    make_endpoint,
    make_events,
    make_hosts,
    make_pods,
    make_pools,
    make_tpu_vm,
    make_workloads,
)
from tests.make_series import make_annotations, make_series, make_window

__all__ = [
    "NOW",
    "ROOT",
    "make_annotations",
    "make_budgets",
    "make_chips",
    "make_costs",
    "make_endpoint",
    "make_events",
    "make_failure",
    "make_hosts",
    "make_load_balancer",
    "make_loads",
    "make_pods",
    "make_pools",
    "make_prices",
    "make_series",
    "make_server",
    "make_snapshot",
    "make_sources",
    "make_specs",
    "make_tpu_vm",
    "make_window",
    "make_workloads",
    "slice_chips",
]

ROOT = Path(__file__).resolve().parent.parent

_HOURLY = {Source.PRICES: 3600.0, Source.COSTS: 3600.0, Source.BUDGETS: 3600.0}


def make_specs() -> tuple[TierSpec, ...]:
    """The tiers of heartwood.toml, without the validation that control/ adds."""
    body = tomllib.loads((ROOT / "heartwood.toml").read_text())
    return tuple(_spec(dict(tier)) for tier in body["tiers"])


def _spec(tier: dict[str, Any]) -> TierSpec:
    parts = tuple(
        PartSpec(**{**part, "kind": PartKind(part["kind"])}) for part in tier.pop("parts")
    )
    objectives = Objectives(**tier.pop("objectives", {}))
    return TierSpec(parts=parts, objectives=objectives, **tier)


def make_sources(now: datetime = NOW, age_s: float = 6) -> dict[Source, SourceState]:
    """Every source read with success `age_s` seconds ago."""
    at = now - timedelta(seconds=age_s)
    return {
        source: SourceState(
            source,
            interval_s=_HOURLY.get(source, 10.0),
            read_at=at,
            tried_at=at,
            latency_ms=18.0 + 7 * i,
            identity="anonymous",
            endpoint="127.0.0.1:9081",
        )
        for i, source in enumerate(Source)
    }


def make_failure(
    snapshot: Snapshot, source: Source, *, keep: bool = True, for_s: float = 240
) -> Snapshot:
    """The same snapshot with one source failing; `keep` False: it was never read at all."""
    now = snapshot.taken_at
    since = now - timedelta(seconds=for_s)
    state = replace(
        snapshot.sources[source],
        read_at=since if keep else None,
        tried_at=now - timedelta(seconds=2),
        failing_since=since,
        latency_ms=snapshot.sources[source].latency_ms if keep else None,
        problem=Problem(
            "Unavailable",
            f"{source.value}: no connection to 127.0.0.1:9081",
            resource="127.0.0.1:9081",
            hint="Start it with `make run`, or check HEARTWOOD_EMULATOR_PORT.",
            retryable=True,
        ),
    )
    changed = replace(snapshot, sources={**snapshot.sources, source: state})
    return changed if keep else replace(changed, **{_FIELDS[source]: None})


_FIELDS = {
    Source.GKE: "node_pools",
    Source.KUBE: "hosts",
    Source.TPU: "tpu_vms",
    Source.VERTEX: "endpoints",
    Source.LOAD_BALANCER: "load_balancer",
    Source.LOAD: "loads",
    Source.CHIPS: "chips",
    Source.PRICES: "prices",
    Source.COSTS: "costs",
    Source.BUDGETS: "budgets",
    Source.INFERENCE: "server",
    Source.ALERTS: "alerts",
    Source.QUOTAS: "quotas",
    Source.MACHINE_TYPES: "machine_types",
    Source.RESERVATIONS: "reservations",
    Source.RECOMMENDER: "recommendations",
}


def make_snapshot(scenario: str = "normal", now: datetime = NOW) -> Snapshot:
    """A whole snapshot: "normal", "full-fleet", "empty" or "unread"."""
    specs = make_specs()
    if scenario == "unread":
        sources = {s: SourceState(s, interval_s=_HOURLY.get(s, 10.0)) for s in Source}
        return Snapshot(now, specs, sources)
    base = Snapshot(
        now, specs, make_sources(now), server=make_server(), prices=make_prices(), alerts=(),
        quotas=(ChipQuota("us-central1", "TPU7x", 20_000),), reservations=(), recommendations=(),
        machine_types={"us-central1-c": frozenset({"tpu7x-standard-4t"})},
    )  # fmt: skip
    if scenario == "empty":
        return replace(
            base, clusters=(), node_pools=(), hosts=(), workloads=(), pods=(), kube_events=(),
            tpu_vms=(), endpoints=(), load_balancer=LoadBalancer((), (), ()), loads={},
            chips=(), costs=(), budgets=(),
        )  # fmt: skip
    pools = tuple(make_pools(large=scenario == "full-fleet"))
    hosts = tuple(h for pool in pools for h in make_hosts(pool))
    large = scenario == "full-fleet"
    return replace(
        base,
        clusters=(Cluster(CLUSTER, CLUSTER_LOCATION, "1.34.1-gke.3084001", "RUNNING", ""),),
        node_pools=pools,
        hosts=hosts,
        workloads=make_workloads(large),
        pods=tuple(make_pods(hosts)),
        kube_events=make_events(now),
        tpu_vms=(make_tpu_vm(),),
        endpoints=(make_endpoint(),),
        load_balancer=make_load_balancer(),
        loads=make_loads(now, large),
        chips=tuple(make_chips(hosts)),
        costs=tuple(make_costs(now.date())),
        budgets=make_budgets(),
    )


def make_loads(now: datetime = NOW, large: bool = False) -> dict[str, TierLoad]:
    """What the tiers carry; large carries nothing unless it runs, and is then absent."""
    figures = {
        "local": (0.4, 0.0, 310.0, 4200.0, 0.31, None),
        "small": (412.0, 0.0004, 96.0, 1450.0, 0.5, 0.66),
        "medium": (206.0, 0.0032, 420.0, 8900.0, 0.71, 0.78),
        "dev": (0.9, 0.0, 240.0, 3100.0, 0.08, 0.52),
    }
    if large:
        figures["large"] = (88.0, 0.0001, 730.0, 12100.0, 0.49, 0.81)
    return {
        tier: TierLoad(
            tier, now - timedelta(seconds=6), 300, rate, errors,
            Quantiles(ttft * 0.5, ttft, ttft * 1.7), Quantiles(lat * 0.45, lat, lat * 1.5),
            rate * 900, rate * 240, core, core * 1.1, hbm, rate / 3, 2.0, 0.4,
            16 if tier == "small" else None,
        )
        for tier, (rate, errors, ttft, lat, core, hbm) in figures.items()
    }  # fmt: skip


def make_load_balancer(unhealthy: int = 1) -> LoadBalancer:
    """Three backend services behind one URL map."""

    def service(tier: str, groups: int, bad: int) -> BackendService:
        backends = tuple(
            Backend(f"neg-{tier}-{i}", "RATE", 1.0, 16 - (bad if i == 0 else 0), bad * (i == 0))
            for i in range(groups)
        )
        return BackendService(
            f"hw-{tier}", "HTTP2", "EXTERNAL_MANAGED", 600, (f"hw-{tier}-ready",), backends
        )

    services = (service("small", 3, 0), service("medium", 4, unhealthy), service("large", 1, 0))
    rules = (
        PathRule(("/medium/*", "/v1/medium/*"), "hw-medium"),
        PathRule(("/large/*",), "hw-large"),
    )
    matcher = PathMatcher("llm", ("llm.example.com",), "hw-small", rules)
    return LoadBalancer(
        (ForwardingRule("hw-front", "203.0.113.10", "443", "EXTERNAL_MANAGED", "hw-proxy"),),
        (UrlMap("hw-map", "hw-small", (matcher,)),),
        services,
    )


def make_prices() -> tuple[Price, ...]:
    """List prices of the two generations in use, on Compute and on Vertex."""
    vertex = Price("EE55-FF66", "Online Prediction TPU7x", "TPU7x", "us-central1", "OnDemand", 12.0,
                   NOW, VERTEX)  # fmt: skip
    return (
        Price("AA11-BB22", "TPU7x chip hour", "TPU7x", "us-central1", "OnDemand", 12.0, NOW),
        Price("CC33-DD44", "TPU v6e chip hour", "v6e", "us-central1", "OnDemand", 2.7, NOW),
        vertex,
    )


def make_costs(today: date, days: int = 31) -> Iterable[CostRow]:
    """Daily rows of three tiers and some without a label; the last two days are not complete."""
    chips = {"small": (256, 12.0), "medium": (1024, 12.0), "dev": (8, 2.7)}
    for back in range(days - 1, -1, -1):
        day = today - timedelta(days=back)
        share = 0.55 if back == 0 else 0.97 if back == 1 else 1.0
        for tier, (size, price) in chips.items():
            usage = size * 24 * share * (1 + 0.04 * math.sin(back))
            sku, name = ("CC33-DD44", "TPU v6e") if tier == "dev" else ("AA11-BB22", "TPU7x")
            yield CostRow(day, tier, "Compute Engine", sku, f"{name} chip hours", usage * price,
                          -0.05 * usage * price, usage, "hour", back > 1)  # fmt: skip
        yield CostRow(day, "", "Cloud Logging", "log", "Log storage", 212.0 * share, 0.0,
                      420.0, "gibibyte", back > 1)  # fmt: skip


def make_budgets() -> tuple[Budget, ...]:
    """A budget per priced tier."""
    amounts: Mapping[str, float] = {"small": 2.3e6, "medium": 9.2e6, "dev": 16500.0}
    return tuple(
        Budget(f"b-{t}", f"{t} tier", usd, (0.5, 0.9, 1.0), {TIER_LABEL: t}, "MONTH")
        for t, usd in amounts.items()
    )


def make_server(ready: bool = True) -> ServerStatus:
    """Our own server."""
    return ServerStatus(
        "http://127.0.0.1:8080", ready, "ready" if ready else "compiling decode (3 of 5)",
        "SmolLM2-135M-Instruct", 134_515_008, ("TFRT_CPU_0",), "float32", 4, 2048, 512.0, 0,
    )  # fmt: skip


def slice_chips(spec: TierSpec) -> int:
    """Chips in one slice of the tier; 1 for local."""
    return tpu.chips(spec.topology) if spec.topology else 1
