"""Rows of Monitoring → cells per tier: whose a row is, what is an error, what a gap means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.histograms import Histogram
from core.records import Endpoint
from core.series import Signal
from core.specs import TIER_LABEL
from services import monitoring_queries as queries
from services.monitoring_queries import RECIPES, Formula
from services.tier_rows import Grid, Inventory, Rows, Tiers, cells, distributions, tier_of_endpoint
from services.time_series import Row
from tests.make import make_pools, make_specs, make_tpu_vm

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
GRID = Grid(START, 60, 3)
ENDPOINT = Endpoint("42", "hw-small-vertex-a", "us-central1", (), {})
TIERS = Tiers(make_specs(), Inventory((ENDPOINT,), tuple(make_pools())))


def _row(values: dict[int, float], **labels: str) -> Row:
    points = tuple((START.timestamp() + 60 * (i + 1), v) for i, v in values.items())
    return Row({k.replace("__", "-"): v for k, v in labels.items()}, points, ())


def _formula(signal: Signal) -> Formula:
    recipe = RECIPES[signal]
    assert isinstance(recipe, Formula)
    return recipe


def _values(signal: Signal, tier: str, rows: Rows) -> dict[int, float | None]:
    return {i: c.value for i, c in cells(_formula(signal), tier, TIERS, rows, GRID).items()}


def test_counts_of_a_tiers_parts_add_up_to_a_rate() -> None:
    """The load balancer's requests and Vertex's own; another tier's stay out."""
    rows = {
        queries.REQUESTS_BALANCED: [
            _row({0: 600.0, 1: 720.0}, backend_target_name="hw-small", response_code_class="200"),
            _row({0: 99.0}, backend_target_name="hw-medium", response_code_class="200"),
            _row({0: 77.0}, backend_target_name="somebody-else", response_code_class="200"),
        ],
        queries.REQUESTS_VERTEX: [_row({0: 300.0}, endpoint_id="42", response_code="2xx")],
    }
    assert _values(Signal.REQUESTS, "small", rows) == {0: 15.0, 1: 12.0}


def test_errors_are_5xx_over_all() -> None:
    """A step with requests and no failure is 0, a step without requests is unknown."""
    rows = {
        queries.REQUESTS_BALANCED: [
            _row({0: 90.0, 1: 50.0}, backend_target_name="hw-small", response_code_class="200"),
            _row({0: 5.0}, backend_target_name="hw-small", response_code_class="400"),
            _row({0: 5.0}, backend_target_name="hw-small", response_code_class="500"),
        ]
    }
    assert _values(Signal.ERRORS, "small", rows) == {0: 0.05, 1: 0.0}


def test_a_server_that_counts_no_errors_has_an_unknown_error_ratio() -> None:
    """finished_reason stop and length say nothing on failures."""
    rows = {queries.REQUESTS_SERVED: [_row({0: 2.0}, namespace="local", finished_reason="stop")]}
    assert _values(Signal.ERRORS, "local", rows) == {}
    rows[queries.REQUESTS_SERVED].append(_row({0: 0.0}, namespace="local", finished_reason="error"))
    assert _values(Signal.ERRORS, "local", rows) == {0: 0.0}


def test_a_balanced_tier_is_not_counted_twice() -> None:
    """Its servers' own request counter is left out where the load balancer counts."""
    rows = {
        queries.REQUESTS_BALANCED: [
            _row({0: 600.0}, backend_target_name="hw-medium", response_code_class="200")
        ],
        queries.REQUESTS_SERVED: [_row({0: 600.0}, namespace="medium", finished_reason="stop")],
    }
    assert _values(Signal.REQUESTS, "medium", rows) == {0: 10.0}


def test_duty_cycle_is_zero_only_where_the_memory_series_is() -> None:
    """Idle hosts send none; a host without a memory series is unknown."""
    rows = {
        queries.DUTY_OF_HOSTS[0]: [_row({0: 1.5}, heartwood__tier="small")],
        queries.HOSTS[0]: [_row({0: 4.0, 1: 4.0}, heartwood__tier="small")],
    }
    assert _values(Signal.DUTY_CYCLE, "small", rows) == {0: 0.375, 1: 0.0}


def test_hbm_without_its_total_is_unknown() -> None:
    """A ratio needs both."""
    rows = {queries.HBM_USED[0]: [_row({0: 5.0}, heartwood__tier="small")]}
    assert _values(Signal.HBM, "small", rows) == {}


def test_a_tpu_vm_is_known_by_its_name() -> None:
    """The TPU API's series carry the node's name."""
    rows = {
        queries.TENSORCORE_SUM[1]: [_row({2: 4.0}, node_id="hw-dev-00")],
        queries.TENSORCORE_COUNT[1]: [_row({2: 8.0}, node_id="hw-dev-00")],
    }
    assert _values(Signal.TENSORCORE, "dev", rows) == {2: 0.5}


def test_a_tpu_vm_chosen_by_its_label_is_its_tiers() -> None:
    """As in the fleet: the label decides, whatever the name; a VM that is gone goes by its name."""
    vm = replace(make_tpu_vm(), name="trial-7")
    other = replace(make_tpu_vm(), name="hw-dev-99", labels={TIER_LABEL: "nobody"})
    tiers = Tiers(make_specs(), Inventory(tpu_vms=(vm, other)))
    source = queries.TENSORCORE_SUM[1]
    owners = [
        tiers.owner(source, _row({}, node_id=n)) for n in ("trial-7", "hw-dev-99", "hw-dev-5")
    ]
    assert owners == ["dev", "", "dev"]


