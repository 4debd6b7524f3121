"""Services and objectives: their life, and the series that selectors read."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3

from tests.emulator.monitoring.conftest import P, Rest, make
from tests.processes import EmulatorProcess

SEEDED = f"{P}/services/heartwood-gateway/serviceLevelObjectives/availability"
LATENCY = 'metric.type="loadbalancing.googleapis.com/https/backend_latencies"'
COUNT = 'metric.type="loadbalancing.googleapis.com/https/backend_request_count"'
END = int(time.time()) // 3600 * 3600
CUT = {"requestBased": {"distributionCut": {
    "distributionFilter": LATENCY, "range": {"min": 0, "max": 5000}}}}  # fmt: skip
ROLLING = {"goal": 0.95, "rollingPeriod": "86400s", "serviceLevelIndicator": CUT}


def values(own: EmulatorProcess, text: str, period: int = 3600, span: int = 6 * 3600,
           aligner: str = "ALIGN_MEAN", reducer: str = "REDUCE_NONE") -> list[float]:  # fmt: skip
    """The one series that the filter reads, newest first."""
    found = list(make("metric", own).list_time_series(request={
        "name": P, "filter": text,
        "interval": {"start_time": {"seconds": END - span}, "end_time": {"seconds": END}},
        "aggregation": {"alignment_period": {"seconds": period}, "per_series_aligner": aligner,
                        "cross_series_reducer": reducer},
    }, retry=None))  # fmt: skip
    assert len(found) == 1
    return [p.value.double_value or float(p.value.int64_value) for p in found[0].points]


def test_selectors_agree_with_the_metrics(own: EmulatorProcess) -> None:
    """Health is what the counts say; the burn rate is the errors' share over the budget's."""
    every = values(own, COUNT, aligner="ALIGN_DELTA", reducer="REDUCE_SUM")
    bad = values(own, COUNT + " AND metric.labels.response_code_class=500", aligner="ALIGN_DELTA",
                 reducer="REDUCE_SUM")  # fmt: skip
    health = values(own, f'select_slo_health("{SEEDED}")')
    assert len(health) == 6
    wanted = [1 - b / e for b, e in zip(bad, every, strict=True)]
    assert health == pytest.approx(wanted, abs=1e-6)
    burn = values(own, f'select_slo_burn_rate("{SEEDED}", "1h")')
    assert burn == pytest.approx([(1 - h) / 0.001 for h in health], rel=1e-6)
    # A shorter period looks at the same hour, ending at other times.
    fine = values(own, f'select_slo_burn_rate("{SEEDED}", "3600s")', period=300)
    assert fine[::12] == pytest.approx(burn, rel=1e-6)
    total = values(own, f'select_slo_budget_total("{SEEDED}")')[0]
    left = values(own, f'select_slo_budget("{SEEDED}")')[0]
    fraction = values(own, f'select_slo_budget_fraction("{SEEDED}")')[0]
    compliance = values(own, f'select_slo_compliance("{SEEDED}")')[0]
    assert left == pytest.approx(total * fraction, rel=1e-9)
    assert fraction == pytest.approx(1 - (1 - compliance) / 0.001, rel=1e-6)


def test_services_and_objectives_live(rest: Rest, own: EmulatorProcess) -> None:
    """Create with an id, read, list, patch, delete; a service takes its objectives with it."""
    made = rest("POST", f"v3/{P}/services", {"displayName": "S", "custom": {}}, serviceId="edge")
    assert made["name"] == f"{P}/services/edge"
    rest("POST", f"v3/{P}/services", {"custom": {}}, 409, serviceId="edge")
    rest("POST", f"v3/{P}/services", {"displayName": "none"}, 400)
    found = rest("GET", f"v3/{P}/services", filter='identifier_case = "CUSTOM"')["services"]
    assert made in found
    assert rest("PATCH", f"v3/{made['name']}", {"displayName": "T"},
                updateMask="displayName")["displayName"] == "T"  # fmt: skip
    parent = f"v3/{made['name']}/serviceLevelObjectives"
    fast = rest("POST", parent, ROLLING, serviceLevelObjectiveId="fast")
    assert rest("GET", f"v3/{fast['name']}") == fast
    health = values(own, f'select_slo_health("{fast["name"]}")')
    assert all(0.3 < h < 1 for h in health)
    windows = {"windowsBased": {"windowPeriod": "300s", "goodTotalRatioThreshold": {
        "threshold": 0.2, "performance": CUT["requestBased"]}}}  # fmt: skip
    slow = rest("POST", parent, {"goal": 0.9, "calendarPeriod": "WEEK",
                                 "serviceLevelIndicator": windows})  # fmt: skip
    assert values(own, f'select_slo_health("{slow["name"]}")') == [1.0] * 6
    patched = rest("PATCH", f"v3/{fast['name']}", {"goal": 0.5}, updateMask="goal")
    assert patched == {**fast, "goal": 0.5}
    assert len(rest("GET", parent)["serviceLevelObjectives"]) == 2
    assert rest("DELETE", f"v3/{slow['name']}") == {}
    assert rest("DELETE", f"v3/{made['name']}") == {}
    rest("GET", f"v3/{fast['name']}", status=404)


def test_objectives_that_nothing_can_measure_are_refused(rest: Rest) -> None:
    """The field is named: goal, period, indicator, filters, ranges, windows."""
    parent = f"v3/{P}/services/heartwood-gateway/serviceLevelObjectives"
    ratio = {"goodServiceFilter": COUNT, "totalServiceFilter": COUNT, "badServiceFilter": COUNT}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"goal": 1}, "goal"), ({"rollingPeriod": "3600s"}, "rolling_period"),
        ({"rollingPeriod": "2678400s"}, "rolling_period"),
        ({"serviceLevelIndicator": {}}, "service_level_indicator"),
        ({"serviceLevelIndicator": {"basicSli": {"availability": {}}}}, "basic SLI"),
        ({"serviceLevelIndicator": {"requestBased": {"goodTotalRatio": ratio}}}, "exactly two"),
        ({"serviceLevelIndicator": {"requestBased": {"goodTotalRatio": {
            "goodServiceFilter": LATENCY, "totalServiceFilter": COUNT}}}}, "INT64 or DOUBLE"),
        ({"serviceLevelIndicator": {"windowsBased": {"windowPeriod": "70s"}}}, "window_period"),
    ]  # fmt: skip
    for change, why in wrong:
        error = rest("POST", parent, {**ROLLING, **change}, 400)["error"]
        assert why in error["message"], (why, error)


def test_an_alert_policy_may_watch_a_burn_rate(own: EmulatorProcess) -> None:
    """As Google's own SLO alerts do; a selector of nothing is refused."""
    client = make("policy", own)
    wanted = monitoring_v3.AlertPolicy(display_name="Burns fast", combiner="AND", conditions=[
        {"display_name": back, "condition_threshold": {
            "filter": f'select_slo_burn_rate("{SEEDED}", "{back}")',
            "comparison": "COMPARISON_GT", "threshold_value": 14.4, "duration": {"seconds": 0}}}
        for back in ("1h", "5m")
    ])  # fmt: skip
    made = client.create_alert_policy(name=P, alert_policy=wanted)
    client.delete_alert_policy(name=made.name)
    for text, error in (
        (f'select_slo_burn_rate("{SEEDED}")', exceptions.InvalidArgument),
        (f'select_slo_nothing("{SEEDED}")', exceptions.InvalidArgument),
        (f'select_slo_health("{SEEDED}x")', exceptions.NotFound),
    ):
        wanted.conditions[0].condition_threshold.filter = text
        with pytest.raises(error):
            client.create_alert_policy(name=P, alert_policy=wanted)
