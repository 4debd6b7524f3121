"""Which tier takes a chat request: a pure decision from the request and what is known of the tiers.

Rules, the first that finds a tier decides: what the request names; the edge, for short and simple
requests, when it can hold its objectives; the cheapest tier that is strong enough and not busy; a
weaker one that is not busy; the shortest queue; the edge when nothing else serves. A tier that is
not known to serve is never chosen. How a request is measured is `core/router_request.py`'s, what is
known of the tiers `core/router_tiers.py`'s, the rules in words `core/router_words.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from core.router_limits import RouterLimits
from core.router_request import RequestFeatures
from core.router_tiers import RequestPrice, TierFacts, price_of, unknown_of, why_busy

AUTO: Final = "auto"


class Rule(StrEnum):
    """What decided, in the order in which the rules are tried."""

    NAMED = "named"
    EDGE = "edge"
    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"
    OVERFLOW = "overflow"  # a weaker tier, since no strong enough one is free
    LEAST_BUSY = "least_busy"
    LAST_RESORT = "last_resort"  # the edge, since nothing else serves
    NONE = "none"  # nobody can take it


@dataclass(frozen=True, slots=True)
class Considered:
    """What became of one tier in a decision.

    Attributes:
        why: why it was chosen, refused, or stands behind the chosen one.
        serves: False: nothing may be sent to it now.
        usd, usd_per_million: what the request would cost there at most, see `RequestPrice`; None:
            unknown, `price_why` says why.
        usd_per_million_now: at the tier's load of now.
        waiting_per_slice, utilisation_ratio: None: unknown.
        unknown: figures that nobody has, of those that could have refused it.
    """

    tier: str
    title: str
    chosen: bool
    serves: bool
    why: str
    usd: float | None
    usd_per_million: float | None
    price_why: str
    usd_per_million_now: float | None
    waiting_per_slice: float | None
    utilisation_ratio: float | None
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request goes; `tier` and `url` are "" when nobody can take it.

    `need` is how strong a tier it needs: SIMPLE, MODERATE or COMPLEX, whatever the rule.
    """

    tier: str
    url: str
    rule: Rule
    reason: str
    need: Rule
    features: RequestFeatures
    considered: tuple[Considered, ...]
    known_at: datetime


@dataclass(frozen=True, slots=True)
class _Tier:
    """A tier before one request. `fits`: "" or why it cannot take it, whoever asks."""

    facts: TierFacts
    price: RequestPrice
    fits: str
    strong: bool
    weak_why: str
    busy: tuple[str, ...]

    @property
    def able(self) -> bool:
        return not self.facts.not_serving and not self.fits

    @property
    def by_price(self) -> tuple[float, float, str]:
        """The known and cheaper first, then the smaller."""
        usd = self.price.usd_per_million
        size = self.facts.spec.model_parameters
        return (
            math.inf if usd is None else usd,
            math.inf if size is None else size,
            self.facts.name,
        )


def need_of(features: RequestFeatures, limits: RouterLimits) -> Rule:
    """How strong a tier the request needs."""
    if features.score >= limits.complex_score or features.tokens >= limits.complex_tokens:
        return Rule.COMPLEX
    if features.score < limits.simple_score and features.tokens < limits.simple_tokens:
        return Rule.SIMPLE
    return Rule.MODERATE


def decide(
    features: RequestFeatures,
    tiers: Sequence[TierFacts],
    limits: RouterLimits,
    known_at: datetime,
    in_flight: Mapping[str, int],
) -> Decision:
    """Where the request goes, and what became of every tier.

    Args:
        tiers: all that there are, as `core.router_tiers.survey` gives them.
        known_at: when the snapshot that they come from was taken.
        in_flight: requests by tier that this router has sent and that are not answered yet.
    """
    need = need_of(features, limits)
    found = [_before(t, features, need, limits, in_flight.get(t.name, 0)) for t in tiers]
    edge_why = {t.facts.name: _edge_refuses(t, features, need, limits) for t in found}
    rule, chosen, reason = _choose(found, features, need, edge_why)
    return Decision(
        tier=chosen.facts.name if chosen else "",
        url=chosen.facts.url if chosen else "",
        rule=rule,
        reason=reason,
        need=need,
        features=features,
        considered=tuple(
            _considered(t, chosen, reason, edge_why[t.facts.name], rule) for t in found
        ),
        known_at=known_at,
    )


def _before(
    facts: TierFacts, features: RequestFeatures, need: Rule, limits: RouterLimits, in_flight: int
) -> _Tier:
    fits = ""
    if facts.context_tokens is not None and features.tokens > facts.context_tokens:
        fits = f"{features.tokens:,} tokens do not fit its context of {facts.context_tokens:,}"
    least = {
        Rule.SIMPLE: limits.simple_parameters,
        Rule.MODERATE: limits.moderate_parameters,
        Rule.COMPLEX: limits.complex_parameters,
    }[need]
    size = facts.spec.model_parameters
    weak_why = ""
    if size is None:
        weak_why = f"the size of its model is unknown, and a {need} request needs {_short(least)}"
    elif size < least:
        weak_why = (
            f"its model has {_short(size)} parameters, a {need} request needs {_short(least)}"
        )
    return _Tier(
        facts, price_of(facts, features), fits, not weak_why, weak_why,
        why_busy(facts, limits, in_flight),
    )  # fmt: skip


