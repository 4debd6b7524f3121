"""Danger: requests are sent to where nobody answers, or where there is too little capacity.

What a tier takes over is counted in generated tokens/s: the giver's p95 of the last hour × the
share that moves, on top of what the taker generates now, × the safety factor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.actions.shift_traffic import VERB
from core.capacity import slice_capacity
from core.guards.capacity_left import p95_of
from core.guards.context import GuardContext
from core.load_balancer import LoadBalancer
from core.plans import Outcome, Plan, Step, Verdict
from core.pricing import metered_share
from core.records import Snapshot
from core.traffic_effect import health, owner_of, serving_slices
from core.traffic_rules import Division, shares_by_place


@dataclass(frozen=True, slots=True)
class _Gain:
    """A backend service that gets more; `part` of the giver's requests (0–1) moves to it."""

    service: str
    part: float


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block what would get no answer or too much; ask where that cannot be told."""
    gains = [g for step in plan.steps if step.verb == VERB for g in _gains(step)]
    if not gains:
        return _verdict(Outcome.PASS, "no tier takes over requests of another")
    if snapshot.load_balancer is None:
        why = "which backends are healthy is not known"
        return _verdict(Outcome.CONSENT, why, "the load balancer must be readable")
    parts: dict[str, float] = {}
    for gain in gains:  # of several places the one that moves most bounds the tier's share
        parts[gain.service] = max(parts.get(gain.service, 0.0), gain.part)
    found = [_judge(plan, snapshot, context, _Gain(s, p)) for s, p in parts.items()]
    worst = [Outcome.BLOCK, Outcome.CONSENT, Outcome.PASS]
    return min(found, key=lambda v: worst.index(v.outcome))


def _gains(step: Step) -> Iterator[_Gain]:
    url_map = step.resource.rsplit("/", 1)[-1]
    before = {p: Division(p, s) for p, s in shares_by_place(url_map, step.before).items()}
    for place, shares in shares_by_place(url_map, step.after).items():
        after = Division(place, shares)
        change = {s: after.ratio(s) - before[place].ratio(s) for s, _ in shares}
        gained = sum(c for c in change.values() if c > 0)
        # Of what the givers get here this share moves; a tier that has other places moves less.
        moved = max((-c / before[place].ratio(s) for s, c in change.items() if c < 0), default=0.0)
        for service, more in change.items():
            if more > 0:
                yield _Gain(service, moved * more / gained)


def _judge(plan: Plan, snapshot: Snapshot, context: GuardContext, gain: _Gain) -> Verdict:
    balancer = snapshot.load_balancer
    assert balancer is not None  # asked by the caller
    healthy = _healthy(balancer, gain.service)
    if healthy is None:
        why = f"how many endpoints of {gain.service} are healthy is not known"
        return _verdict(Outcome.CONSENT, why, "its health must be readable")
    if healthy == 0:
        why = f"no endpoint of {gain.service} is healthy and takes requests"
        return _verdict(Outcome.BLOCK, why, "send them elsewhere, or bring its backends up first")
    spec = owner_of(snapshot, gain.service)
    if spec is None:
        why = f"{gain.service} belongs to no tier: its capacity is not known"
        return _verdict(Outcome.CONSENT, why, "name it as a tier's backend_service")
    tier = context.fleet.tier(spec.name)
    load = (snapshot.loads or {}).get(spec.name)
    capacity = slice_capacity(spec, load, metered_share(tier))
    slices, demand = serving_slices(tier), p95_of(context.demand)
    own = load.generation_tokens_per_s if load else None
    if slices is None or demand is None or capacity.tokens_per_s is None or own is None:
        missing = [
            word
            for word, value in (
                ("its ready slices", slices),
                ("the demand of the last hour", demand),
                (f"its capacity ({capacity.source})", capacity.tokens_per_s),
                ("what it generates now", own),
            )
            if value is None
        ]
        why = f"whether {spec.title} can carry it is not known: {', '.join(missing)}"
        return _verdict(Outcome.CONSENT, why, "see Connections and heartwood.toml")
    needed = (own + demand * gain.part) * context.capacity_safety_factor
    available = slices * capacity.tokens_per_s
    lines = (
        f"{plan.request.tier}: p95 of the last hour {demand:,.0f} tokens/s × {gain.part:.0%} moved"
        f" = {demand * gain.part:,.0f} tokens/s",
        f"(+ {own:,.0f} of {spec.name} now) × {context.capacity_safety_factor:g}"
        f" = {needed:,.0f} tokens/s",
        *capacity.arithmetic,
        f"{slices} ready slices × {capacity.tokens_per_s:,.0f} tokens/s ({capacity.source})"
        f" = {available:,.0f} tokens/s",
        f"{needed:,.0f} {'≤' if needed <= available else '>'} {available:,.0f}",
    )
    if needed > available:
        share = f"{needed / available:.0%}" if available else "more than all"
        why = f"{spec.title} would need {share} of its capacity ({capacity.source})"
        return _verdict(Outcome.BLOCK, why, "shift less, or add slices there first", lines)
    why = f"{spec.title} needs {needed / available:.0%} of its capacity ({capacity.source})"
    return _verdict(Outcome.PASS, why, "", lines)


def _healthy(balancer: LoadBalancer, name: str) -> int | None:
    """Healthy endpoints that take requests; None: not known. No such service has none."""
    for service in balancer.backend_services:
        if service.name == name:
            found = health(service)
            return None if found is None else found[0]
    return 0


def _verdict(outcome: Outcome, reason: str, lift: str = "", lines: Sequence[str] = ()) -> Verdict:
    return Verdict("receiver_overloaded", outcome, reason, lift, tuple(lines))
