"""Alerts open and close by what the series do, and can be read as Google's API has them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from google.cloud import monitoring_v3
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.apis.monitoring import build
from emulator.apis.monitoring.alerts_api import Alerts, ListAlertsRequest
from emulator.apis.monitoring.api import MetricService
from emulator.apis.monitoring.columns import table
from emulator.apis.monitoring.policy_api import AlertPolicies
from emulator.apis.monitoring.policy_checks import Condition
from emulator.apis.monitoring.query import Answer, Piece, Step
from emulator.apis.monitoring.watches import Looks, Span, Watch, together
from emulator.context import make_cloud
from emulator.settings import Settings
from tests.emulator.monitoring.conftest import P, Rest

DAY = 86_400


def test_the_worlds_incidents_opened_alerts(rest: Rest) -> None:
    """Thirty days hold what the policies watch for, closed again; filter, order, pages and get."""
    found = rest("GET", f"v3/{P}/alerts", pageSize=1000)
    alerts = found["alerts"]
    assert found["totalSize"] == len(alerts)
    titles = {a["policy"]["displayName"] for a in alerts}
    # The world keeps the hours around a start calm, which may leave out one of its incidents.
    usual = {"Tokens come slowly", "Requests wait", "Server errors at the load balancer"}
    assert len(usual & titles) >= 2
    assert {a["state"] for a in alerts} == {"CLOSED"}
    assert all(a["openTime"] < a["closeTime"] for a in alerts)
    opened = [a["openTime"] for a in alerts]
    assert opened == sorted(opened, reverse=True)
    slow = [a for a in alerts if a["policy"]["displayName"] == "Tokens come slowly"]
    assert {a["resource"]["labels"]["namespace"] for a in slow} <= {"medium"}
    assert all(a["metric"]["type"].endswith("latency_seconds/histogram") for a in slow)
    assert rest("GET", f"v3/{alerts[0]['name']}") == alerts[0]
    rest("GET", f"v3/{P}/alerts/0.nothing", status=404)
    some = rest(
        "GET",
        f"v3/{P}/alerts",
        filter=f'policy.display_name = "{alerts[0]["policy"]["displayName"]}"',
    )
    assert 0 < len(some["alerts"]) < len(alerts)
    assert "alerts" not in rest("GET", f"v3/{P}/alerts", filter='state = "OPEN"')
    late = rest("GET", f"v3/{P}/alerts", filter=f'open_time >= "{alerts[0]["openTime"]}"')
    assert late["alerts"][0] == alerts[0]
    back = rest("GET", f"v3/{P}/alerts", orderBy="close_time")["alerts"]
    assert [a["closeTime"] for a in back] == sorted(a["closeTime"] for a in alerts)
    paged, token = [], ""
    while True:
        part = rest("GET", f"v3/{P}/alerts", pageSize=2, pageToken=token)
        paged += part["alerts"]
        token = part.get("nextPageToken", "")
        if not token:
            break
    assert paged == alerts


class Project:
    """An empty project in this process, whose time a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.cloud = make_cloud(Settings(scenario="empty-project"), self.now)
        handlers = {
            type(m.handler): m.handler for m in build(self.cloud)
        }  # fmt: skip
        self._handlers: dict[type[Any], Any] = handlers

    def call(self, service: type[Any], method: str, request: Any) -> Any:
        """Call a handler at the project's time."""
        with self.cloud.clock.at(self.now):
            return getattr(self._handlers[service], method)(request, None)

    def write(self, value: float, name: str = "load", **labels: str) -> None:
        """A minute goes by, and a point is written at its end."""
        self.now += 60
        self.point(value, name, **labels)

    def point(self, value: float, name: str = "load", **labels: str) -> None:
        """A point now."""
        series = {
            "metric": {"type": f"custom.googleapis.com/{name}", "labels": labels},
            "resource": {"type": "global"},
            "points": [{"interval": {"end_time": {"seconds": int(self.now)}},
                        "value": {"double_value": value}}],
        }  # fmt: skip
        request = monitoring_v3.CreateTimeSeriesRequest(name=P, time_series=[series])
        self.call(MetricService, "create_time_series", request)

    def watch(self, *conditions: Any, combiner: str = "OR", **more: Any) -> Any:
        """A policy with those conditions."""
        policy = monitoring_v3.AlertPolicy(
            display_name="p", combiner=combiner, conditions=list(conditions), **more
        )
        request = monitoring_v3.CreateAlertPolicyRequest(name=P, alert_policy=policy)
        return self.call(AlertPolicies, "create_alert_policy", request)

    def states(self) -> list[str]:
        """The alerts' states, newest first."""
        found = self.call(Alerts, "list_alerts", ListAlertsRequest(parent=P))
        return [a.state.name for a in found.alerts]