def _edge_refuses(tier: _Tier, features: RequestFeatures, need: Rule, limits: RouterLimits) -> str:
    """Why the edge does not come first for this request; "": it does, if it is an edge."""
    if not limits.edge_first:
        return "the settings do not put it first"
    if need is not Rule.SIMPLE:
        return f"it takes simple requests first, and this one is {need}"
    if features.prompt_tokens > limits.edge_prompt_tokens:
        return (
            f"the prompt has about {features.prompt_tokens:,} tokens, and it takes up to"
            f" {limits.edge_prompt_tokens:,}"
        )
    if features.requested_tokens > limits.edge_requested_tokens:
        return (
            f"{features.requested_tokens:,} tokens are asked for, and it takes up to"
            f" {limits.edge_requested_tokens:,}"
        )
    return tier.busy[0] if tier.busy else ""


def _choose(
    tiers: Sequence[_Tier], features: RequestFeatures, need: Rule, edge_why: Mapping[str, str]
) -> tuple[Rule, _Tier | None, str]:
    """The first rule that finds a tier."""
    if features.model not in ("", AUTO):
        return _named(tiers, features.model)
    able = [t for t in tiers if t.able]
    edges = [t for t in able if t.facts.spec.is_local]
    for edge in edges:
        if not edge_why[edge.facts.name]:
            return Rule.EDGE, edge, _why_edge(edge)
    others = _for_everybody([t for t in able if not t.facts.spec.is_local])
    free = [t for t in others if not t.busy]
    strong = [t for t in free if t.strong]
    if strong:
        best = min(strong, key=lambda t: t.by_price)
        return need, best, _why_best(best, strong, need)
    if free:
        best = max(free, key=lambda t: (t.facts.spec.model_parameters or 0.0, t.facts.name))
        return Rule.OVERFLOW, best, f"no tier that is strong enough for a {need} request is free"
    if others:
        best = min(others, key=_queue)
        return Rule.LEAST_BUSY, best, "every tier is busy, and its queue is the shortest known"
    if edges:
        return Rule.LAST_RESORT, edges[0], "no other tier serves"
    return Rule.NONE, None, "no tier can take it now"


def _for_everybody(tiers: Sequence[_Tier]) -> Sequence[_Tier]:
    """Those for production; the others only where there are none of them."""
    return [t for t in tiers if t.facts.spec.production] or tiers


def _named(tiers: Sequence[_Tier], name: str) -> tuple[Rule, _Tier | None, str]:
    wanted = next((t for t in tiers if t.facts.name == name), None)
    if wanted is None:
        return Rule.NAMED, None, f"there is no tier {name}"
    if not wanted.able:
        why = wanted.facts.not_serving or wanted.fits
        return Rule.NAMED, None, f"the request names {wanted.facts.spec.title}: {why}"
    return Rule.NAMED, wanted, "the request names it"


def _why_edge(edge: _Tier) -> str:
    unknown = ", ".join(unknown_of(edge.facts))
    if unknown:
        return (
            f"short and simple, and nothing known of this machine refuses it (unknown: {unknown})"
        )
    return "short and simple, and this machine holds its objectives"


def _why_best(best: _Tier, strong: Sequence[_Tier], need: Rule) -> str:
    if len(strong) == 1:
        return f"the only free tier that is strong enough for a {need} request"
    if best.price.usd_per_million is None:
        return f"the smallest free tier that is strong enough for a {need} request; none is priced"
    return f"the cheapest free tier that is strong enough for a {need} request"


def _queue(tier: _Tier) -> tuple[float, bool, str]:
    waiting = tier.facts.waiting_per_slice
    return (math.inf if waiting is None else waiting, not tier.strong, tier.facts.name)


def _considered(
    tier: _Tier, chosen: _Tier | None, reason: str, edge_why: str, rule: Rule
) -> Considered:
    facts = tier.facts
    load = facts.load
    return Considered(
        tier=facts.name,
        title=facts.spec.title,
        chosen=tier is chosen,
        serves=not facts.not_serving,
        why=reason if tier is chosen else _why_not(tier, chosen, edge_why, rule),
        usd=tier.price.usd,
        usd_per_million=tier.price.usd_per_million,
        price_why=tier.price.why,
        usd_per_million_now=facts.usd_per_million_now,
        waiting_per_slice=facts.waiting_per_slice,
        utilisation_ratio=None if load is None else load.tensorcore_utilisation_ratio,
        unknown=tuple(unknown_of(facts)),
    )


def _why_not(tier: _Tier, chosen: _Tier | None, edge_why: str, rule: Rule) -> str:
    """Why a tier was not chosen, the gravest reason first."""
    facts = tier.facts
    if facts.not_serving or tier.fits:
        return facts.not_serving or tier.fits
    if rule is Rule.NAMED:
        return "the request names another"
    if facts.spec.is_local:
        return edge_why or "another tier of this machine comes first"
    if rule is Rule.EDGE:
        return "the edge comes first"
    if not facts.spec.production and chosen and chosen.facts.spec.production:
        return "it is not for production, so it takes only what names it"
    if tier.busy:
        return "; ".join(tier.busy)
    if not tier.strong:
        return tier.weak_why
    mine, best = tier.price.usd_per_million, chosen.price.usd_per_million if chosen else None
    if mine is None and best is not None:
        return f"its price is unknown: {tier.price.why}"
    if mine is not None and best is not None and mine > best:
        return f"dearer: ${mine:,.2f} per million tokens when full, against ${best:,.2f}"
    return "larger than needed"


def _short(parameters: float) -> str:
    """8.03e9 → "8B"."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if parameters >= size:
            return f"{parameters / size:.3g}{letter}"
    return f"{parameters:.3g}"
