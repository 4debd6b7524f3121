"""Danger: what serves now would not fit into what is left.

Needs no model of the hardware: how full the tier's own servers say they are, × slices before ÷
slices after, × the last hour's peak ÷ the demand now. It is a lower bound, since requests stay the
longer the fuller a server is; so it must stay well below full.
"""

from __future__ import annotations

from collections.abc import Mapping

from core import tpu
from core.guards.capacity_left import p95_of
from core.guards.change import is_teardown, slice_delta
from core.guards.context import GuardContext
from core.parts import total
from core.plans import Outcome, Plan, Verdict
from core.records import Snapshot, TierLoad
from core.specs import PartKind, TierSpec

KV_CACHE = "KV cache"
KV_CACHE_MOST_RATIO = 0.9  # fuller than this, servers put requests off
_LIFT = "wait for less demand, move traffic away, or remove fewer slices"


def judge(plan: Plan, snapshot: Snapshot, context: GuardContext) -> Verdict:
    """Block a removal after which servers would be too full; ask where nobody knows how full."""
    delta = slice_delta(plan)
    tier = next((t for t in context.fleet.tiers if t.name == plan.request.tier), None)
    if tier is None or delta >= 0 or is_teardown(plan):
        return _verdict(Outcome.PASS, "it takes no slices from a tier that goes on")
    # Vertex reports none of these figures: they and the slices are those of the other parts.
    ready = total(p.slice_count.ready for p in tier.parts if p.spec.kind is not PartKind.VERTEX)
    if ready is None:
        why = "how many slices are ready is not known"
        return _verdict(Outcome.CONSENT, why, "Kubernetes must be readable")
    load = (snapshot.loads or {}).get(tier.name)
    now = fullness(tier.spec, load, ready) if load is not None and ready else {}
    if not now:
        if ready == 0:
            return _verdict(Outcome.PASS, "no slice is ready now: nothing is put at risk")
        why = "how full the servers are is not known"
        return _verdict(Outcome.CONSENT, why, "Monitoring must be readable")
    left, peak = ready + delta, peak_ratio(p95_of(context.demand), load)
    after = {name: projected(ratio, ready, left, peak) for name, ratio in now.items()}
    limits = {name: _limit(name, context.capacity_safety_factor) for name in now}
    lines = tuple(
        f"{name} {ratio:.0%} now × {ready} ÷ {left} slices × {peak:.2f} (last hour's p95 ÷ now)"
        f" = {after[name]:.0%}; limit {limits[name]:.0%}"
        for name, ratio in now.items()
    )
    return _worst(after, limits, left, lines)


def _worst(
    after: Mapping[str, float], limits: Mapping[str, float], left: int, lines: tuple[str, ...]
) -> Verdict:
    over = [name for name in after if after[name] > limits[name]]
    worst = max(over or after, key=lambda name: (name != KV_CACHE, after[name]))
    why = f"{worst} would be at {after[worst]:.0%}" if left > 0 else "no slice would be left"
    if not over:
        return _verdict(Outcome.PASS, why, "", lines)
    if over == [KV_CACHE] and left > 0:
        why += ", though pages kept of ended requests may be in it"
        return _verdict(Outcome.CONSENT, why, _LIFT, lines)
    return _verdict(Outcome.BLOCK, why, _LIFT, lines)


def _limit(name: str, safety_factor: float) -> float:
    return KV_CACHE_MOST_RATIO if name == KV_CACHE else 1 / safety_factor


def fullness(spec: TierSpec, load: TierLoad, slices: int) -> Mapping[str, float]:
    """How full (0–1) the servers of so many slices are now, by each figure that they report."""
    found = {
        KV_CACHE: load.kv_cache_ratio,
        "TensorCore utilisation": load.tensorcore_utilisation_ratio,
        "running requests": _slots_used(spec, load, slices),
    }
    return {name: ratio for name, ratio in found.items() if ratio is not None}


def _slots_used(spec: TierSpec, load: TierLoad, slices: int) -> float | None:
    if load.requests_running is None or spec.max_sequences is None or slices < 1:
        return None
    servers = 1
    if spec.server_chips and spec.topology:
        servers = max(1, tpu.chips(spec.topology) // spec.server_chips)
    return load.requests_running / (slices * servers * spec.max_sequences)


def peak_ratio(demand_tokens_per_s: float | None, load: TierLoad | None) -> float:
    """How much more the last hour's p95 was than now; 1 when it was less or is not known."""
    generated = load.generation_tokens_per_s if load is not None else None
    if demand_tokens_per_s is None or not generated:
        return 1.0
    return max(1.0, demand_tokens_per_s / generated)


def projected(ratio: float, before: int, after: int, peak: float) -> float:
    """That fullness after the change, at the peak; infinite when none is left for what runs."""
    if after <= 0:
        return float("inf") if ratio > 0 else 0.0
    return ratio * before / after * peak


def _verdict(outcome: Outcome, reason: str, lift: str = "", lines: tuple[str, ...] = ()) -> Verdict:
    return Verdict("load_left", outcome, reason, lift, lines)