def over(limit: float, minutes: int, name: str = "load", **more: Any) -> Any:
    """A threshold condition on a metric of ours."""
    return {"display_name": name, "condition_threshold": {
        "filter": f'resource.type="global" AND metric.type="custom.googleapis.com/{name}"',
        "aggregations": [{"alignment_period": {"seconds": 60}, "per_series_aligner": "ALIGN_MEAN"}],
        "comparison": "COMPARISON_GT", "threshold_value": limit,
        "duration": {"seconds": 60 * minutes}, **more,
    }}  # fmt: skip


def silent(minutes: int, name: str = "load") -> Any:
    """An absence condition on a metric of ours."""
    return {"display_name": name, "condition_absent": {
        "filter": f'resource.type="global" AND metric.type="custom.googleapis.com/{name}"',
        "aggregations": [{"alignment_period": {"seconds": 60}, "per_series_aligner": "ALIGN_MEAN"}],
        "duration": {"seconds": 60 * minutes},
    }}  # fmt: skip


def test_an_alert_opens_after_its_duration_and_closes() -> None:
    """Two minutes above the limit do not make three; a good point ends it; the past stays."""
    project = Project()
    project.point(1.0)
    project.watch(over(10, 3))
    for value, wanted in [(50, []), (50, []), (1, []), (50, []), (50, []), (50, []), (50, ["OPEN"]),
                          (50, ["OPEN"]), (2, ["CLOSED"]), (2, ["CLOSED"])]:  # fmt: skip
        project.write(value)
        assert project.states() == wanted, value
    project.now += 40 * DAY
    assert project.states() == ["CLOSED"]


def test_silence_opens_an_alert_and_data_closes_it() -> None:
    """Absence counts from the last point, of series that had points at all."""
    project = Project()
    project.point(1.0)
    project.watch(silent(5))
    project.write(1.0)
    project.now += 240
    assert project.states() == []
    project.now += 60
    assert project.states() == ["OPEN"]
    project.write(1.0)
    assert project.states() == ["CLOSED"]
    project.now += 8 * DAY
    assert project.states() == ["CLOSED", "CLOSED"]


def test_missing_points_count_as_the_policy_says() -> None:
    """Without data an open alert stays; it closes where missing is good, or after auto-close."""
    project = Project()
    project.point(50)
    project.watch(over(10, 0), alert_strategy={"auto_close": {"seconds": 3600}})
    project.watch(over(10, 1, evaluation_missing_data="EVALUATION_MISSING_DATA_INACTIVE"))
    project.write(50)
    project.write(50)
    assert project.states() == ["OPEN", "OPEN"]
    project.now += 120
    assert sorted(project.states()) == ["CLOSED", "OPEN"]
    project.now += 7200
    project.write(1)
    assert project.states() == ["CLOSED", "CLOSED"]


def test_conditions_combine() -> None:
    """AND needs both at once; OR opens one for each series; a trigger counts series."""
    project = Project()
    for name in ("load", "heat"):
        project.point(1.0, name, rack="a")
        project.point(1.0, name, rack="b")
    project.watch(over(10, 0), over(10, 0, "heat"), combiner="AND")
    project.watch(over(10, 0, trigger={"count": 2}))
    project.write(50, rack="a")
    project.point(1, "heat", rack="a")
    assert project.states() == []
    project.write(50, rack="a")
    project.point(50, rack="b")
    project.point(50, "heat", rack="b")
    assert project.states() == ["OPEN", "OPEN"]
    project.watch(over(10, 0))
    assert project.states() == ["OPEN"] * 4
    project.write(1, rack="a")
    project.point(50, rack="b")
    project.point(50, "heat", rack="b")
    assert sorted(project.states()) == ["CLOSED", "CLOSED", "OPEN", "OPEN"]


