"""Fleets assembled from snapshots: states, counts, reasons, and what belongs to nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.fleet import State, assemble_fleet
from core.ownership import labels_suffice
from core.records import Endpoint, Source
from core.specs import TIER_LABEL
from tests.make import (
    make_endpoint,
    make_failure,
    make_hosts,
    make_pools,
    make_snapshot,
    make_specs,
)


def test_the_default_world_has_its_sizes() -> None:
    """Counts follow the records: 256, 1,024 and 8 chips run; large is off, which is no error."""
    fleet = assemble_fleet(make_snapshot("normal"))
    chips = {t.name: t.chip_count.running for t in fleet.tiers}
    assert chips == {"local": 1, "small": 256, "medium": 1024, "large": 0, "dev": 8}
    large = fleet.tier("large")
    assert (large.state, large.reasons) == (State.OFF, ("0 of 36 slices exist",))
    assert fleet.chips_running == 1288
    assert fleet.unassigned == ()


def test_the_full_fleet_has_all_its_chips() -> None:
    """10,504 chips, with the readings of each host beside it."""
    fleet = assemble_fleet(make_snapshot("full-fleet"))
    assert fleet.chips_running == 10504
    host = fleet.tier("large").slices[0].hosts[0]
    assert len(host.readings) == host.chips == 4


def test_never_read_is_unknown_and_not_zero() -> None:
    """Before the first read every count but the wanted one is None and no tier is off."""
    fleet = assemble_fleet(make_snapshot("unread"))
    assert {t.state for t in fleet.tiers} == {State.UNKNOWN}
    assert all(t.chip_count.running is None for t in fleet.tiers)
    assert fleet.chips_running is None
    assert fleet.unassigned is None


def test_one_unread_part_leaves_the_others() -> None:
    """Vertex never read: small's size is unknown, medium's is not."""
    fleet = assemble_fleet(make_failure(make_snapshot(), Source.VERTEX, keep=False))
    assert fleet.tier("small").state is State.UNKNOWN
    assert fleet.tier("small").slice_count.running is None
    assert fleet.tier("medium").state is State.RUNNING


def test_a_slice_needs_all_its_hosts() -> None:
    """One host down: its multi-host slice is degraded, its other hosts' chips stay ready."""
    snapshot = make_snapshot()
    hosts = tuple(
        replace(h, ready=False, reason="KubeletNotReady")
        if h.name.endswith("medium-05-0002")
        else h
        for h in snapshot.hosts or ()
    )
    medium = assemble_fleet(replace(snapshot, hosts=hosts)).tier("medium")
    assert medium.state is State.DEGRADED
    assert medium.slice_count.ready == 63
    assert medium.chip_count.ready == 1020
    assert medium.reasons == ("1 of 64 slices not ready", "hw-medium-05: 1 of 4 hosts not ready")


@pytest.mark.parametrize(
    ("status", "state"), [("RECONCILING", State.PROVISIONING), ("RUNNING", State.DEGRADED)]
)
def test_a_missing_node_of_a_changing_pool_is_on_its_way(status: str, state: State) -> None:
    """17 nodes wanted, 16 there: provisioning while GKE works on it, else degraded.

    What is promised stands apart from what runs, in slices, chips and words.
    """
    snapshot = make_snapshot()
    pools = tuple(
        replace(p, node_count=17, status=status) if p.name == "hw-small-00" else p
        for p in snapshot.node_pools or ()
    )
    small = assemble_fleet(replace(snapshot, node_pools=pools)).tier("small")
    assert small.state is state
    assert (small.slice_count.running, small.slice_count.ready) == (64, 64)
    assert (small.slice_count.promised, small.chip_count.promised) == (1, 4)
    assert small.chip_count.running == 256
    assert "GKE: 48 of 48 slices exist, 1 more promised" in small.reasons


