"""Who may answer: endpoints behind the backend services, as the health checks have seen them.

A probe asks `groups.health`, which knows the machines, or, where an endpoint is an address of this
machine, really asks it; what it finds counts after as many probes in a row as the health check's
thresholds say. An endpoint that has left its group gets nothing new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import httpx

from emulator.apis.compute import groups
from emulator.apis.compute.fields import path_of
from emulator.apis.compute.model import Body, state_of
from emulator.apis.compute.traffic import live_services
from emulator.context import Cloud
from emulator.local_pods.addresses import is_pod_address

_INTERVAL_S: Final = 5.0  # Compute's defaults where a health check does not say
_THRESHOLD: Final = 2
_HERE: Final = "local"  # the tier of what runs on this machine


@dataclass(slots=True)
class Member:
    """One endpoint: what the last probe found, what holds, and probes in a row against it.

    `server`: URL of the process that it is; "" for those that this machine's one server stands for.
    """

    tier: str
    group: str
    name: str
    address: str
    answers: bool
    healthy: bool
    against: int = 0
    gone_at: float | None = None  # monotonic; when it left its group
    server: str = ""


@dataclass(slots=True)
class _Group:
    due_at: float = 0.0
    members: dict[str, Member] = field(default_factory=dict[str, Member])


class Members:
    """All endpoints that a forwarding rule leads to. Probed from one thread; read from any."""

    def __init__(self, cloud: Cloud, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud, self._clock = cloud, clock
        self._groups: dict[str, _Group] = {}

    def serving(self, group: str) -> list[Member]:
        """The endpoints of a group that are healthy and still there."""
        known = self._groups.get(group)
        members = list(known.members.values()) if known else []
        return [m for m in members if m.healthy and m.gone_at is None]

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
            address = f"{status.get('ipAddress', '')}:{status['port']}"
            server = f"http://{address}" if self._runs_here(status) else ""
            if server:
                self._ask(status, server, check)
            answers = status["healthState"] == "HEALTHY"
            member = known.members.get(name) or Member(
                tier or tiers.get(name, _HERE if server else ""), group, name, address, answers,
                answers and first, server=server,
            )  # fmt: skip
            _count(member, answers, check)
            member.gone_at = None
            fresh[name] = member
        for name, member in known.members.items():
            if name not in found:
                member.gone_at = now if member.gone_at is None else member.gone_at
                member.healthy = member.answers = False
        known.members = fresh

    def _runs_here(self, status: Body) -> bool:
        """Whether an endpoint is a pod's process. No other address of this machine is called."""
        address = str(status.get("ipAddress", ""))
        return bool(self._cloud.settings.local_pods) and is_pod_address(address)

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(trust_env=False)

    def _ask(self, status: Body, server: str, check: Body) -> None:
        """Probe a process of this machine; its health state is what it answers."""
        probe = check.get("httpHealthCheck", {})
        timeout = float(check.get("timeoutSec", _INTERVAL_S))
        try:
            answer = self._client.get(server + probe.get("requestPath", "/"), timeout=timeout)
            answers = answer.status_code == 200
        except httpx.TransportError:
            answers = False
        place, known = (status["ipAddress"], status["port"]), groups.probed_of(self._cloud)
        (known.answering.add if answers else known.answering.discard)(place)
        status["healthState"] = "HEALTHY" if answers else "UNHEALTHY"


def _count(member: Member, answers: bool, check: Body) -> None:
    member.answers = answers
    if answers == member.healthy:
        member.against = 0
        return
    member.against += 1
    key = "healthyThreshold" if answers else "unhealthyThreshold"
    if member.against >= int(check.get(key, _THRESHOLD)):
        member.healthy, member.against = answers, 0


def _group_paths(service: Body) -> Iterator[str]:
    for backend in service.get("backends", []):
        if link := str(backend.get("group", "")):
            yield group_path(link)


def group_path(link: str) -> str:
    """A group's path below the API's version, out of any form of its link."""
    return link.rpartition("/compute/v1/")[2]


def _name(status: Any) -> str:
    return str(status.get("instance", "")).rpartition("/")[2] or str(status.get("ipAddress", ""))
