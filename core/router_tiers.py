"""What the router knows of each tier from a Snapshot: whether it serves, how busy, at what price.

Pure. Facts that no request changes are gathered once per Snapshot (`survey`); what a request makes
of them (its price, whether it fits) is computed from them. Unknown figures stay unknown: they
neither refuse a tier nor recommend it. The decision is `core/router.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core import tpu
from core.capacity import MeanRequest, capacity_for
from core.fleet import Fleet, FleetTier, State
from core.load_balancer import BackendService
from core.pricing import tier_rate, token_cost
from core.records import Snapshot, Source, TierLoad
from core.router_limits import RouterLimits
from core.router_request import RequestFeatures
from core.specs import TierSpec
from core.tier_address import address_of


@dataclass(frozen=True, slots=True)
class TierFacts:
    """One tier, as far as every request finds it the same.

    Attributes:
        url: base URL of its chat requests; "" while it is not serving.
        not_serving: why nothing may be sent to it; "": it serves.
        ready_slices: None: not known of all parts.
        load: None: not read, or too old to count.
        slots: requests that its server answers at once, where it says so.
        context_tokens: most that its server takes, where it says so.
        usd_per_slice_hour: list or configured rate; None: not priced.
        usd_per_million_now: at the load of now, as the other pages show it.
        unpriced: why there is no rate; "" where there is one.
    """

    spec: TierSpec
    url: str
    not_serving: str
    ready_slices: int | None
    load: TierLoad | None
    slots: int | None
    context_tokens: int | None
    usd_per_slice_hour: float | None
    usd_per_million_now: float | None
    unpriced: str

    @property
    def name(self) -> str:
        """The tier's name."""
        return self.spec.name

    @property
    def waiting_per_slice(self) -> float | None:
        """Waiting requests per ready slice; None: unknown."""
        if self.load is None or self.load.requests_waiting is None or not self.ready_slices:
            return None
        return self.load.requests_waiting / self.ready_slices


@dataclass(frozen=True, slots=True)
class RequestPrice:
    """What one request costs on a tier that is full; None: not known, `why` says why."""

    usd: float | None
    usd_per_million: float | None
    why: str


def survey(snapshot: Snapshot, fleet: Fleet, limits: RouterLimits) -> tuple[TierFacts, ...]:
    """All tiers in the order of the configuration; `fleet` is the snapshot's."""
    fresh = _load_is_fresh(snapshot, limits)
    return tuple(_facts(tier, snapshot, fresh=fresh) for tier in fleet.tiers)


def _load_is_fresh(snapshot: Snapshot, limits: RouterLimits) -> bool:
    state = snapshot.sources.get(Source.LOAD)
    age_s = None if state is None else state.age_s(snapshot.taken_at)
    return age_s is not None and age_s <= limits.stale_after_s


def _facts(tier: FleetTier, snapshot: Snapshot, *, fresh: bool) -> TierFacts:
    spec = tier.spec
    loads = snapshot.loads or {}
    address = address_of(spec, snapshot.load_balancer)
    rate = tier_rate(tier, snapshot.prices)
    server = snapshot.server if spec.is_local else None
    not_serving = _why_not_serving(tier, snapshot) or address.problem
    running = tier.chip_count.running
    slice_chips = tpu.chips(spec.topology) if spec.topology else 1
    priced = rate.usd_per_hour is not None and bool(running)
    return TierFacts(
        spec=spec,
        url="" if not_serving else address.url,
        not_serving=not_serving,
        ready_slices=tier.slice_count.ready,
        load=loads.get(spec.name) if fresh else None,
        slots=server.slots if server else None,
        context_tokens=server.context_tokens if server else None,
        usd_per_slice_hour=(rate.usd_per_hour or 0.0) / (running or 1) * slice_chips
        if priced
        else None,
        usd_per_million_now=token_cost(tier, rate, loads.get(spec.name)).blended_usd,
        unpriced=""
        if priced
        else rate.source
        if rate.usd_per_hour is None
        else "no chip of it runs",
    )