@pytest.mark.parametrize(
    ("reason", "state"), [("NodeStatusUnknown", State.DEGRADED), ("", State.PROVISIONING)]
)
def test_a_lost_node_is_no_new_node(reason: str, state: State) -> None:
    """Ready "Unknown" means that Kubernetes lost the node; without any word it is new."""
    snapshot = make_snapshot()
    first, *others = snapshot.hosts or ()
    hosts = (replace(first, ready=None, reason=reason), *others)
    fleet = assemble_fleet(replace(snapshot, hosts=hosts))
    (host,) = [h for t in fleet.tiers for s in t.slices for h in s.hosts if h.name == first.name]
    assert host.state is state
    assert host.reason.startswith(reason or "the node has not reported yet")


def test_a_silent_local_server_is_not_shown_as_running() -> None:
    """Its last good word is old: while it does not answer it is degraded, and none is ready."""
    local = assemble_fleet(make_failure(make_snapshot(), Source.INFERENCE)).tier("local")
    assert local.state is State.DEGRADED
    assert local.slice_count.ready == 0
    assert "does not answer" in local.reasons[1]


def test_unread_nodes_leave_readiness_unknown() -> None:
    """Pools without Kubernetes: the size is known, readiness is not, and one reason says so."""
    small = assemble_fleet(replace(make_snapshot(), hosts=None)).tier("small")
    assert (small.slice_count.running, small.slice_count.ready) == (64, None)
    assert small.reasons == ("GKE: Kubernetes nodes have not been read yet",)


def test_an_endpoint_without_models_is_empty() -> None:
    """An endpoint that serves nothing is EMPTY, and its part has no slices."""
    empty = Endpoint("1", "hw-small-vertex", "us-central1", (), {})
    part = assemble_fleet(replace(make_snapshot(), endpoints=(empty,))).tier("small").parts[1]
    assert (part.state, part.slice_count.running) == (State.EMPTY, 0)
    assert "no deployed model" in part.reasons[0]


def test_replicas_come_from_the_metric() -> None:
    """The replica metric counts, not the declared minimum; without it a reason says so."""
    snapshot = make_snapshot()
    loads = dict(snapshot.loads or {})
    loads["small"] = replace(loads["small"], vertex_replicas=14)
    part = assemble_fleet(replace(snapshot, loads=loads)).tier("small").parts[1]
    assert (part.slice_count.running, part.slice_count.ready) == (14, 14)
    assert part.slice_count.promised == 2
    silent = assemble_fleet(replace(snapshot, loads={})).tier("small").parts[1]
    assert silent.slice_count.running == 16
    assert "declared minimum" in silent.reasons[0]


def test_what_fits_no_tier_is_unassigned() -> None:
    """A pool with a foreign name or a label of a tier that is not configured belongs to nobody."""
    snapshot = make_snapshot()
    pool = next(iter(make_pools()))
    foreign = replace(pool, name="research", labels={})
    labelled = replace(pool, name="hw-small-99", labels={TIER_LABEL: "huge"})
    pools = (*(snapshot.node_pools or ()), foreign, labelled)
    hosts = (*(snapshot.hosts or ()), *make_hosts(foreign), *make_hosts(labelled))
    fleet = assemble_fleet(replace(snapshot, node_pools=pools, hosts=hosts))
    assert [(u.name, u.chips, u.generation) for u in fleet.unassigned or ()] == [
        ("research", 64, "TPU7x"),
        ("hw-small-99", 64, "TPU7x"),
    ]
    assert fleet.tier("small").slice_count.running == 64


def test_an_unassigned_pool_counts_the_nodes_that_are_there() -> None:
    """Promised nodes are named, not counted; without Kubernetes the target size counts."""
    pool = replace(next(iter(make_pools())), name="research", labels={})
    one = tuple(make_hosts(pool))[:1]
    snapshot = replace(make_snapshot(), node_pools=(pool,), hosts=one)
    (found,) = assemble_fleet(snapshot).unassigned or ()
    assert (found.chips, found.detail) == (
        4,
        "1 × tpu7x-standard-4t in hw-serving, 15 more promised",
    )
    (unread,) = assemble_fleet(replace(snapshot, hosts=None)).unassigned or ()
    assert unread.chips == 64


