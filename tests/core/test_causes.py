"""What is wrong with servers and hosts is told with its cause, where something shows one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from core.finding import Finding
from core.fleet import assemble_fleet
from core.problems import what_is_wrong
from core.records import KubeEvent, Pod, ServerReading, Snapshot
from core.server_findings import telling_line
from tests.core.test_problems import quiet

RUNNING_S = 600.0


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
    (told,) = found(starting(90.0, RUNNING_S, "INFO Loading weights of a-model"))
    assert "load their weights slowly: for 10 min so far" in told.sentence
    assert "a start usually takes 1.5 min" in told.sentence
    assert "volume or bucket" in told.next_step
    assert told.is_cause
    (unsaid,) = found(starting(90.0, RUNNING_S))
    assert "1 of " in unsaid.sentence
    assert "start slowly" in unsaid.sentence


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
    bad = replace(own[0], ready=False, restarts=5, image="r.io/server:2", said="out of HBM")
    rest = [replace(p, image="r.io/server:1") for p in own[1:]]
    (told,) = found(replace(snapshot, pods=(bad, *rest)))
    assert told.sentence.endswith(
        ": all of revision 2, those that serve of 1; one's log: out of HBM"
    )
    same = [replace(p, image="r.io/server:2") for p in rest]
    (alike,) = found(replace(snapshot, pods=(bad, *same)))
    assert "revision" not in alike.sentence


def test_the_line_that_tells_is_found_in_a_log() -> None:
    """The last words of what crashed; else what was last said of weights, whatever follows."""
    lines = ["INFO starting", "INFO Loading weights of m", "INFO GET /health 503", ""]
    assert telling_line(lines, crashed=False) == "INFO Loading weights of m"
    assert telling_line(lines, crashed=True) == "INFO GET /health 503"
    shards = "Loading safetensors checkpoint shards:  25% Completed | 1/4"
    assert telling_line([shards], crashed=False) == shards
    assert telling_line(["INFO download done"], crashed=False) == ""


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


def test_a_cached_prefix_that_draws_requests_is_the_cause() -> None:
    """With the server's share and what an even one were; not where all cache alike."""
    (told,) = found(hot(0.6, 0.2))
    count = len([p for p in quiet().pods or () if p.namespace == "small"])
    share = 20.0 / (20.0 + 10.0 * (count - 1))
    assert f"it serves {share:.1%} of them, where {1 / count:.1%} were even" in told.sentence
    assert "60% of its prompt tokens are cached, 20% elsewhere" in told.sentence
    assert told.is_cause
    (plain,) = found(hot(0.3, 0.25))
    assert "prefix" not in plain.sentence
    assert not plain.is_cause


def test_a_zone_without_a_ready_host_is_told_as_such() -> None:
    """Of each tier there; one ready host is enough for it not to be the zone."""
    snapshot = quiet()
    down = tuple(replace(h, ready=False, reason="NodeStatusUnknown") for h in snapshot.hosts or ())
    for tier in ("small", "medium"):
        told = found(replace(snapshot, hosts=down), tier)
        assert "the whole zone is down" in told[0].sentence, told
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