def test_nodes_without_the_label_are_given_by_their_pool() -> None:
    """A tier that selects by name alone has its figures; the same name elsewhere is nobody's."""
    pools = tuple(replace(p, labels={}) for p in make_pools())
    tiers = Tiers(make_specs(), Inventory((), pools))
    source = queries.TENSORCORE_SUM[0]
    query = tiers.query(source)
    assert 'metadata.user_labels."cloud.google.com/gke-nodepool"' in query.group_by
    assert tiers.query(queries.HOSTS[0]).then_by == query.group_by

    def owner(pool: str, location: str = "us-central1", label: str = "") -> str:
        labels = {
            "cloud.google.com/gke-nodepool": pool, TIER_LABEL: label,
            "cluster_name": "hw-serving", "location": location,
        }  # fmt: skip
        return tiers.owner(source, Row(labels, (), ()))

    assert owner("hw-small-07") == "small"
    assert owner("hw-medium-07", label="small") == "small"
    assert owner("hw-small-07", "europe-west4") == ""
    assert owner("web") == ""


def test_the_label_is_asked_for_alone_where_it_tells_all() -> None:
    """One row per tier: no finer than the selectors need."""
    source = queries.TENSORCORE_SUM[0]
    assert TIERS.query(source) is source.query
    assert Tiers(make_specs(), Inventory(())).query(source) != source.query


def test_servers_of_another_cluster_are_not_the_tiers() -> None:
    """A namespace of the same name in another cluster or location does not count."""
    where = {"namespace": "small", "cluster": "hw-serving"}
    rows = {
        queries.RUNNING: [
            _row({0: 3.0}, **where, location="us-central1"),
            _row({0: 5.0}, **where, location="europe-west4"),
            _row({0: 7.0}, namespace="small", cluster="staging", location="us-central1"),
            _row({0: 2.0}, namespace="dev", cluster="__gce__", location="us-central1-b"),
        ]
    }
    assert _values(Signal.RUNNING, "small", rows) == {0: 3.0}
    assert _values(Signal.RUNNING, "dev", rows) == {0: 2.0}


def test_a_sum_without_one_of_its_sources_is_unknown() -> None:
    """Where a query failed, a tier that it concerns has no figure; the others keep theirs."""
    rows: Rows = {
        queries.REQUESTS_BALANCED: [
            _row({0: 600.0}, backend_target_name=f"hw-{t}", response_code_class="200")
            for t in ("small", "medium")
        ],
        queries.REQUESTS_VERTEX: None,
        queries.LATENCY_VERTEX: None,
        queries.LATENCY_BALANCED: [],
    }
    assert _values(Signal.REQUESTS, "small", rows) == {}
    assert _values(Signal.REQUESTS, "medium", rows) == {0: 10.0}
    sources = (queries.LATENCY_BALANCED, queries.LATENCY_VERTEX)
    assert distributions(sources, "small", TIERS, rows, GRID) == {}


def test_latencies_of_parts_are_merged_per_step() -> None:
    """The percentile is of all requests together."""
    at = START.timestamp() + 60
    fast, slow = Histogram((100.0,), (3.0, 0.0)), Histogram((100.0, 200.0), (0.0, 1.0, 0.0))
    rows = {
        queries.LATENCY_BALANCED: [Row({"backend_target_name": "hw-small"}, (), ((at, fast),))],
        queries.LATENCY_VERTEX: [Row({"endpoint_id": "42"}, (), ((at, slow),))],
    }
    sources = (queries.LATENCY_BALANCED, queries.LATENCY_VERTEX)
    found = distributions(sources, "small", TIERS, rows, GRID)
    assert found == {0: Histogram((100.0, 200.0), (3.0, 1.0, 0.0))}


def test_points_off_the_grid_are_left_out() -> None:
    """Before, after, and near a step's end."""
    assert GRID.index(START.timestamp()) is None
    assert GRID.index(START.timestamp() + 60) == 0
    assert GRID.index(START.timestamp() + 179.6) == 2
    assert GRID.index(START.timestamp() + 240) is None
    assert GRID.ends()[0] == START + timedelta(seconds=60)
    assert GRID.ends()[-1] == GRID.end


def test_sources_that_concern_no_tier_are_not_asked() -> None:
    """Without a Vertex endpoint and TPU VM no such query is made."""
    local = tuple(s for s in make_specs() if s.name == "local")
    alone = Tiers(local, Inventory(()))
    assert alone.concerned(queries.TTFT)
    assert alone.concerned(queries.REQUESTS_SERVED)
    assert not alone.concerned(queries.REQUESTS_BALANCED)
    assert not alone.concerned(queries.REQUESTS_VERTEX)
    assert not alone.concerned(queries.HOSTS[0])
    assert not alone.concerned(queries.HOSTS[1])
    balanced = Tiers(tuple(s for s in make_specs() if s.backend_service), Inventory(()))
    assert not balanced.concerned(queries.REQUESTS_SERVED)


def test_an_endpoint_belongs_to_whom_its_label_names() -> None:
    """As in the fleet: the label decides, also against the name, and when nobody has that name."""
    specs = make_specs()
    assert tier_of_endpoint(specs, ENDPOINT) == "small"
    assert tier_of_endpoint(specs, replace(ENDPOINT, labels={TIER_LABEL: "research"})) == ""
    named_otherwise = replace(ENDPOINT, display_name="x", labels={TIER_LABEL: "small"})
    assert tier_of_endpoint(specs, named_otherwise) == "small"
