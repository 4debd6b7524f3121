"""What runs now, in dollars per hour and per million tokens.

List prices only: chips that run × the catalogue's price of a chip-hour, or the user's own price
for hardware that nobody bills. An unknown price stays unknown (None) and is never 0. What was
billed are `CostRow`s, what will be is `core/forecast.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from core.fleet import Fleet, FleetTier, Unassigned
from core.money import COMPUTE, VERTEX
from core.parts import FleetPart, State, total
from core.records import Price, PriceBasis, TierLoad
from core.specs import PartKind, TierSpec

HOURS_PER_MONTH: Final = 730  # 365 × 24 / 12, as cloud providers quote months
ON_DEMAND: Final = "OnDemand"
PREEMPTIBLE: Final = "Preemptible"
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rate:
    """A run rate.

    Attributes:
        usd_per_hour: None: not priced, `source` says why.
        basis: LIST, CONFIGURED, or ESTIMATED where a product's own price is not known.
        source: one sentence: which price × how many chips.
    """

    usd_per_hour: float | None
    basis: PriceBasis
    source: str

    @property
    def usd_per_day(self) -> float | None:
        """24 hours at this rate."""
        return None if self.usd_per_hour is None else self.usd_per_hour * 24

    @property
    def usd_per_month(self) -> float | None:
        """730 hours at this rate."""
        return None if self.usd_per_hour is None else self.usd_per_hour * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class TokenCost:
    """USD per million tokens; None: no tokens flow, or no price.

    `blended` spreads the cost over prompt and generated tokens, `generation` over generated alone.
    """

    blended_usd: float | None
    generation_usd: float | None
    source: str


def region_of(zone: str) -> str:
    """ "us-central1-c" → "us-central1"; a region stays as it is."""
    head, _, tail = zone.rpartition("-")
    return head if head.count("-") >= 1 and tail else zone


def find_price(
    prices: Iterable[Price] | None,
    generation: str,
    region: str,
    usage_type: str = ON_DEMAND,
    product: str = COMPUTE,
) -> Price | None:
    """The latest catalogue price of a chip-hour there; None: not known."""
    fitting = [
        p
        for p in prices or ()
        if (p.generation, p.region, p.usage_type, p.product)
        == (generation, region, usage_type, product)
    ]
    return max(fitting, key=lambda p: p.effective_at or _LONG_AGO, default=None)


def chips_rate(
    prices: Sequence[Price] | None,
    generation: str,
    zone: str,
    chips: int,
    spot_chips: int = 0,
    product: str = COMPUTE,
) -> Rate:
    """Rate of `chips` chips, of which `spot_chips` are preemptible, in that zone.

    A product without a price of its own is estimated at Compute's.
    """
    region = region_of(zone)
    parts: list[str] = []
    usd, basis = 0.0, PriceBasis.LIST
    for count, usage in ((chips - spot_chips, ON_DEMAND), (spot_chips, PREEMPTIBLE)):
        if count == 0 and (usage == PREEMPTIBLE or chips):
            continue
        price = find_price(prices, generation, region, usage, product)
        words = f"{usage}, " if product == COMPUTE else f"{product} {usage}, "
        if price is None and product != COMPUTE:
            price = find_price(prices, generation, region, usage)
            basis, words = (
                PriceBasis.ESTIMATED,
                f"{words}as on Compute Engine: no price of its own, ",
            )
        if price is None:
            why = (
                "the catalogue has not been read yet" if prices is None else "not in the catalogue"
            )
            return Rate(
                None, PriceBasis.LIST, f"not priced: {generation} {usage} in {region}: {why}"
            )
        usd += count * price.usd_per_chip_hour
        parts.append(
            f"{count:,} × ${price.usd_per_chip_hour:,.4g}/chip-hour ({words}SKU {price.sku_id})"
        )
    return Rate(usd, basis, " + ".join(parts))


def tier_rate(tier: FleetTier, prices: Sequence[Price] | None) -> Rate:
    """What the tier costs per hour as it runs now."""
    spec = tier.spec
    if spec.usd_per_hour is not None:
        return Rate(spec.usd_per_hour, PriceBasis.CONFIGURED, "the configured price of this tier")
    if spec.generation is None:
        return Rate(None, PriceBasis.CONFIGURED, "not priced: no price is configured for it")
    if tier.chip_count.running is None:
        return Rate(None, PriceBasis.LIST, "not priced: how many chips run is not known yet")
    rates = [
        _part_rate(spec.generation, spec.zone, part, prices) for part in tier.parts if part.slices
    ]
    rate = _sum(rates) if rates else chips_rate(prices, spec.generation, spec.zone, 0)
    return replace(rate, source=rate.source + _left_out(tier))


def _part_rate(generation: str, zone: str, part: FleetPart, prices: Sequence[Price] | None) -> Rate:
    # A stopped TPU VM keeps its place in the tier, but its chips are not billed.
    billed = [s for s in part.slices if s.state is not State.STOPPED]
    chips = sum(s.chips_there for s in billed)
    spot = sum(s.chips_there for s in billed if s.spot)
    if part.spec.kind is PartKind.VERTEX:
        return chips_rate(prices, generation, part.spec.location or zone, chips, spot, VERTEX)
    return chips_rate(prices, generation, zone, chips, spot)


def _sum(rates: Sequence[Rate]) -> Rate:
    """The sum; None as soon as one is not known, estimated as soon as one is."""
    unknown = next((r for r in rates if r.usd_per_hour is None), None)
    if unknown is not None:
        return unknown
    basis = next((r.basis for r in rates if r.basis is PriceBasis.ESTIMATED), rates[0].basis)
    known = [r.usd_per_hour for r in rates if r.usd_per_hour is not None]
    return Rate(sum(known), basis, " + ".join(r.source for r in rates))


def _left_out(tier: FleetTier) -> str:
    """What the number of chips rests on, where it is not simply what is there."""
    if any(s.state is State.UNKNOWN for s in tier.slices):
        return "; chips as GKE promises them: Kubernetes nodes have not been read yet"
    promised = tier.chip_count.promised
    return f"; without {promised:,} chips that are promised but not there" if promised else ""


def full_size_rate(spec: TierSpec, chips: int, prices: Sequence[Price] | None) -> Rate:
    """What the tier would cost per hour with that many chips, on demand."""
    if spec.usd_per_hour is not None:
        return Rate(spec.usd_per_hour, PriceBasis.CONFIGURED, "the configured price of this tier")
    if spec.generation is None:
        return Rate(None, PriceBasis.CONFIGURED, "not priced: no price is configured for it")
    return chips_rate(prices, spec.generation, spec.zone, chips)


def unassigned_rate(resource: Unassigned, prices: Sequence[Price] | None) -> Rate:
    """What a resource of no tier costs per hour; only its TPU chips are priced."""
    if resource.generation is None:
        return Rate(None, PriceBasis.LIST, "not priced: it holds no TPU that we know")
    spot = resource.chips if resource.spot else 0
    product = VERTEX if resource.kind == "Vertex endpoint" else COMPUTE
    return chips_rate(prices, resource.generation, resource.location, resource.chips, spot, product)


def fleet_rate(fleet: Fleet, prices: Sequence[Price] | None) -> Rate:
    """The sum over all tiers; None while the rate of a tier on TPUs is not known.

    Hardware of the user's own without a configured price is left out, and `source` says so.
    """
    rates = {tier.name: tier_rate(tier, prices) for tier in fleet.tiers}
    known = [r.usd_per_hour for r in rates.values() if r.usd_per_hour is not None]
    missing = [t for t in fleet.tiers if rates[t.name].usd_per_hour is None]
    source = "sum of the tiers' rates"
    if missing:
        source += f", without {', '.join(t.spec.title for t in missing)} (not priced)"
    if not known or any(t.spec.generation is not None for t in missing):
        return Rate(None, PriceBasis.LIST, f"not known: {source}")
    estimated = any(r.basis is PriceBasis.ESTIMATED for r in rates.values())
    return Rate(sum(known), PriceBasis.ESTIMATED if estimated else PriceBasis.LIST, source)


def token_cost(tier: FleetTier, rate: Rate, load: TierLoad | None) -> TokenCost:
    """USD per million tokens now: (USD/h ÷ 3600) ÷ (tokens/s) × 10⁶.

    Vertex exports no token metrics, so its share of the tier's chips is left out of the cost too.
    """
    if rate.usd_per_hour is None:
        return TokenCost(None, None, rate.source)
    share = metered_share(tier)
    if share is None:
        return TokenCost(None, None, "how many chips run is not known yet")
    usd_per_hour = rate.usd_per_hour * share
    if load is None or load.generation_tokens_per_s is None:
        return TokenCost(None, None, "tokens/s not known")
    generated = load.generation_tokens_per_s
    prompt = load.prompt_tokens_per_s
    both = None if prompt is None else prompt + generated
    source = f"${usd_per_hour:,.2f}/h ÷ tokens/s over the last {load.window_s / 60:.0f} min"
    if share < 1:
        source += f"; without Vertex ({1 - share:.0%} of the chips), which reports no tokens"
    return TokenCost(
        _per_million(usd_per_hour, both), _per_million(usd_per_hour, generated), source
    )


def token_change(
    tier: FleetTier, rate: Rate, load: TierLoad | None, after_usd_per_hour: float | None
) -> tuple[float | None, float | None]:
    """USD per million tokens of both kinds at the load of now: at `rate`, and at another one."""
    then = replace(rate, usd_per_hour=after_usd_per_hour)
    return token_cost(tier, rate, load).blended_usd, token_cost(tier, then, load).blended_usd


def metered_share(tier: FleetTier) -> float | None:
    """Share (0–1) of the running chips that are in parts which report tokens; None: unknown."""
    whole = tier.chip_count.running
    if whole is None:
        return None
    silent = total(p.chip_count.running for p in tier.parts if p.spec.kind is PartKind.VERTEX)
    if silent is None:
        return None
    return 1.0 if not whole else (whole - silent) / whole


def _per_million(usd_per_hour: float, tokens_per_s: float | None) -> float | None:
    if not tokens_per_s:
        return None
    return usd_per_hour / 3600 / tokens_per_s * 1e6
