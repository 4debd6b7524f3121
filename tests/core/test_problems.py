"""What is wrong, first."""

from __future__ import annotations

from dataclasses import replace

from core.fleet import assemble_fleet
from core.forecast import forecast_month
from core.problems import Severity, source_title, what_is_wrong
from core.records import Snapshot, Source
from core.slo import tier_slo
from tests.make import make_failure, make_load_balancer, make_snapshot


def findings(snapshot: Snapshot, usd_per_hour: float | None = None) -> list[tuple[str, str, str]]:
    """Severity, tier and sentence of each finding."""
    loads = snapshot.loads or {}
    slos = {s.name: tier_slo(s, loads.get(s.name)) for s in snapshot.specs}
    small = snapshot.spec("small")
    forecasts = {
        "small": forecast_month(
            small, snapshot.costs, snapshot.taken_at, usd_per_hour, snapshot.budgets
        )
    }
    found = what_is_wrong(snapshot, assemble_fleet(snapshot), slos, forecasts)
    return [(f.severity.name, f.tier, f.sentence) for f in found]


def quiet() -> Snapshot:
    """A snapshot in which nothing is wrong."""
    snapshot = make_snapshot()
    loads = {
        name: replace(load, error_ratio=0.0, ttft=type(load.ttft)(), latency=type(load.latency)())
        for name, load in (snapshot.loads or {}).items()
    }
    balancer = make_load_balancer(0)
    return replace(snapshot, loads=loads, load_balancer=balancer, costs=())


def test_nothing_wrong_is_empty() -> None:
    """A large that is off and a local without load are no findings."""
    assert findings(quiet(), 0.0) == []


def test_the_worst_comes_first() -> None:
    """All members unhealthy is critical and stands before a degraded slice and a dead source."""
    snapshot = make_failure(quiet(), Source.COSTS)
    balancer = make_load_balancer(16)
    services = tuple(
        replace(s, backends=s.backends[:1]) if s.name == "hw-medium" else s
        for s in balancer.backend_services
    )
    hosts = (replace((snapshot.hosts or ())[0], ready=False), *(snapshot.hosts or ())[1:])
    broken = replace(
        snapshot, load_balancer=replace(balancer, backend_services=services), hosts=hosts
    )
    found = findings(broken, 0.0)
    assert [(severity, tier) for severity, tier, _ in found] == [
        ("CRITICAL", "medium"),
        ("WARNING", "small"),
        ("WARNING", ""),
    ]
    assert found[0][2].endswith("16 of 16 members are unhealthy")


def test_a_dead_source_has_its_since_and_page() -> None:
    """The finding says which source, since when, and where to look."""
    snapshot = make_failure(quiet(), Source.GKE)
    found = what_is_wrong(snapshot, assemble_fleet(snapshot), {})[0]
    assert found.sentence.startswith("GKE cannot be read: ")
    assert found.since == snapshot.sources[Source.GKE].failing_since
    assert found.page == "connections"


def test_a_panel_that_may_not_be_read_is_a_note_and_hints_lose_their_full_stop() -> None:
    """On Recommender nothing else rests: every project without its role would be warned."""
    snapshot = make_failure(quiet(), Source.RECOMMENDER)
    (found,) = what_is_wrong(snapshot, assemble_fleet(snapshot), {})
    assert found.severity is Severity.NOTE
    assert found.next_step.startswith("Start it with")
    assert not found.next_step.endswith(".")


def test_a_source_that_stands_still_is_found() -> None:
    """No failure, but far older than its interval."""
    snapshot = quiet()
    old = replace(snapshot.sources[Source.LOAD], read_at=snapshot.taken_at.replace(hour=1))
    stuck = replace(snapshot, sources={**snapshot.sources, Source.LOAD: old})
    assert any("was last read" in sentence for _, _, sentence in findings(stuck, 0.0))


def test_a_missed_objective_of_production_is_critical() -> None:
    """Latency over its threshold: critical in production, a warning elsewhere."""
    snapshot = quiet()
    loads = dict(snapshot.loads or {})
    loads["small"] = replace(loads["small"], ttft=type(loads["small"].ttft)(p95_ms=900))
    loads["dev"] = replace(loads["dev"], ttft=type(loads["dev"].ttft)(p95_ms=9000))
    found = findings(replace(snapshot, loads=loads), 0.0)
    assert [f[:2] for f in found] == [("CRITICAL", "small"), ("WARNING", "dev")]


def test_many_errors_in_production_are_no_note() -> None:
    """23% errors for some minutes: a warning at once, before what else is a warning."""
    snapshot = make_failure(quiet(), Source.COSTS)
    loads = dict(snapshot.loads or {})
    loads["medium"] = replace(loads["medium"], error_ratio=0.23)
    loads["dev"] = replace(loads["dev"], error_ratio=0.9)
    found = findings(replace(snapshot, loads=loads), 0.0)
    assert [f[:2] for f in found] == [("WARNING", "medium"), ("WARNING", "dev"), ("WARNING", "")]
    loads["medium"] = replace(loads["medium"], error_ratio=0.004)
    found = findings(replace(quiet(), loads={"medium": loads["medium"]}), 0.0)
    assert [f[:2] for f in found] == [("NOTE", "medium")]


