"""From a rate or a latency to slices, and the replicas of a model on Vertex."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.actions import PlanContext, make_plan
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.plans import Plan, Request
from core.scale_target import slices_for_p95, slices_for_rate
from tests.make import NOW, make_snapshot

NORMAL = make_snapshot()
SMALL = assemble_fleet(NORMAL).tier("small")


@given(st.floats(0, 20_000))
def test_a_rate_is_kept_and_used(usd: float) -> None:
    """At most the target, and one more slice would be above it, unless none is left to take."""
    delta = slices_for_rate(NORMAL, SMALL, usd).delta
    after = 3072 + 48 * delta
    assert delta >= -48
    assert delta == -48 or after <= usd + 1e-3
    assert after + 48 > usd - 1e-3


def test_what_cannot_be_reached_is_said() -> None:
    """Vertex's replicas stay; without a price there is no answer."""
    found = slices_for_rate(NORMAL, SMALL, 100.0)
    assert "$768.00/h stays without any slice" in found.reached
    unpriced = replace(NORMAL, prices=())
    with pytest.raises(ValueError, match="not priced"):
        slices_for_rate(unpriced, assemble_fleet(unpriced).tier("small"), 100.0)
    with pytest.raises(ValueError, match="no slices"):
        slices_for_rate(NORMAL, assemble_fleet(NORMAL).tier("dev"), 1e6)


@given(st.floats(800, 10_000))
def test_a_lower_latency_never_needs_fewer_slices(p95_ms: float) -> None:
    """The arithmetic goes one way, and names the model that it rests on."""
    loose, tight = slices_for_p95(NORMAL, SMALL, p95_ms), slices_for_p95(NORMAL, SMALL, 790)
    assert tight.delta >= loose.delta >= -48
    assert any("estimate" in line for line in loose.arithmetic)
    assert slices_for_p95(NORMAL, SMALL, 1450.0).delta == 0


def test_a_latency_below_an_idle_servers_is_refused() -> None:
    """More slices make no request faster than alone; unknown load is no load of 0."""
    with pytest.raises(ValueError, match="no faster than"):
        slices_for_p95(NORMAL, SMALL, 100.0)
    with pytest.raises(ValueError, match="not known"):
        slices_for_p95(replace(NORMAL, loads={}), SMALL, 1000.0)


def replicas(count: object) -> Plan:
    """The plan that gives small's model so many."""
    values = {"endpoint": "4410", "model": "7301", "replicas": count}
    request = Request("scale_replicas", "small", values)  # type: ignore[arg-type]
    return make_plan(NORMAL, request, NOW, PlanContext("p"))


def test_replicas_are_slices_with_their_price() -> None:
    """Dollars, chips and slices follow; the most keep their distance; wrong numbers are refused."""
    found = replicas(20)
    assert (found.slice_delta, found.chip_delta) == (4, 16)
    assert found.cost.delta_usd_per_hour == pytest.approx(192.0)
    assert found.steps[0].after == {"least": 20, "most": 20}
    assert "mutate-deployed-model 4410" in found.steps[0].command
    assert any("No redundancy" in s for s in replicas(1).affected)
    for wrong in (0, 16, 2.5, 1000, True):
        with pytest.raises(PlanError):
            replicas(wrong)
