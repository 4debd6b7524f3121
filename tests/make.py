"""Builders of records for tests: a whole Snapshot by scenario, and the pieces that vary.

Deterministic: the same arguments give the same records. `make_snapshot("normal")` is the default
world of heartwood.toml, "full-fleet" has all 10,504 chips, "empty" a project with nothing in it,
"unread" the first second after the start. No Streamlit, no I/O but the settings file.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from core import tpu
from core.records import (
    Backend,
    BackendService,
    Budget,
    ChipReading,
    Cluster,
    CostRow,
    DeployedModel,
    Endpoint,
    ForwardingRule,
    Host,
    KubeEvent,
    LoadBalancer,
    NodePool,
    PathMatcher,
    PathRule,
    Pod,
    Price,
    Problem,
    Quantiles,
    ServerStatus,
    Snapshot,
    Source,
    SourceState,
    TierLoad,
    TpuVm,
    UrlMap,
    Workload,
)
from core.series import UNITS, Annotation, Series, Signal, Window
from core.specs import TIER_LABEL, Objectives, PartKind, PartSpec, TierSpec

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
ROOT = Path(__file__).resolve().parent.parent

_CLUSTER = "hw-serving"
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
}


def make_snapshot(scenario: str = "normal", now: datetime = NOW) -> Snapshot:
    """A whole snapshot: "normal", "full-fleet", "empty" or "unread"."""
    specs = make_specs()
    if scenario == "unread":
        sources = {s: SourceState(s, interval_s=_HOURLY.get(s, 10.0)) for s in Source}
        return Snapshot(now, specs, sources)
    base = Snapshot(now, specs, make_sources(now), server=make_server(), prices=make_prices())
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
        clusters=(Cluster(_CLUSTER, "us-central1", "1.34.1-gke.3084001", "RUNNING", ""),),
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


def make_pools(large: bool = False) -> Iterable[NodePool]:
    """GKE node pools of small (3 × 16 nodes), medium (64 × 4) and, if asked, large (36 × 64)."""
    shapes = [("small", "2x2x1", 3, 16), ("medium", "2x2x4", 64, 4)]
    if large:
        shapes.append(("large", "4x8x8", 36, 64))
    for tier, topology, pools, nodes in shapes:
        for i in range(pools):
            yield NodePool(
                f"hw-{tier}-{i:02d}", _CLUSTER, "us-central1", ("us-central1-c",),
                "tpu7x-standard-4t", topology, nodes, "RUNNING", "", "1.34.1-gke.3084001",
                {TIER_LABEL: tier, "cloud.google.com/gke-tpu-topology": topology}, etag=f"e{i}",
            )  # fmt: skip


def make_hosts(pool: NodePool) -> Iterable[Host]:
    """The pool's nodes, all ready."""
    for i in range(pool.node_count):
        yield Host(
            f"gke-{_CLUSTER}-{pool.name}-{i:04d}", pool.cluster, pool.name, pool.zones[0],
            pool.machine_type, "tpu7x", pool.topology or "", 4, True, "", True,
            NOW - timedelta(days=12), pool.labels,
        )  # fmt: skip


def make_chips(hosts: Iterable[Host], silent_every: int = 97) -> Iterable[ChipReading]:
    """Four readings per host; one host in `silent_every` sends none."""
    for i, host in enumerate(hosts):
        if i % silent_every == silent_every - 1:
            continue
        for chip in range(host.chips):
            wave = 0.55 + 0.3 * math.sin(i / 9) + 0.08 * math.sin(i * 7 + chip)
            yield ChipReading(
                host.name, str(chip), min(0.98, max(0.0, wave)), 192e9 * (0.6 + 0.1 * wave), 206e9
            )


