"""What is wrong with servers and hosts is told with its cause, where something shows one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from core.finding import Finding
from core.fleet import assemble_fleet
from core.problems import what_is_wrong
from core.records import KubeEvent, Pod, ServerReading, Snapshot
from core.server_findings import told_by_log
from tests.core.test_problems import quiet

RUNNING_S = 600.0
LWS_NAME = "leaderworkerset.sigs.k8s.io/name"
LWS_INDEX = "leaderworkerset.sigs.k8s.io/group-index"


def found(snapshot: Snapshot, tier: str = "small") -> list[Finding]:
    """Findings about a tier."""
    return [f for f in what_is_wrong(snapshot, assemble_fleet(snapshot), {}) if f.tier == tier]


def started(pod: Pod, now: datetime, ago_s: float, took_s: float | None, said: str = "") -> Pod:
    """The pod, its container begun so long ago; ready since it took so long, None: not yet."""
    began = now - timedelta(seconds=ago_s)
    turned = began if took_s is None else began + timedelta(seconds=took_s)
    return replace(pod, ready=took_s is not None, started_at=began, turned_at=turned, said=said)


def starting(usual_s: float, for_s: float, said: str = "", turned_s: float = 0.0) -> Snapshot:
    """A small of which one server has been starting `for_s`; others took `usual_s`."""
    snapshot = quiet()
    now = snapshot.taken_at
    own = [p for p in snapshot.pods or () if p.namespace == "small"]
    first = started(own[0], now, for_s, None, said)
    if turned_s:
        assert first.started_at is not None
        first = replace(first, turned_at=first.started_at + timedelta(seconds=turned_s))
    rest = [started(p, now, 86_400.0, usual_s) for p in own[1:]]
    return replace(snapshot, pods=(first, *rest))


def test_a_slow_start_is_told_beside_the_usual_one() -> None:
    """Far longer than others took; its log tells that it loads weights."""
    (told,) = found(starting(90.0, RUNNING_S, "loading weights, 25% so far"))
    assert "load their weights slowly: for 10 min so far" in told.sentence
    assert told.sentence.endswith("usually takes 1.5 min; one is loading weights, 25% so far")
    assert "volume or bucket" in told.next_step
    assert told.is_cause
    (unsaid,) = found(starting(90.0, RUNNING_S))
    assert "1 of " in unsaid.sentence
    assert "start slowly" in unsaid.sentence


def test_of_several_slow_starts_the_longest_is_told_as_such() -> None:
    """Not as what all of them took."""
    snapshot = starting(90.0, RUNNING_S)
    pods = list(snapshot.pods or ())
    pods[1] = started(pods[1], snapshot.taken_at, 400.0, None)
    (told,) = found(replace(snapshot, pods=tuple(pods)))
    assert "2 of 48 servers start slowly: the longest for 10 min so far" in told.sentence


@pytest.mark.parametrize("lost", ["not ready", "none"])
def test_servers_that_wait_for_a_host_of_their_group_are_not_slow(lost: str) -> None:
    """One pod of the group is on a lost host, or has none; another group's start is slow."""
    snapshot = quiet()
    own = [p for p in snapshot.pods or () if p.namespace == "medium"]
    grouped = [
        replace(p, restarts=0, labels={LWS_NAME: "serve", LWS_INDEX: str(i // 4)})
        for i, p in enumerate(own)
    ]
    now = snapshot.taken_at
    stuck = [started(p, now, RUNNING_S, None) for p in grouped[:4]]
    hosts = snapshot.hosts
    if lost == "none":
        stuck[0] = replace(stuck[0], host="", started_at=None, phase="Pending")
    else:
        hosts = tuple(replace(h, ready=h.name != stuck[0].host) for h in hosts or ())
    rest = [started(p, now, 86_400.0, 90.0) for p in grouped[4:]]
    told = found(replace(snapshot, hosts=hosts, pods=(*stuck, *rest)), "medium")
    assert not any("slowly" in f.sentence for f in told)
    assert any(f"3 of {len(own)} server pods run on ready hosts" in f.sentence for f in told)
    other = [started(p, now, RUNNING_S, None) for p in grouped[4:8]]
    told = found(replace(snapshot, hosts=hosts, pods=(*stuck, *other, *rest[4:])), "medium")
    assert any(f"4 of {len(own)} servers start slowly" in f.sentence for f in told)


def test_an_ordinary_start_is_a_note_and_one_that_served_before_is_no_start() -> None:
    """Within the usual; where starts always take long; and where a server stopped serving."""
    for snapshot in (
        starting(90.0, 170.0),
        starting(600.0, RUNNING_S),
        starting(90.0, RUNNING_S, turned_s=300.0),
    ):
        assert [f.severity.name for f in found(snapshot)] == ["NOTE"]


def test_crashing_servers_tell_their_revision_and_last_words() -> None:
    """Only where what crashes is another image than what serves."""
    snapshot = quiet()
    own = [p for p in snapshot.pods or () if p.namespace == "small"]
    bad = replace(own[0], ready=False, restarts=5, image="r.io/server:2", said="ValueError")
    rest = [replace(p, image="r.io/server:1") for p in own[1:]]
    (told,) = found(replace(snapshot, pods=(bad, *rest)))
    assert told.sentence.endswith(
        ": all of revision 2, those that serve of 1; the last error in one's log: ValueError"
    )
    same = [replace(p, image="r.io/server:2") for p in rest]
    (alike,) = found(replace(snapshot, pods=(bad, *same)))
    assert "revision" not in alike.sentence


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ERROR RESOURCE_EXHAUSTED: out of HBM while allocating", "RESOURCE_EXHAUSTED"),
        ("(EngineCore pid=3) ERROR 11-06 [core.py:708] ValueError: hf_s3cret", "ValueError"),
        ("jaxlib.xla_extension.XlaRuntimeError: INTERNAL: s3cret", "XlaRuntimeError: INTERNAL"),
        ("KeyboardInterrupt: s3cret", ""),
        ("  raise ValueError(s3cret)", ""),
        ("AssertionError", "AssertionError"),
        ("INFO prompt s3cret", ""),
    ],
)
def test_of_a_log_no_words_are_told_but_the_names_of_errors(line: str, told: str) -> None:
    """What follows a name may be a prompt or a secret; lines after it hide no error."""
    assert told_by_log(["INFO starting", line, "INFO s3cret"], crashed=True) == told


def test_a_log_tells_that_weights_load() -> None:
    """Not once it says how long that took; with the share if it does."""
    lines = ["INFO starting", "INFO Loading weights of m", "INFO GET /health 503", ""]
    assert told_by_log(lines, crashed=False) == "loading weights"
    shards = "Loading safetensors checkpoint shards:  25% Completed | 1/4"
    assert told_by_log([shards], crashed=False) == "loading weights, 25% so far"
    took = "INFO Loading weights took 3.2 seconds"
    assert told_by_log([*lines, took], crashed=False) == ""
    assert told_by_log(["INFO download done"], crashed=False) == ""


def hot(cached: float, elsewhere: float) -> Snapshot:
    """A small of which one server is at its limit; shares of prompts cached there and elsewhere."""
    snapshot = quiet()
    host = next(h for h in snapshot.hosts or () if h.pool.startswith("hw-small"))
    chips = tuple(
        replace(c, tensorcore_utilisation_ratio=0.98 if c.host == host.name else 0.4)
        for c in snapshot.chips or ()
    )
    pods = [p for p in snapshot.pods or () if p.namespace == "small"]
    servers = tuple(
        ServerReading(
            "small", p.name, p.cluster, 20.0 if p.host == host.name else 10.0,
            cached if p.host == host.name else elsewhere,
        )
        for p in pods
    )  # fmt: skip
    return replace(snapshot, chips=chips, servers=servers)


def snapshot_with_unknown_rate(snapshot: Snapshot) -> str:
    """What is said of a drawn prefix where one server's requests/s are not known."""
    servers = list(snapshot.servers or ())
    servers[-1] = replace(servers[-1], requests_per_s=None)
    (told,) = found(replace(snapshot, servers=tuple(servers)))
    return told.sentence.partition(": ")[2].partition(";")[0]


def test_a_cached_prefix_that_draws_requests_is_the_cause() -> None:
    """With the server's share and what an even one were; not where all cache alike."""
    (told,) = found(hot(0.6, 0.2))
    count = len([p for p in quiet().pods or () if p.namespace == "small"])
    share = 20.0 / (20.0 + 10.0 * (count - 1))
    assert f"it serves {share:.1%} of them, where {1 / count:.1%} were even" in told.sentence
    assert "60% of its prompt tokens are cached, 20% elsewhere" in told.sentence
    assert told.is_cause
    assert snapshot_with_unknown_rate(hot(0.6, 0.2)) == (
        "a prefix that one server has cached draws requests to it: its share of them is unknown"
    )
    (plain,) = found(hot(0.3, 0.25))
    assert "prefix" not in plain.sentence
    assert not plain.is_cause


def test_a_zone_without_a_ready_host_is_told_as_such() -> None:
    """Of each tier there; one ready host is enough for it not to be the zone."""
    snapshot = quiet()
    down = tuple(replace(h, ready=False, reason="NodeStatusUnknown") for h in snapshot.hosts or ())
    for tier in ("small", "medium"):
        told = found(replace(snapshot, hosts=down), tier)
        count = sum(h.pool.startswith(f"hw-{tier}") for h in down)
        assert f"nothing in zone us-central1-c answers: none of its {count} hosts" in (
            told[0].sentence
        )
        other = "Medium" if tier == "small" else "Small"
        assert told[0].sentence.endswith(f"no host of {other} either"), told
        assert told[0].is_cause
    one = (*down[:-1], replace(down[-1], ready=True))
    assert not any("zone" in f.sentence for f in found(replace(snapshot, hosts=one)))


def test_an_event_says_what_a_host_has() -> None:
    """The newest warning about it that is more than that it is not ready."""
    snapshot = quiet()
    host = next(h for h in snapshot.hosts or () if h.pool.startswith("hw-small"))
    hosts = tuple(replace(h, ready=h.name != host.name) for h in snapshot.hosts or ())

    def event(reason: str, message: str, name: str = host.name) -> KubeEvent:
        where = f"Node/{name}"
        at = snapshot.taken_at
        return KubeEvent(at, host.cluster, "default", "Warning", reason, where, message, 1)

    events = (event("NodeNotReady", "it is not"), event("TPUDeviceUnhealthy", "an HBM error"))
    told = [f.sentence for f in found(replace(snapshot, hosts=hosts, kube_events=events))]
    assert any(f"TPUDeviceUnhealthy on {host.name}: an HBM error" in s for s in told)
    assert not any("NodeNotReady on" in s for s in told)


@pytest.mark.parametrize(
    ("reason", "minutes", "is_told"),
    [
        ("TPUDeviceUnhealthy", 5, True),
        ("TPUDeviceUnhealthy", -60, True),
        ("TPUDeviceUnhealthy", 30, False),
        ("InvalidDiskCapacity", 0, False),
        ("Rebooted", 0, False),
        ("FreeDiskSpaceFailed", 0, False),
    ],
)
def test_an_event_that_says_nothing_of_a_loss_is_not_its_cause(
    reason: str, minutes: int, is_told: bool
) -> None:
    """From long before the host was lost, or what kubelets say of hosts that are well."""
    snapshot = quiet()
    lost_at = snapshot.taken_at - timedelta(hours=2)
    own = [h for h in snapshot.hosts or () if h.pool.startswith("hw-small")][:2]
    names = {h.name for h in own}
    hosts = tuple(
        replace(h, ready=False, turned_at=lost_at) if h.name in names else h
        for h in snapshot.hosts or ()
    )
    events = tuple(
        KubeEvent(lost_at - timedelta(minutes=minutes), h.cluster, "default", "Warning", reason,
                  f"Node/{h.name}", "words", 1) for h in own
    )  # fmt: skip
    told = [f.sentence for f in found(replace(snapshot, hosts=hosts, kube_events=events))]
    named = [s.partition(": ")[2] for s in told if f"{reason} on" in s]
    assert named == [f"{reason} on {own[1].name} and 1 more host: words"] * is_told


def spot(events: tuple[KubeEvent, ...]) -> list[str]:
    """What is said of a medium on spot chips of which two slices have no machines."""
    snapshot = quiet()
    pools = tuple(
        replace(p, labels={**p.labels, "cloud.google.com/gke-spot": "true"})
        if p.name.startswith("hw-medium")
        else p
        for p in snapshot.node_pools or ()
    )
    gone = ("hw-medium-00", "hw-medium-01")
    hosts = tuple(h for h in snapshot.hosts or () if h.pool not in gone)
    seen = replace(snapshot, node_pools=pools, hosts=hosts, kube_events=events)
    return [f.sentence for f in found(seen, "medium") if f.is_cause]


def test_pre_emption_is_claimed_with_evidence_alone() -> None:
    """The cloud's word that a node's machine is no more; else what is seen is told."""
    (unknown,) = spot(())
    assert unknown.endswith(
        ": no machine is there of 2 of 64 slices on spot chips, and nothing tells why"
    )

    def deleting(pool: str) -> KubeEvent:
        name = f"Node/gke-hw-serving-{pool}-0a1b2c3d-x7k2"
        return KubeEvent(quiet().taken_at, "hw-serving", "default", "Normal", "DeletingNode",
                         name, "it does not exist in the cloud provider", 1)  # fmt: skip

    taken, rest = spot((deleting("hw-medium-01"), deleting("hw-medium-0")))
    assert ": the machines of 1 of 64 slices on spot chips were taken away (pre-empted)" in taken
    assert ": no machine is there of 1 of 64 slices on spot chips" in rest


def test_every_finding_has_a_next_step_and_causes_stand_first() -> None:
    """Whatever is wrong; a cause before what is worse of its tier."""
    snapshot = quiet()
    down = tuple(replace(h, ready=False) for h in snapshot.hosts or ())
    all_found = what_is_wrong(
        replace(snapshot, hosts=down), assemble_fleet(replace(snapshot, hosts=down)), {}
    )
    assert all(f.next_step and not f.next_step.endswith(".") for f in all_found)
    for tier in ("small", "medium"):
        causes = [f.is_cause for f in all_found if f.tier == tier]
        assert causes == sorted(causes, reverse=True)
        assert causes[0]
