"""What a recommendation says that a resource costs, beside the bill of the same resource."""

from __future__ import annotations

from typing import Any, Final

import pytest

from emulator.apis.compute.model import state_of
from emulator.apis.monitoring.fleet import strays_of
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.apis.recommender.messages import recommendation_message
from emulator.apis.recommender.model import findings
from emulator.clock import Clock, rfc3339
from emulator.context import Cloud
from emulator.scenario import SCENARIOS
from emulator.settings import Settings
from emulator.world import bill

BEGAN: Final = 1_790_000_040.0
MONTH_H: Final = 30 * 24
IDLE_S: Final = 40 * 86_400.0


def _claimed(message: Any) -> float | None:
    """US dollars that a month without the resource saves."""
    if "cost_projection" not in message.primary_impact:
        return None
    projection = message.primary_impact.cost_projection
    assert projection.duration.total_seconds() == MONTH_H * 3600
    return -(projection.cost.units + projection.cost.nanos / 1e9)


def _billed(cloud: Cloud, resource: str) -> float | None:
    """US dollars that the export has for a month of it; None: no row."""
    telemetry = cloud.store(Telemetry, lambda: Telemetry(cloud))
    world, now = telemetry.world, cloud.clock.now()
    lines = bill.bill(world, telemetry.hosts, now, MONTH_H, strays_of(cloud, world)).lines
    assert lines, "the project has a bill"
    own = [line for line in lines if line.global_name == resource]
    return sum(float(line.amounts.sum()) * line.sku.usd for line in own) if own else None


def test_a_recommendation_says_what_the_bill_charges() -> None:
    """The saving of an idle address or cluster is what a month's bill has for it, or neither is."""
    now = [BEGAN]
    cloud = Cloud(Settings(), SCENARIOS["normal"], Clock(BEGAN, wall=lambda: now[0]))
    state_of(cloud).of("addresses", "global")["unused"] = {
        "name": "unused", "address": "203.0.113.9", "addressType": "EXTERNAL",
        "creationTimestamp": rfc3339(BEGAN), "selfLink": "global/addresses/unused",
    }  # fmt: skip
    (cluster,) = cloud.fleet.clusters.values()
    now[0] = BEGAN + IDLE_S
    about = {f.resource: f for f in findings(cloud)}
    assert [r.rsplit("/", 1)[1] for r in about] == ["unused"]
    for pool in cluster.pools.values():
        pool.nodes.clear()
    about = {f.resource: f for f in findings(cloud)}
    assert [r.rsplit("/", 1)[1] for r in about] == ["unused", cluster.name]
    for resource, finding in about.items():
        claimed = _claimed(recommendation_message(cloud.project, finding))
        assert claimed == pytest.approx(_billed(cloud, resource)), resource