def test_changing_or_deleting_a_policy_closes_what_is_open() -> None:
    """Another threshold begins anew; a new title does not; a deleted policy's alerts stay."""
    project = Project()
    project.point(50)
    policy = project.watch(over(10, 0))
    project.write(50)
    assert project.states() == ["OPEN"]
    project.now += 1
    policy = monitoring_v3.AlertPolicy(policy)
    policy.display_name = "renamed"
    update = monitoring_v3.UpdateAlertPolicyRequest
    project.call(AlertPolicies, "update_alert_policy", update(alert_policy=policy))
    assert project.states() == ["OPEN"]
    policy.conditions[0].condition_threshold.threshold_value = 20
    project.call(AlertPolicies, "update_alert_policy", update(alert_policy=policy))
    assert sorted(project.states()) == ["CLOSED", "OPEN"]
    project.now += 60
    request = monitoring_v3.DeleteAlertPolicyRequest(name=policy.name)
    project.call(AlertPolicies, "delete_alert_policy", request)
    assert project.states() == ["CLOSED", "CLOSED"]


class FakeReader:
    """Series out of a table of values (series, minutes); NaN is a missing point."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values, dtype=float)

    def read(
        self, text: str, start: float, end: float, steps: tuple[Step, ...], now: float
    ) -> tuple[str, list[Piece]]:
        """The minutes in (start, end]."""
        part = self.values[:, int(start // 60) : int(end // 60)]
        ends = np.arange(start, end, 60.0) + 60.0
        labels = table(len(part), resource={"n": [str(n) for n in range(len(part))]})
        found = Answer(labels, "GAUGE", "DOUBLE", "1", ends, ends, part)
        return "", [Piece(labels, lambda: found)]


def in_order(watch: Watch) -> list[Span]:
    """Its incidents by series and time."""
    return sorted(watch.spans(), key=lambda s: (s.key, s.start))


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(
        st.lists(st.sampled_from([0.0, 9.0, float("nan")]), min_size=24, max_size=24),
        min_size=1, max_size=3,
    ),
    stops=st.lists(st.integers(0, 24), max_size=4).map(sorted),
    absent=st.booleans(), minutes=st.integers(0, 4), missing=st.sampled_from([-1, 0, 1]),
)  # fmt: skip
def test_reading_more_often_changes_nothing(
    values: list[list[float]], stops: list[int], absent: bool, minutes: int, missing: int
) -> None:
    """However time is cut into reads, the same incidents come out, none of them overlapping."""
    test = Condition(
        0, "f", (Step("ALIGN_MEAN", period_s=60.0),), absent, below=False, threshold=5.0,
        duration_s=60.0 * minutes, denominator=None, missing=1 if absent else missing, count=1,
        percent=0.0,
    )  # fmt: skip
    reader: Any = FakeReader(values)
    whole = Watch(test, 600.0, 0.0).until(reader, 0.0, 24 * 60.0, Looks(100))
    piecewise = Watch(test, 600.0, 0.0)
    for stop in stops:
        piecewise.until(reader, stop * 60.0, stop * 60.0, Looks(100))
    after = piecewise.until(reader, 24 * 60.0, 24 * 60.0, Looks(100))
    assert whole is not None
    assert after is not None
    assert in_order(whole) == in_order(after)
    for key in {s.key for s in whole.spans()}:
        own = [s for s in in_order(whole) if s.key == key]
        assert all(a.end is not None and a.end <= b.start for a, b in itertools.pairwise(own))
        assert all(s.end is None or s.start <= s.end for s in own)
    assert together(whole.spans(), 4) == []
