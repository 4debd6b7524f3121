"""Who is affected when requests go elsewhere: rates, shares, and what the receiver has to carry.

Sentences for people, with the figures that they rest on. Requests are counted by tier, not by rule
of a URL map: of a place that is not a tier's only one, figures are upper bounds and say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.capacity import slice_capacity
from core.fleet import Fleet, FleetTier
from core.load_balancer import BackendService
from core.parts import total
from core.pricing import metered_share
from core.records import Snapshot
from core.specs import PartKind, TierSpec


def owner_of(snapshot: Snapshot, service: str) -> TierSpec | None:
    """The tier whose backend service that is; None: no tier's."""
    return next((s for s in snapshot.specs if s.backend_service == service and service), None)


def rate_of(snapshot: Snapshot, tier: str) -> float | None:
    """Requests/s that a tier gets now; None: not known."""
    load = (snapshot.loads or {}).get(tier)
    return load.requests_per_s if load else None


def all_requests(snapshot: Snapshot) -> float | None:
    """Requests/s that all tiers in the cloud get together; None: none reports any."""
    rates = [rate_of(snapshot, s.name) for s in snapshot.specs if not s.is_local]
    known = [r for r in rates if r is not None]
    return sum(known) if known else None


def moved_requests(
    snapshot: Snapshot, giver: TierSpec, moved_ratio: float, where: str, *, exact: bool
) -> tuple[str, float | None]:
    """How many requests go elsewhere: (a sentence, requests/s or None).

    Args:
        snapshot: tells the load.
        giver: the tier that gets fewer.
        moved_ratio: share (0–1) of its requests that moves.
        where: who gets them, in words.
        exact: False: the tier's requests come by other places too, so that it is at most this.
    """
    rate = rate_of(snapshot, giver.name)
    most = "" if exact else "at most "
    if rate is None:
        sentence = (
            f"{most}{moved_ratio:.0%} of {giver.title}'s requests go to {where}; how many requests"
            " it gets now is not known"
        )
        return sentence[0].upper() + sentence[1:], None
    moved = rate * moved_ratio
    whole = all_requests(snapshot)
    users = f", {moved / whole:.0%} of all requests to the tiers" if whole else ""
    sentence = (
        f"{most}{moved:,.1f} requests/s ({moved_ratio:.0%} of {giver.title}'s {rate:,.1f}{users})"
        f" go to {where}"
    )
    return sentence[0].upper() + sentence[1:], moved


def receiver(
    snapshot: Snapshot,
    fleet: Fleet,
    giver: TierSpec,
    taker: TierSpec,
    moved_per_s: float | None,
    *,
    exact: bool,
) -> Iterator[str]:
    """What the taking tier has to carry afterwards, and what is different for the clients."""
    tier = fleet.tier(taker.name)
    ready = serving_slices(tier)
    own = rate_of(snapshot, taker.name)
    if ready == 0:
        yield f"{taker.title} has no ready slice: what goes there gets no answer"
    elif own is None or moved_per_s is None or ready is None:
        yield f"What {taker.title} carries then is not known"
    else:
        after = own + moved_per_s
        limit = "" if exact else "at most "
        yield (
            f"{taker.title}: {own:,.1f} → {limit}{after:,.1f} requests/s on {ready:,} ready slices"
            f" ({own / ready:,.2f} → {limit}{after / ready:,.2f} each)"
        )
        yield from _capacity(snapshot, tier, ready, after)
    if giver.model and taker.model and giver.model != taker.model:
        yield f"Those clients are answered by {taker.model} instead of {giver.model}"


def _capacity(
    snapshot: Snapshot, tier: FleetTier, ready: int, requests_per_s: float
) -> Iterator[str]:
    """How full the taker is, its own mean request taken for all."""
    load = (snapshot.loads or {}).get(tier.name)
    capacity = slice_capacity(tier.spec, load, metered_share(tier))
    if capacity.tokens_per_s is None or load is None or not load.requests_per_s:
        yield f"The capacity of {tier.spec.title} is {capacity.source}"
        return
    if load.generation_tokens_per_s is None:
        yield f"How many tokens {tier.spec.title} generates is not known"
        return
    needed = load.generation_tokens_per_s / load.requests_per_s * requests_per_s
    there = ready * capacity.tokens_per_s
    bound = ", an upper bound" if capacity.source == "roofline" else ""
    yield (
        f"That takes {needed / there:.0%} of {tier.spec.title}'s capacity: {needed:,.0f} of"
        f" {there:,.0f} generated tokens/s ({capacity.source}{bound}), if requests are as long as"
        " its own"
    )


def serving_slices(tier: FleetTier) -> int | None:
    """Ready slices that stand behind the load balancer: Vertex's do not."""
    return total(p.slice_count.ready for p in tier.parts if p.spec.kind is not PartKind.VERTEX)


def health(service: BackendService) -> tuple[int, int] | None:
    """(healthy, all) endpoints of the groups that take traffic; None: not known."""
    healthy = every = 0
    for backend in service.backends:
        if backend.capacity_ratio == 0:
            continue
        if backend.healthy is None or backend.unhealthy is None:
            return None
        healthy += backend.healthy
        every += backend.healthy + backend.unhealthy
    return healthy, every


def redundancy(service: BackendService) -> str:
    """One sentence about what answers behind a backend service."""
    found = health(service)
    if found is None:
        return f"How many endpoints of {service.name} are healthy is not known"
    if found[1] == 0:
        return f"{service.name} has no endpoint that takes traffic: what goes there gets an error"
    sentence = f"{found[0]} of {found[1]} endpoints of {service.name} are healthy"
    return sentence + (": no redundancy is left" if found[0] == 1 else "")