def test_clusters_of_one_name_in_two_locations_stay_apart() -> None:
    """Same names all the way down: only the tier's own cluster counts, with its own readings."""
    snapshot = make_snapshot()
    elsewhere = [
        replace(p, location="europe-west4", zones=("europe-west4-a",))
        for p in snapshot.node_pools or ()
        if p.name == "hw-small-00"
    ]
    twins = [h for pool in elsewhere for h in make_hosts(pool)]
    theirs = [
        replace(c, cluster_location="europe-west4", tensorcore_utilisation_ratio=0.0)
        for c in snapshot.chips or ()
        if c.host == twins[0].name
    ]
    fleet = assemble_fleet(
        replace(
            snapshot,
            node_pools=(*elsewhere, *(snapshot.node_pools or ())),
            hosts=(*twins, *(snapshot.hosts or ())),
            chips=(*theirs, *(snapshot.chips or ())),
        )
    )
    small = fleet.tier("small")
    assert small.slice_count.running == 64
    assert [(u.name, u.location, u.chips) for u in fleet.unassigned or ()] == [
        ("hw-small-00", "europe-west4-a", 64)
    ]
    first = next(h for s in small.slices for h in s.hosts if h.name == twins[0].name)
    assert len(first.readings) == 4
    assert all(r.tensorcore_utilisation_ratio for r in first.readings)


def test_an_empty_multi_host_pool_is_no_slice() -> None:
    """A pool of no nodes runs nothing, and is not shown as a running slice."""
    snapshot = make_snapshot()
    pools = [
        replace(p, node_count=0) if p.name == "hw-medium-05" else p
        for p in snapshot.node_pools or ()
    ]
    hosts = [h for h in snapshot.hosts or () if h.pool != "hw-medium-05"]
    medium = assemble_fleet(replace(snapshot, node_pools=tuple(pools), hosts=tuple(hosts))).tier(
        "medium"
    )
    assert (medium.slice_count.running, medium.chip_count.running) == (63, 1008)


def test_the_label_alone_is_enough_only_where_it_says_what_the_selectors_say() -> None:
    """A pool owned by its name, or labelled in another cluster, needs its name looked at."""
    specs = make_specs()
    pools = tuple(make_pools())
    assert labels_suffice(specs, pools)
    assert not labels_suffice(specs, None)
    assert not labels_suffice(specs, (replace(pools[0], labels={}), *pools[1:]))
    assert not labels_suffice(specs, (*pools, replace(pools[0], location="europe-west4")))
    assert labels_suffice(specs, (*pools, replace(pools[0], name="web", labels={})))
    assert labels_suffice(specs, (*pools, replace(pools[0], machine_type="e2-medium", labels={})))


def test_the_label_beats_the_prefix() -> None:
    """A pool named like medium but labelled small is small's."""
    snapshot = make_snapshot()
    pool = replace(next(iter(make_pools())), name="hw-medium-extra", node_count=1)
    host = next(iter(make_hosts(pool)))
    fleet = assemble_fleet(
        replace(
            snapshot,
            node_pools=(*(snapshot.node_pools or ()), pool),
            hosts=(*(snapshot.hosts or ()), host),
        )
    )
    assert fleet.tier("small").slice_count.running == 65
    assert fleet.tier("medium").slice_count.running == 64


@given(st.sets(st.integers(0, 303), max_size=40), st.integers(0, 20))
def test_every_host_is_somewhere_and_counts_add_up(gone: set[int], replicas: int) -> None:
    """Whatever hosts are missing: ready ≤ running, and chips never exceed what exists."""
    snapshot = make_snapshot()
    hosts = tuple(h for i, h in enumerate(snapshot.hosts or ()) if i not in gone)
    fleet = assemble_fleet(
        replace(snapshot, hosts=hosts, endpoints=(make_endpoint(replicas),), loads={})
    )
    for tier in fleet.tiers:
        assert (tier.slice_count.ready or 0) <= (tier.slice_count.running or 0)
        assert (tier.chip_count.ready or 0) <= (tier.chip_count.running or 0)
    shown = {h.name for t in fleet.tiers for s in t.slices for h in s.hosts}
    assert {h.name for h in hosts} <= shown
