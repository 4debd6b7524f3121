"""Loads, chips and series: units, grids, and that what is read two ways agrees."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.series import UNITS, Series, Signal, Window
from services import monitoring_queries, time_series
from services.gke import Gke
from services.kube import Kube
from services.monitoring import Monitoring
from services.tier_rows import Inventory
from tests.contracts.conftest import Cloud

RATIOS = (
    Signal.ERRORS, Signal.TENSORCORE, Signal.DUTY_CYCLE, Signal.HBM, Signal.KV_CACHE, Signal.SOLVED,
)  # fmt: skip


def _window(hours: float = 1, step_s: int = 60) -> Window:
    end = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) // step_s * step_s, UTC)
    return Window(end - timedelta(hours=hours), end, step_s)


def _present(series: Series) -> list[float]:
    return [v for v in series.values if v is not None]


def test_every_tier_has_a_load_and_its_units_are_ours(cloud: Cloud) -> None:
    """Ratios are 0–1 whatever the metric's own unit, and percentiles ascend."""
    loads = Monitoring(cloud.clients).read_loads(cloud.specs, datetime.now(UTC)).by_tier
    assert list(loads) == [s.name for s in cloud.specs]
    for load in loads.values():
        for value in (
            load.error_ratio,
            load.tensorcore_utilisation_ratio,
            load.duty_cycle_ratio,
            load.hbm_utilisation_ratio,
            load.kv_cache_ratio,
        ):
            assert value is None or 0 <= value <= 1.0001
        for found in (load.ttft, load.latency):
            if found.p50_ms is not None:
                assert found.p50_ms <= (found.p95_ms or 0) <= (found.p99_ms or 0)


def test_running_tiers_carry_load_and_the_others_none(cloud: Cloud) -> None:
    """In the emulated world small, medium and dev run; large is off and says nothing."""
    if not cloud.emulated:
        pytest.skip("what runs in a real project is not known here")
    loads = Monitoring(cloud.clients).read_loads(cloud.specs, datetime.now(UTC)).by_tier
    for name in ("small", "medium", "dev"):
        load = loads[name]
        assert load.requests_per_s is not None
        assert load.requests_per_s > 0
        assert load.ttft.p95_ms is not None
        assert 1 < load.ttft.p95_ms < 60_000, "milliseconds"
        assert load.latency.p50_ms is not None
        assert load.latency.p50_ms > load.ttft.p50_ms  # type: ignore[operator]
        assert load.tensorcore_utilisation_ratio is not None
        assert load.tensorcore_utilisation_ratio > 0.01, "a percentage was scaled twice"
        assert load.generation_tokens_per_s is not None
    assert loads["large"].requests_per_s is None
    assert loads["large"].tensorcore_utilisation_ratio is None
    assert loads["small"].vertex_replicas == 16


def test_tiers_chosen_by_name_have_the_same_figures(cloud: Cloud) -> None:
    """Asked per node pool, as without the tier label, utilisation is what the label gives."""
    if not cloud.emulated:
        pytest.skip("how a real project's pools are labelled is not known here")
    pools = Gke(cloud.clients).list_node_pools()
    monitoring, window = Monitoring(cloud.clients), _window()
    bare = tuple(replace(p, labels={}) for p in pools)
    for signal in (Signal.TENSORCORE, Signal.DUTY_CYCLE, Signal.HBM, Signal.HOSTS):
        labelled = monitoring.read_series(signal, cloud.specs, window, Inventory(None, pools))
        named = monitoring.read_series(signal, cloud.specs, window, Inventory(None, bare))
        for one, other in zip(labelled, named, strict=True):
            assert one.values == pytest.approx(other.values), (signal, one.tier)


def test_duty_cycle_is_near_the_tensor_cores(cloud: Cloud) -> None:
    """A busy core is a busy accelerator: neither halved nor doubled by what a series counts."""
    loads = Monitoring(cloud.clients).read_loads(cloud.specs, datetime.now(UTC)).by_tier
    if not cloud.emulated:
        pytest.skip("what runs in a real project is not known here")
    for name in ("small", "medium", "dev"):
        duty, core = loads[name].duty_cycle_ratio, loads[name].tensorcore_utilisation_ratio
        assert duty is not None
        assert core is not None
        assert core <= duty <= 1


def test_chips_are_those_of_the_hosts(cloud: Cloud) -> None:
    """Every reading joins with a Kubernetes node or a TPU VM."""
    readings = Monitoring(cloud.clients).read_chips(cloud.specs, datetime.now(UTC))
    cloud.need(readings, "chip metrics")
    clusters = Gke(cloud.clients).list_clusters()
    hosts = {h.name: h.chips for c in clusters for h in Kube(cloud.clients).list_hosts(c)}
    on_nodes = [r for r in readings if "/" not in r.host]
    assert {r.host for r in on_nodes} <= set(hosts)
    for reading in readings:
        total, used = reading.hbm_total_bytes, reading.hbm_used_bytes
        assert total is None or total > 10**9
        assert total is None or used is None or used <= total
    if cloud.emulated:
        assert len(on_nodes) == sum(hosts.values())
        assert {r.host for r in readings if "/" in r.host} == {"hw-dev-00/0"}


