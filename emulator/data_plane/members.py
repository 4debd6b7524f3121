"""Who may answer: endpoints behind the backend services, as the health checks have seen them.

A probe asks `groups.health`, which knows the machines; what it finds counts after as many probes in
a row as the health check's thresholds say. An endpoint that has left its group gets nothing new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.apis.compute import groups
from emulator.apis.compute.fields import path_of
from emulator.apis.compute.model import Body, state_of
from emulator.apis.compute.traffic import live_services
from emulator.context import Cloud

_INTERVAL_S: Final = 5.0  # Compute's defaults where a health check does not say
_THRESHOLD: Final = 2


@dataclass(slots=True)
class Member:
    """One endpoint: what the last probe found, what holds, and probes in a row against it."""

    tier: str
    group: str
    name: str
    address: str
    answers: bool
    healthy: bool
    against: int = 0
    gone_at: float | None = None  # monotonic; when it left its group


@dataclass(slots=True)
class _Group:
    due_at: float = 0.0
    members: dict[str, Member] = field(default_factory=dict[str, Member])


class Members:
    """All endpoints that a forwarding rule leads to. Probed from one thread; read from any."""

    def __init__(self, cloud: Cloud, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud, self._clock = cloud, clock
        self._groups: dict[str, _Group] = {}

    def pick(
        self, service: Body, chance: float, tried: frozenset[str] = frozenset()
    ) -> Member | None:
        """A healthy endpoint of a backend service, by the capacity of its groups; None: nobody is.

        `chance`, in [0, 1), decides; those that were `tried` come only when nobody else is left.
        """
        found: list[tuple[Member, float]] = []
        for backend in service.get("backends", []):
            capacity = _capacity(backend)
            group = self._groups.get(_path(str(backend.get("group", ""))))
            for member in group.members.values() if group and capacity else ():
                if member.healthy and member.gone_at is None:
                    found.append((member, capacity))
        found = [(m, c) for m, c in found if m.name not in tried] or found
        point = chance * sum(capacity for _, capacity in found)
        for member, capacity in found:
            point -= capacity
            if point < 0:
                return member
        return found[-1][0] if found else None

    def plant(self, group: str, members: list[Member]) -> None:
        """Have a group's endpoints be these, as if they had been probed."""
        self._groups[group] = _Group(members={m.name: m for m in members})

    def probe(self) -> None:
        """Probe the groups whose health check is due; those of no live service are forgotten."""
        now = self._clock()
        live: set[str] = set()
        for service in live_services(self._cloud):
            check = self._check_of(service)
            for group in _group_paths(service):
                live.add(group)
                known = self._groups.setdefault(group, _Group())
                if now >= known.due_at:
                    known.due_at = now + float(check.get("checkIntervalSec", _INTERVAL_S))
                    self._probe(group, known, check, now)
        for group in self._groups.keys() - live:
            del self._groups[group]

    def _check_of(self, service: Body) -> Body:
        for link in service.get("healthChecks", []):
            path = path_of(self._cloud.project, str(link))
            if path and (found := state_of(self._cloud).at(path)):
                return found
        return {}

    def _probe(self, group: str, known: _Group, check: Body, now: float) -> None:
        with self._cloud.lock:
            body = groups.health(self._cloud, f"/compute/v1/{group}")
            tiers = {n.name: n.tier for n in self._cloud.fleet.nodes()} if not known.members else {}
            tier = groups.tier_of_group(self._cloud, f"/compute/v1/{group}")
        found = {_name(e): e for e in body.get("healthStatus", [])}
        first = not known.members
        fresh: dict[str, Member] = {}
        for name, status in found.items():
            answers = status["healthState"] == "HEALTHY"
            address = f"{status.get('ipAddress', '')}:{status['port']}"
            member = known.members.get(name) or Member(
                tier or tiers.get(name, ""), group, name, address, answers, answers and first
            )
            _count(member, answers, check)
            member.gone_at = None
            fresh[name] = member
        for name, member in known.members.items():
            if name not in found:
                member.gone_at = now if member.gone_at is None else member.gone_at
                member.healthy = member.answers = False
        known.members = fresh


def _count(member: Member, answers: bool, check: Body) -> None:
    member.answers = answers
    if answers == member.healthy:
        member.against = 0
        return
    member.against += 1
    key = "healthyThreshold" if answers else "unhealthyThreshold"
    if member.against >= int(check.get(key, _THRESHOLD)):
        member.healthy, member.against = answers, 0


def _capacity(backend: Body) -> float:
    """What an endpoint of this backend is given beside others; 0: it is drained."""
    each = next(
        (float(backend[k]) for k in ("maxRatePerEndpoint", "maxRatePerInstance") if k in backend),
        1.0,
    )
    return each * float(backend.get("capacityScaler", 1.0))


def _group_paths(service: Body) -> Iterator[str]:
    for backend in service.get("backends", []):
        if link := str(backend.get("group", "")):
            yield _path(link)


def _path(link: str) -> str:
    return link.rpartition("/compute/v1/")[2]


def _name(status: Any) -> str:
    return str(status.get("instance", "")).rpartition("/")[2] or str(status.get("ipAddress", ""))