def make_loads(now: datetime = NOW, large: bool = False) -> dict[str, TierLoad]:
    """What the tiers carry; large carries nothing unless it runs, and is then absent."""
    figures = {
        "local": (0.4, 0.0, 310.0, 4200.0, 0.31, None),
        "small": (412.0, 0.0004, 96.0, 1450.0, 0.57, 0.66),
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


def make_workloads(large: bool = False) -> tuple[Workload, ...]:
    """One serving workload per GKE tier."""
    rows = [("small", "Deployment", 48), ("medium", "LeaderWorkerSet", 64)]
    if large:
        rows.append(("large", "LeaderWorkerSet", 36))
    return tuple(
        Workload(f"serve-{t}", t, _CLUSTER, kind, "vllm/vllm-tpu:v0.11.1", n, n, {TIER_LABEL: t})
        for t, kind, n in rows
    )


def make_pods(hosts: Iterable[Host]) -> Iterable[Pod]:
    """One serving pod per host."""
    for i, host in enumerate(hosts):
        tier = host.labels[TIER_LABEL]
        yield Pod(
            f"serve-{tier}-{i:05d}", tier, host.cluster, host.name, "Running", True, i % 3, "", {}
        )


def make_events(now: datetime = NOW) -> tuple[KubeEvent, ...]:
    """A normal and a warning event."""
    return (
        KubeEvent(now - timedelta(minutes=4), _CLUSTER, "small", "Normal", "Pulled",
                  "Pod/serve-small-00003", "Container image already present", 1),
        KubeEvent(now - timedelta(minutes=31), _CLUSTER, "medium", "Warning", "Unhealthy",
                  "Pod/serve-medium-00012", "Readiness probe failed: HTTP 503", 4),
    )  # fmt: skip


def make_tpu_vm() -> TpuVm:
    """The dev tier's only slice."""
    return TpuVm("hw-dev-00", "us-central1-b", "READY", "HEALTHY", "v6e-8", "2x4",
                 "v2-alpha-tpuv6e", 1, NOW - timedelta(days=40), {TIER_LABEL: "dev"})  # fmt: skip


def make_endpoint(replicas: int = 16) -> Endpoint:
    """The Vertex part of small."""
    model = DeployedModel("7301", "llama-8b", "tpu7x-standard-4t", "2x2x1", replicas, replicas, 1.0)
    return Endpoint("4410", "hw-small-vertex", "us-central1", (model,), {TIER_LABEL: "small"})


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
    """List prices of the two generations in use."""
    return (
        Price("AA11-BB22", "TPU7x chip hour", "TPU7x", "us-central1", "OnDemand", 12.0, NOW),
        Price("CC33-DD44", "TPU v6e chip hour", "v6e", "us-central1", "OnDemand", 2.7, NOW),
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


def make_window(hours: float = 24, now: datetime = NOW, step_s: int = 300) -> Window:
    """The last hours, aligned to the step."""
    end = datetime.fromtimestamp(now.timestamp() // step_s * step_s, UTC)
    return Window(end - timedelta(hours=hours), end, step_s)


def make_series(
    tier: str, signal: Signal, window: Window, level: float = 1.0, gap: tuple[int, int] = (0, 0)
) -> Series:
    """A daily wave around `level`; the steps of `gap` (from, to) have no point."""
    steps = int((window.end - window.start).total_seconds() // window.step_s)
    times = tuple(window.start + timedelta(seconds=window.step_s * (i + 1)) for i in range(steps))
    values = tuple(
        None if gap[0] <= i < gap[1] else level * (1 + 0.3 * math.sin(i / 30) + 0.05 * math.sin(i))
        for i in range(steps)
    )
    return Series(tier, signal, window, times, values, UNITS[signal])


def make_annotations(window: Window) -> tuple[Annotation, ...]:
    """One of our own actions and one of the cloud's."""
    span = window.end - window.start
    return (
        Annotation(window.start + span * 0.3, "small", "small scaled 47 → 48 slices", "heartwood"),
        Annotation(window.start + span * 0.7, "", "GKE upgraded the control plane", "cloud"),
    )


def slice_chips(spec: TierSpec) -> int:
    """Chips in one slice of the tier; 1 for local."""
    return tpu.chips(spec.topology) if spec.topology else 1