@pytest.mark.parametrize("signal", list(Signal))
def test_every_signal_is_a_series_on_the_grid(cloud: Cloud, signal: Signal) -> None:
    """One series per tier in the specs' order, one value per step, in the signal's unit."""
    window = _window()
    found = Monitoring(cloud.clients).read_series(signal, cloud.specs, window)
    assert [s.tier for s in found] == [s.name for s in cloud.specs]
    for series in found:
        assert series.unit == UNITS[signal]
        assert len(series.times) == len(series.values) == 60
        assert series.times[0] == window.start + timedelta(seconds=60)
        assert series.times[-1] == window.end
        if signal in RATIOS:
            assert all(0 <= v <= 1.0001 for v in _present(series))
    if cloud.emulated:
        by_tier = {s.tier: _present(s) for s in found}
        assert len(by_tier["medium"]) > 50
        assert by_tier["large"] == []


def test_percentiles_read_together_are_those_read_alone(cloud: Cloud) -> None:
    """A group shares its queries, not its answers."""
    monitoring, window = Monitoring(cloud.clients), _window()
    signals = (Signal.LATENCY_P50, Signal.LATENCY_P95, Signal.LATENCY_P99)
    together = monitoring.read_series_group(signals, cloud.specs, window)
    assert together[Signal.LATENCY_P95] == monitoring.read_series(
        Signal.LATENCY_P95, cloud.specs, window
    )
    for low, high in ((0, 1), (1, 2)):
        for a, b in zip(together[signals[low]], together[signals[high]], strict=True):
            pairs = zip(a.values, b.values, strict=True)
            assert all(x <= y for x, y in pairs if x is not None and y is not None)


def test_the_load_agrees_with_the_series(cloud: Cloud) -> None:
    """Requests per second now are the mean of the last minutes of the chart."""
    monitoring = Monitoring(cloud.clients)
    loads = monitoring.read_loads(cloud.specs, datetime.now(UTC)).by_tier
    series = monitoring.read_series(Signal.REQUESTS, cloud.specs, _window())
    for one in series:
        last = _present(one)[-5:]
        load = loads[one.tier].requests_per_s
        if not last or load is None:
            continue
        assert load == pytest.approx(sum(last) / len(last), rel=0.3)


def test_hosts_over_time_are_the_hosts_there_are(cloud: Cloud) -> None:
    """The size of a tier as Monitoring counts it, Vertex replicas included."""
    if not cloud.emulated:
        pytest.skip("the sizes of a real project are not known here")
    found = Monitoring(cloud.clients).read_series(Signal.HOSTS, cloud.specs, _window(0.25))
    newest = {s.tier: (_present(s) or [None])[-1] for s in found}
    assert newest == {"local": None, "small": 64, "medium": 256, "large": None, "dev": 1}


def test_a_month_in_hourly_steps(cloud: Cloud) -> None:
    """The longest chart: 30 days."""
    found = Monitoring(cloud.clients).read_series(
        Signal.REQUESTS, cloud.specs, _window(24 * 30, 3600)
    )
    assert all(len(s.values) == 720 for s in found)
    if cloud.emulated:
        medium = next(s for s in found if s.tier == "medium")
        assert len(_present(medium)) > 700


def test_a_metric_that_nobody_writes_is_no_data(cloud: Cloud) -> None:
    """A project without an evaluation fails no read; with one, each tier has its parts' mean."""
    window, query = _window(0.5), monitoring_queries.SOLVED.query
    never = replace(query, metric=f"{query.metric}_that_nobody_writes")
    assert time_series.fetch(cloud.clients, never, window.start, window.end, window.step_s) == []
    if not cloud.emulated:
        pytest.skip("whether a real project has an evaluation is not known here")
    found = Monitoring(cloud.clients).read_series(Signal.SOLVED, cloud.specs, window)
    means = {s.tier: sum(known) / len(known) for s in found if (known := _present(s))}
    assert set(means) == {"small", "medium", "dev"}
    assert 0.6 < means["small"] < means["medium"] < 0.9
    parts = replace(query, group_by=(*query.group_by, "resource.labels.task_id"))
    rows = time_series.fetch(cloud.clients, parts, window.start, window.end, window.step_s)
    small = [v for row in rows if row.labels["namespace"] == "small" for _, v in row.numbers]
    assert sum(small) / len(small) == pytest.approx(means["small"])
