"""Why a tier's hosts are gone or not ready, as far as it shows: a zone, spot chips, a fault.

That slices are not ready says `core/fleet.py`; these say what they have in common.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from core.finding import Finding, Severity
from core.fleet import Fleet, FleetHost, FleetSlice, FleetTier, State
from core.records import KubeEvent, Snapshot
from core.wording import plural

_FEWEST_SLICES: Final = 4  # of a zone; fewer may all be down for reasons of their own
# They say that a host is not ready, which is known; or what kubelets say of hosts that are well.
_NO_REASON: Final = (
    "NodeNotReady", "NodeNotSchedulable", "Rebooted", "InvalidDiskCapacity", "FreeDiskSpaceFailed",
    "ImageGCFailed", "ContainerGCFailed", "CheckLimitsForResolvConf", "MissingClusterDNS",
)  # fmt: skip
_BEFORE: Final = timedelta(minutes=10)  # what a host is lost of is reported at most so much earlier
# GKE's word that a node's machine is no more; slices that are being resized are not looked at.
_GONE: Final = "DeletingNode"


def host_findings(snapshot: Snapshot, fleet: Fleet) -> Iterable[Finding]:
    """Causes of lost hosts, tier by tier."""
    lost_zones = _lost_zones(fleet)
    told = _told(snapshot)
    for tier in fleet.tiers:
        hosts = [h for s in tier.slices for h in s.hosts]
        yield from _zones(tier, hosts, lost_zones)
        yield from _absent(tier, snapshot)
        lost = [h for h in hosts if h.state is State.DEGRADED and h.zone not in lost_zones]
        yield from _events(tier, lost, told)


def _lost_zones(fleet: Fleet) -> dict[str, list[FleetTier]]:
    """Zones with several slices, no host of which is well, and the tiers that have them."""
    slices: Counter[str] = Counter()
    well: set[str] = set()
    tiers: dict[str, list[FleetTier]] = {}
    for tier in fleet.tiers:
        for one in tier.slices:
            slices.update({h.zone for h in one.hosts if h.zone})
            well |= {h.zone for h in one.hosts if h.state is not State.DEGRADED}
        for zone in {h.zone for one in tier.slices for h in one.hosts}:
            tiers.setdefault(zone, []).append(tier)
    several = {zone for zone, count in slices.items() if count >= _FEWEST_SLICES}
    return {zone: tiers[zone] for zone in several - well}


def _zones(
    tier: FleetTier, hosts: list[FleetHost], lost: Mapping[str, list[FleetTier]]
) -> Iterable[Finding]:
    """What is seen of a zone; whether all of it is down, or a cluster there, no host tells."""
    for zone in sorted({h.zone for h in hosts} & lost.keys()):
        count = sum(h.zone == zone for h in hosts)
        others = [other.spec.title for other in lost[zone] if other is not tier]
        also = f"no host of {' or '.join(others)} either" if others else "no other tier has any"
        yield Finding(
            Severity.WARNING,
            tier.name,
            f"{tier.spec.title}: nothing in zone {zone} answers: none of its"
            f" {plural(count, 'host')} there is ready, and {also}",
            None,
            "fleet",
            "Fail over to a tier that runs elsewhere (Actions on the tier's card); look at Google"
            " Cloud's status page for the zone and, if that is well, at the cluster",
            is_cause=True,
        )


def _absent(tier: FleetTier, snapshot: Snapshot) -> Iterable[Finding]:
    """Slices on spot chips without any machine, though nobody resizes them."""
    spot = [s for s in tier.slices if s.spot]
    absent = [s for s in spot if s.state is State.DEGRADED and s.chips and not s.chips_there]
    taken = sum(_was_taken(s, snapshot) for s in absent)
    of = f"of {plural(len(spot), 'slice')} on spot chips"
    if taken:
        sentence = f"the machines of {taken} {of} were taken away (pre-empted)"
        step = "GKE's come back when there is stock, TPU VMs are made anew"
        yield _lack(tier, sentence, step)
    if len(absent) > taken:
        sentence = f"no machine is there of {len(absent) - taken} {of}, and nothing tells why"
        step = "Look at the node pool's errors: they were taken away, or there is no stock"
        yield _lack(tier, sentence, step)


def _lack(tier: FleetTier, sentence: str, step: str) -> Finding:
    return Finding(
        Severity.WARNING,
        tier.name,
        f"{tier.spec.title}: {sentence}",
        None,
        "fleet",
        f"{step}; until then shift traffic, or scale a part on reserved or on-demand chips",
        is_cause=True,
    )


def _was_taken(one: FleetSlice, snapshot: Snapshot) -> bool:
    """Whether the cloud says so: of the TPU VM, or of the node of a pool by the pool's name."""
    if any(v.name == one.resource and v.state == "PREEMPTED" for v in snapshot.tpu_vms or ()):
        return True
    node = re.compile(rf"Node/gke-.*\b{re.escape(one.resource)}(-[0-9a-z]+){{2}}")
    return any(e.reason == _GONE and node.fullmatch(e.object) for e in snapshot.kube_events or ())


_Told = dict[str, KubeEvent]


def _told(snapshot: Snapshot) -> _Told:
    """The newest warning about each node that may say why it was lost."""
    lost_at = {h.name: h.turned_at for h in snapshot.hosts or () if not h.ready}
    found: _Told = {}
    events = [e for e in snapshot.kube_events or () if e.type == "Warning"]
    for event in sorted(events, key=lambda e: e.at):
        kind, _, name = event.object.partition("/")
        if kind != "Node" or name not in lost_at or event.reason in _NO_REASON:
            continue
        since = lost_at[name]
        if since is None or event.at >= since - _BEFORE:
            found[name] = event
    return found


def _events(tier: FleetTier, lost: list[FleetHost], told: _Told) -> Iterable[Finding]:
    """What Kubernetes' events say of hosts that are not ready, told once for all alike."""
    alike: dict[tuple[str, str], list[datetime]] = {}
    names: dict[tuple[str, str], str] = {}
    for host in lost:
        event = told.get(host.name)
        if event is not None:
            alike.setdefault((event.reason, event.message), []).append(event.at)
            names[event.reason, event.message] = host.name
    for (reason, message), times in alike.items():
        more = f" and {plural(len(times) - 1, 'more host')}" if len(times) > 1 else ""
        where = f"{names[reason, message]}{more}"
        yield Finding(
            Severity.WARNING,
            tier.name,
            f"{tier.spec.title}: {reason} on {where}: {message}",
            min(times),
            "fleet",
            "Restart the slice on other hosts (Restart a slice), or have the node pool repaired;"
            " its other hosts idle meanwhile",
            is_cause=True,
        )