def test_a_tier_smaller_than_meant_is_told() -> None:
    """Green and running, but 12 of 48: a warning in production, a note when few are missing."""
    snapshot = quiet()
    pools = tuple(
        replace(p, node_count=n) for p, n in zip(
            [p for p in snapshot.node_pools or () if p.name.startswith("hw-small")],
            (12, 0, 0), strict=False,
        )
    )  # fmt: skip
    names = {p.name for p in pools}
    hosts = [h for h in snapshot.hosts or () if h.pool in names]
    few = {h.name for p in pools for h in [h for h in hosts if h.pool == p.name][: p.node_count]}
    shrunk = replace(
        snapshot,
        node_pools=(*pools, *(p for p in snapshot.node_pools or () if p.name not in names)),
        hosts=tuple(h for h in snapshot.hosts or () if h.pool not in names or h.name in few),
    )
    (found,) = findings(shrunk, 0.0)
    assert found == ("WARNING", "small", found[2])
    assert "28 of the 64 slices" in found[2]


def test_a_local_server_that_nobody_scrapes_is_told() -> None:
    """It serves, and Monitoring has no figure of it: the reason is told."""
    snapshot = quiet()
    silent = replace((snapshot.loads or {})["local"], requests_per_s=None, requests_running=None)
    loads = {**(snapshot.loads or {}), "local": silent}
    assert snapshot.server is not None
    young = replace(snapshot, loads=loads)
    assert findings(young, 0.0) == []
    old = replace(young, server=replace(snapshot.server, uptime_s=3600.0))
    assert [f[:2] for f in findings(old, 0.0)] == [("NOTE", "local")]


def test_a_budget_that_will_not_last_is_told() -> None:
    """$1,000,000/h spends small's budget on the very day."""
    found = findings(quiet(), 1e6)
    assert any("budget of small" in sentence for _, _, sentence in found)


def test_severities_sort_worst_first() -> None:
    """CRITICAL < WARNING < NOTE, so that sorting ranks them."""
    assert sorted(Severity) == [Severity.CRITICAL, Severity.WARNING, Severity.NOTE]


def test_a_read_that_failed_in_part_is_told_as_such() -> None:
    """What was read is fresh: the source is not called dead."""
    snapshot = make_failure(quiet(), Source.LOAD)
    state = snapshot.sources[Source.LOAD]
    partly = replace(state, read_at=state.tried_at)
    assert not state.is_partial
    found = findings(replace(snapshot, sources={**snapshot.sources, Source.LOAD: partly}), 0.0)
    assert [f[2] for f in found] == [
        f"Load (Cloud Monitoring) is read in part: {state.problem.message if state.problem else ''}"
    ]


def test_servers_that_crash_and_servers_that_do_not_serve_are_told_apart() -> None:
    """Crashing ones warn, those that run unready on ready hosts are a note, ending ones none."""
    snapshot = quiet()
    pods = tuple(p for p in snapshot.pods or () if p.namespace == "small")
    changed = (
        replace(pods[0], ready=False, restarts=5, reason="CrashLoopBackOff"),
        replace(pods[1], ready=False, restarts=0, reason="ContainersNotReady"),
        replace(pods[2], ready=False, ending=True),
    )
    found = findings(replace(snapshot, pods=(*changed, *pods[3:])), 0.0)
    told = {severity: sentence for severity, tier, sentence in found if tier == "small"}
    assert set(told) == {"WARNING", "NOTE"}
    assert f"1 of {len(pods)} server pods crash again and again (5 restarts" in told["WARNING"]
    assert f"1 of {len(pods)} server pods run on ready hosts" in told["NOTE"]


def test_a_slice_at_its_limit_beside_others_with_room_is_told() -> None:
    """By the middle of the others; where all are busy, nobody spreads badly."""
    snapshot = quiet()
    host = next(h for h in snapshot.hosts or () if h.pool.startswith("hw-small"))

    def with_use(own: float, others: float) -> Snapshot:
        chips = tuple(
            replace(c, tensorcore_utilisation_ratio=own if c.host == host.name else others)
            for c in snapshot.chips or ()
        )
        return replace(snapshot, chips=chips)

    (found,) = findings(with_use(0.97, 0.4), 0.0)
    assert found[:2] == ("WARNING", "small")
    assert f"unevenly: chips at 97% on {host.name}, at 40% or less on most" in found[2]
    assert findings(with_use(0.97, 0.9), 0.0) == []
    assert findings(with_use(0.6, 0.1), 0.0) == []


def test_chips_of_no_tier_warn_once_they_cost_much() -> None:
    """With their dollars an hour; where no price is known, a note says how many they are."""
    snapshot = quiet()
    pool = next(p for p in snapshot.node_pools or () if p.name.startswith("hw-medium"))
    stray = replace(pool, name="retry-00", labels={}, node_count=16, topology="4x4x4")
    like = next(h for h in snapshot.hosts or () if h.pool == pool.name)
    hosts = tuple(replace(like, name=f"retry-{n}", pool=stray.name, labels={}) for n in range(16))
    made = replace(
        snapshot,
        node_pools=(*(snapshot.node_pools or ()), stray),
        hosts=(*(snapshot.hosts or ()), *hosts),
    )
    found = findings(made, 0.0)
    assert [(severity, tier) for severity, tier, _ in found] == [("WARNING", "")]
    assert found[0][2].startswith("1 resource with 64 chips belongs to no tier, at about $768 an")
    unpriced = findings(replace(made, prices=None), 0.0)
    assert [(s, t) for s, t, _ in unpriced if not t] == [("NOTE", "")]


def test_every_source_has_a_name_for_people() -> None:
    """None is told by the word that the code has for it."""
    state = quiet().sources[Source.GKE]
    for source in Source:
        title = source_title(replace(state, source=source))
        assert title[0].isupper(), source