def _why_not_serving(tier: FleetTier, snapshot: Snapshot) -> str:
    """ "" only when something of it is known to be ready, and its backends are not all down."""
    ready = sum(part.slice_count.ready or 0 for part in tier.parts)
    if not ready:
        reason = next(iter(tier.reasons), "")
        if tier.state is State.UNKNOWN:
            return f"whether it serves is unknown: {reason}" if reason else "its state is unknown"
        if tier.state is State.OFF:
            return "it is off"
        return f"it is {tier.state.value}" + (f": {reason}" if reason else "")
    balancer, wanted = snapshot.load_balancer, tier.spec.backend_service
    if not wanted or balancer is None:
        return ""
    service = next((s for s in balancer.backend_services if s.name == wanted), None)
    if service is None:
        return f"the backend service {wanted} does not exist"
    return _why_no_backend(service)


def _why_no_backend(service: BackendService) -> str:
    """Why the load balancer would give a request to nobody; "": it would, or nobody can tell."""
    open_ = [b for b in service.backends if b.capacity_ratio != 0]
    if not open_:
        return f"{service.name} has no backend with capacity"
    if any(b.healthy is None or b.healthy > 0 for b in open_):
        return ""
    return f"no endpoint of {service.name} is healthy"


def price_of(facts: TierFacts, features: RequestFeatures) -> RequestPrice:
    """The request's share of a slice that is kept full with requests like it.

    USD = (USD/h of a slice ÷ 3600) × (generated tokens ÷ tokens/s of a full slice). It does not
    depend on the tier's load: by the price per token of now, which falls with each request, the
    busiest tier would draw all others. An upper bound of the speed makes it a lower bound.
    """
    hourly = facts.usd_per_slice_hour
    if hourly is None:
        return RequestPrice(None, None, facts.unpriced)
    shape = MeanRequest(features.prompt_tokens, features.requested_tokens)
    capacity = capacity_for(facts.spec, shape)
    if not capacity.tokens_per_s:
        return RequestPrice(None, None, capacity.source)
    usd = hourly / 3600 * features.requested_tokens / capacity.tokens_per_s
    why = f"${hourly:,.2f}/h per slice ÷ {capacity.tokens_per_s:,.0f} tokens/s ({capacity.source})"
    return RequestPrice(usd, usd / features.tokens * 1e6, why)


def why_busy(facts: TierFacts, limits: RouterLimits, in_flight: int) -> tuple[str, ...]:
    """What speaks against giving it more now; empty: nothing that is known.

    `in_flight`: requests of this router that it has not answered yet; they count at once, while the
    Snapshot tells of them seconds later.
    """
    found: list[str] = []
    if facts.slots is not None and in_flight >= facts.slots:
        found.append(f"all {facts.slots} slots of its server are taken by requests from here")
    load = facts.load
    if load is None:
        return tuple(found)
    waiting = facts.waiting_per_slice
    if waiting is not None and waiting > limits.waiting_per_slice:
        found.append(f"{waiting:,.1f} requests wait per slice, above {limits.waiting_per_slice:g}")
    aims = facts.spec.objectives
    shares = (
        (
            "its TensorCores are {} busy",
            load.tensorcore_utilisation_ratio,
            limits.utilisation_ratio,
        ),
        ("its KV cache is {} full", load.kv_cache_ratio, limits.kv_cache_ratio),
        ("{} of its requests fail", load.error_ratio, limits.error_ratio),
    )
    found += [f"{words.format(f'{v:.0%}')}, above {most:.0%}" for words, v, most in shares
              if v is not None and v > most]  # fmt: skip
    times = (
        ("time to first token", load.ttft.p95_ms, aims.ttft_p95_ms),
        ("latency", load.latency.p95_ms, aims.latency_p95_ms),
    )
    share = "" if limits.slo_ratio == 1 else f"{limits.slo_ratio:.0%} of "
    found += [
        f"its p95 {what} of {value:,.0f} ms is above {share}its objective of {aim:,.0f} ms"
        for what, value, aim in times
        if value is not None and aim is not None and value > aim * limits.slo_ratio
    ]
    return tuple(found)


def unknown_of(facts: TierFacts) -> Iterable[str]:
    """What nobody knows of it now, of all that could refuse it."""
    load = facts.load
    if load is None:
        yield "load"
        return
    if facts.waiting_per_slice is None:
        yield "queue"
    if load.ttft.p95_ms is None and facts.spec.objectives.ttft_p95_ms is not None:
        yield "time to first token"
    if load.latency.p95_ms is None and facts.spec.objectives.latency_p95_ms is not None:
        yield "latency"
