"""Why a tier's hosts are gone or not ready, as far as it shows: a zone, spot chips, a fault.

That slices are not ready says `core/fleet.py`; these say what they have in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from core.finding import Finding, Severity
from core.fleet import Fleet, FleetHost, FleetTier, State
from core.records import KubeEvent, Snapshot
from core.wording import plural

_FEWEST_SLICES: Final = 4  # of a zone; fewer may all be down for reasons of their own
# It says that a host is not ready, which is known; not why.
_NO_REASON: Final = ("NodeNotReady", "NodeNotSchedulable")


def host_findings(snapshot: Snapshot, fleet: Fleet) -> Iterable[Finding]:
    """Causes of lost hosts, tier by tier."""
    lost_zones = _lost_zones(fleet)
    told = _told(snapshot)
    for tier in fleet.tiers:
        hosts = [h for s in tier.slices for h in s.hosts]
        yield from _zones(tier, hosts, lost_zones)
        yield from _taken(tier)
        lost = [h for h in hosts if h.state is State.DEGRADED and h.zone not in lost_zones]
        yield from _events(tier, lost, told)


def _lost_zones(fleet: Fleet) -> set[str]:
    """Zones with several slices, no host of which is well."""
    slices: Counter[str] = Counter()
    well: set[str] = set()
    for tier in fleet.tiers:
        for one in tier.slices:
            slices.update({h.zone for h in one.hosts if h.zone})
            well |= {h.zone for h in one.hosts if h.state is not State.DEGRADED}
    return {zone for zone, count in slices.items() if count >= _FEWEST_SLICES} - well


def _zones(tier: FleetTier, hosts: list[FleetHost], lost: set[str]) -> Iterable[Finding]:
    for zone in sorted({h.zone for h in hosts} & lost):
        count = sum(h.zone == zone for h in hosts)
        yield Finding(
            Severity.WARNING,
            tier.name,
            f"{tier.spec.title}: no host in zone {zone} is ready, {plural(count, 'host')} of it"
            " among them: the whole zone is down",
            None,
            "fleet",
            "Fail over to a tier that runs elsewhere (Actions on the tier's card), and look at"
            " Google Cloud's status page for the zone",
            is_cause=True,
        )


def _taken(tier: FleetTier) -> Iterable[Finding]:
    """Slices on spot chips whose machines are all gone, though nobody resizes them."""
    spot = [s for s in tier.slices if s.spot]
    gone = [s for s in spot if s.state is State.DEGRADED and s.chips and not s.chips_there]
    if gone:
        yield Finding(
            Severity.WARNING,
            tier.name,
            f"{tier.spec.title}: the machines of {len(gone)} of {plural(len(spot), 'slice')} on"
            " spot chips were taken away (pre-empted)",
            None,
            "fleet",
            "They come back when there is stock; until then shift traffic, or scale a part on"
            " reserved or on-demand chips",
            is_cause=True,
        )


_Told = dict[str, KubeEvent]


def _told(snapshot: Snapshot) -> _Told:
    """The newest warning about each node that says why."""
    found: _Told = {}
    events = [e for e in snapshot.kube_events or () if e.type == "Warning"]
    for event in sorted(events, key=lambda e: e.at):
        kind, _, name = event.object.partition("/")
        if kind == "Node" and event.reason not in _NO_REASON:
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
        several = f"{names[reason, message]} and {len(times) - 1} more hosts"
        where = names[reason, message] if len(times) == 1 else several
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
