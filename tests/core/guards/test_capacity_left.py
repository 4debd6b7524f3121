"""capacity_left: what is left must carry the last hour's demand with the safety factor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.guards import capacity_left
from core.guards.capacity_left import p95_of
from core.plans import Outcome, Verdict
from core.series import Signal
from tests.core.guards.conftest import demand
from tests.make import make_series, make_snapshot, make_window

Judged = Callable[..., Verdict]


def test_enough_is_left_and_the_arithmetic_is_shown(judged: Judged) -> None:
    """47 GKE slices × 1,000 tokens/s carry the demand × 1.3; the lines show every figure."""
    verdict = judged(capacity_left.judge, measured=1000.0, demand=demand(20_000))
    assert verdict.outcome is Outcome.PASS
    text = "\n".join(verdict.arithmetic)
    assert "48 ready slices -1 = 47" in text
    assert "× 1.3" in text
    assert "= 47,000 tokens/s" in text


def test_too_little_left_blocks_and_says_what_lifts_it(judged: Judged) -> None:
    """Demand × 1.3 above what 47 slices do is blocked."""
    verdict = judged(capacity_left.judge, measured=1000.0, demand=demand(40_000))
    assert verdict.outcome is Outcome.BLOCK
    assert verdict.lift


def test_adding_is_never_blocked(judged: Judged) -> None:
    """More slices cannot leave too little; if it still is too little it warns."""
    assert judged(capacity_left.judge, 1, measured=1.0, demand=demand(1e6)).outcome is Outcome.WARN
    assert judged(capacity_left.judge, 1).outcome is Outcome.PASS


def test_unknown_demand_needs_consent(judged: Judged) -> None:
    """No series, or one with too many gaps: somebody must agree."""
    assert judged(capacity_left.judge, measured=1e6).outcome is Outcome.CONSENT
    holes = demand(10.0, gap=(0, 45))
    verdict = judged(capacity_left.judge, measured=1e6, demand=holes)
    assert verdict.outcome is Outcome.CONSENT


def test_unknown_readiness_blocks_a_removal(judged: Judged) -> None:
    """Kubernetes never read: nobody knows what is left."""
    snapshot = replace(make_snapshot(), hosts=None)
    assert judged(capacity_left.judge, snapshot=snapshot).outcome is Outcome.BLOCK


def test_the_roofline_is_named(judged: Judged) -> None:
    """Without a measurement the bound is the roofline: whoever removes slices must agree to it."""
    verdict = judged(capacity_left.judge, demand=demand(100.0))
    assert verdict.outcome is Outcome.CONSENT
    assert "roofline" in verdict.reason
    assert "measured_tokens_per_s_per_slice" in verdict.lift
    assert judged(capacity_left.judge, 1, demand=demand(100.0)).outcome is Outcome.PASS
    assert any("upper bound" in line for line in verdict.arithmetic)


@given(st.lists(st.floats(0, 1e6), min_size=60, max_size=60))
def test_p95_is_a_point_with_at_most_one_in_twenty_above(points: list[float]) -> None:
    """Nearest rank: at least 95% of the points are at or below it."""
    series = make_series("small", Signal.GENERATION_TOKENS, make_window(1, step_s=60))
    found = p95_of(replace(series, values=tuple(points)))
    assert found in points
    assert sum(p <= found for p in points if found is not None) >= 57


@pytest.mark.parametrize("safety", [1.0, 1.3, 3.0])
def test_the_factor_scales_the_need(judged: Judged, safety: float) -> None:
    """The same demand passes at 1.0 and is blocked at 3.0."""
    verdict = judged(capacity_left.judge, measured=1000.0, demand=demand(25_000), safety=safety)
    assert (verdict.outcome is Outcome.BLOCK) == (safety == 3.0)


def test_nothing_left_for_no_demand_reads_sensibly(judged: Judged) -> None:
    """Removing all ready slices while nobody asks: no share of nothing is told."""
    snapshot = make_snapshot()
    hosts = tuple(h for h in snapshot.hosts or () if h.name.endswith("small-00-0000"))
    few = replace(snapshot, hosts=hosts)
    ready = len(hosts)
    verdict = judged(capacity_left.judge, -ready, snapshot=few, measured=1000.0, demand=demand(0.0))
    assert verdict.reason == "needs none of the 0 slices left (measured)"
