"""One slice at its limit beside others that have room, and whether a cached prefix draws requests.

Chips tell that requests are spread unevenly; the servers' own counts tell why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from core.finding import Finding, Severity
from core.fleet import FleetSlice, FleetTier
from core.records import ServerReading, Snapshot, TierLoad

_HOT_RATIO: Final = 0.9  # TensorCore utilisation of one slice
_GAP_RATIO: Final = 0.2  # by which the middle slice runs at less
_FEWEST_SLICES: Final = 4  # of fewer, one alone tells little
_MORE_CACHED_RATIO: Final = 0.15  # of its prompt tokens, than of the middle server's


def uneven_findings(tier: FleetTier, snapshot: Snapshot) -> Iterable[Finding]:
    """That one slice runs at its limit while the others have room, with the cause if it is told."""
    used: list[tuple[float, str, FleetSlice]] = []
    for one in tier.slices:
        ratios = [r.tensorcore_utilisation_ratio for h in one.hosts for r in h.readings]
        known = [ratio for ratio in ratios if ratio is not None]
        if known:
            used.append((sum(known) / len(known), one.name, one))
    if len(used) < _FEWEST_SLICES:
        return
    used.sort(key=lambda entry: entry[:2])
    (hottest, name, hot), (middle, _, _) = used[-1], used[len(used) // 2]
    if hottest < _HOT_RATIO or hottest - middle < _GAP_RATIO:
        return
    where = f"chips at {hottest:.0%} on {name}, at {middle:.0%} or less on most other slices"
    drawn = _drawn(tier, hot, snapshot)
    if not drawn:
        sentence = f"{tier.spec.title}: requests are spread unevenly: {where}"
        step = "Look at how requests are routed to servers: by prefix, by session, or by weight"
    else:
        sentence = f"{tier.spec.title}: {drawn}; {where}"
        step = (
            "Let the routing spread that prefix over several servers (weigh load more, affinity"
            " less), and find whose prompts begin with it; adding slices alone does not help"
        )
    yield Finding(Severity.WARNING, tier.name, sentence, None, "fleet", step, is_cause=bool(drawn))


def _drawn(tier: FleetTier, hot: FleetSlice, snapshot: Snapshot) -> str:
    """That the hot slice's servers find far more prompts cached than others do; "": they do not."""
    hosts = {h.name for h in hot.hosts}
    own = [s for s in snapshot.servers or () if s.tier == tier.name]
    theirs = {(p.cluster, p.name) for p in snapshot.pods or () if p.host in hosts}
    hot_ones = [s for s in own if (s.cluster, s.pod) in theirs]
    others = [s for s in own if (s.cluster, s.pod) not in theirs]
    cached, usual = _cached(hot_ones), _cached(others)
    if cached is None or usual is None or cached - usual < _MORE_CACHED_RATIO:
        return ""
    share = _share(hot_ones, others, (snapshot.loads or {}).get(tier.name))
    if not share:
        return ""
    return (
        f"a prefix that one server has cached draws requests to it: {share}; {cached:.0%} of its"
        f" prompt tokens are cached, {usual:.0%} elsewhere"
    )


def _share(
    hot: Sequence[ServerReading], others: Sequence[ServerReading], load: TierLoad | None
) -> str:
    """Which share of the tier's requests the hot servers serve, in words; "": there are none."""
    served, rest = _rate(hot), _rate(others)
    if served is None or rest is None:
        return "its share of them is unknown"
    whole, refused = served + rest, 0.0  # what fails is told where it is known
    if not whole:
        return ""
    if load is not None and load.requests_per_s is not None and load.error_ratio is not None:
        refused = load.requests_per_s * load.error_ratio
    share, most = served / whole, (served + refused) / (whole + refused)
    even = len(hot) / (len(hot) + len(others))
    upto = f", up to {most:.0%} with those that fail" if most - share >= 0.01 else ""
    return f"it serves {share:.1%} of them{upto}, where {even:.1%} were even"


def _rate(servers: Iterable[ServerReading]) -> float | None:
    """Requests/s of all; None: not all tell theirs."""
    told = [s.requests_per_s for s in servers]
    return None if None in told else sum(rate for rate in told if rate is not None)


def _cached(servers: Sequence[ServerReading]) -> float | None:
    """The middle server's share of prompt tokens that were cached; None: none tells."""
    known = [s.cached_prompt_ratio for s in servers if s.cached_prompt_ratio is not None]
    return median(known) if known else None
