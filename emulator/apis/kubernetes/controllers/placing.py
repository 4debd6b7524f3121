"""Where pods go: a plan over all that wait; pure. Filters are fitting.py's.

Pods that ask for chips fill hosts in order; others go where most is left. The pods of a
LeaderWorkerSet's group with chips keep to one node pool, which is one slice where slices have
several hosts, and are placed when the whole group fits: half a group would hold chips in vain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from emulator.apis.kubernetes.controllers.fitting import (
    GROUP,
    TPU,
    Ask,
    Host,
    Room,
    lacking,
    take,
    unsuited,
)

_HOPELESS: Final = "Preemption is not helpful for scheduling"
_NO_VICTIMS: Final = "No preemption victims found for incoming pod"
PodKey = tuple[str, str]


@dataclass(slots=True)
class Plan:
    """Pod → node, and pod → why no node takes it."""

    placed: dict[PodKey, str] = field(default_factory=dict)
    refused: dict[PodKey, str] = field(default_factory=dict)


class _Field:
    """The hosts with what is left on them, and which of them suit which pods."""

    def __init__(self, hosts: Sequence[Host], rooms: Mapping[str, Room]) -> None:
        self.hosts, self.rooms = hosts, rooms
        self._suited: dict[str, tuple[list[Host], Counter[str]]] = {}
        self._spent: dict[tuple[object, ...], int] = {}
        self.reasons: dict[tuple[object, ...], str] = {}

    def suited(self, ask: Ask) -> tuple[list[Host], Counter[str]]:
        """Hosts that suit a pod but for their room, and why the others do not."""
        if ask.key not in self._suited:
            reasons = [(host, unsuited(ask, host)) for host in self.hosts]
            found = [host for host, reason in reasons if not reason]
            self._suited[ask.key] = found, Counter(r for _, r in reasons if r)
        return self._suited[ask.key]

    def first(self, ask: Ask) -> Host | None:
        """The first host with room; room only shrinks, so that the search goes on from there."""
        hosts, _ = self.suited(ask)
        mark = mark_of(ask)
        for index in range(self._spent.get(mark, 0), len(hosts)):
            if not lacking(ask, self.rooms[hosts[index].name]):
                self._spent[mark] = index
                return hosts[index]
        self._spent[mark] = len(hosts)
        return None

    def roomiest(self, ask: Ask) -> Host | None:
        """The host with the largest part of its processors and memory left."""
        hosts, _ = self.suited(ask)
        fitting = [h for h in hosts if not lacking(ask, self.rooms[h.name])]
        return max(fitting, key=self._left, default=None)

    def _left(self, host: Host) -> tuple[float, str]:
        free = self.rooms[host.name].free
        shares = [
            free.get(r, 0) / host.allocatable[r]
            for r in ("cpu", "memory", "pods")
            if host.allocatable.get(r)
        ]
        return sum(shares), host.name

    def put(self, ask: Ask, host: Host) -> None:
        """Take the pod's share."""
        take(self.rooms[host.name], ask.requests, ask.ports)
        self.reasons.clear()


def plan(
    asks: Iterable[Ask],
    hosts: Sequence[Host],
    rooms: Mapping[str, Room],
    pools: Mapping[str, str] | None = None,
    *,
    packed: bool = False,
) -> Plan:
    """Place pods in the order given.

    Args:
        rooms: what is left on each host; changed by what is placed.
        pools: group → the pool in which some of its pods run already.
        packed: every pod goes to the first host with room, not only those that ask for chips.
    """
    result, ground, bound = Plan(), _Field(hosts, rooms), pools or {}
    groups: dict[str, list[Ask]] = {}
    order: list[Ask | str] = []
    for ask in asks:
        if ask.group and TPU in ask.requests:
            if ask.group not in groups:
                order.append(ask.group)
            groups.setdefault(ask.group, []).append(ask)
        else:
            order.append(ask)
    for item in order:
        if isinstance(item, str):
            _place_group(groups[item], ground, bound.get(item, ""), result)
            continue
        filling = packed or TPU in item.requests
        host = ground.first(item) if filling else ground.roomiest(item)
        if host is None:
            result.refused[item.namespace, item.name] = _why(item, ground, ())
        else:
            ground.put(item, host)
            result.placed[item.namespace, item.name] = host.name
    return result


def _place_group(asks: list[Ask], ground: _Field, pool: str, result: Plan) -> None:
    asks = sorted(asks, key=lambda a: a.rank)
    pools = [pool] if pool else list(dict.fromkeys(h.pool for h in ground.suited(asks[0])[0]))
    for candidate in pools:
        # A group that is not yet all there has to find room for those to come, too.
        spare = 0 if pool else max(asks[0].size - len(asks), 0)
        found = _within(asks, ground, candidate, spare)
        if found:
            for ask, host in zip(asks, found, strict=True):
                ground.put(ask, host)
                result.placed[ask.namespace, ask.name] = host.name
            return
    for ask in asks:
        result.refused[ask.namespace, ask.name] = _why(ask, ground, (pool,) if pool else ())


def _within(asks: list[Ask], ground: _Field, pool: str, spare: int) -> list[Host]:
    """A host in the pool for each of the group, no room counted twice; empty when one has none."""
    rooms = {
        h.name: Room(dict(ground.rooms[h.name].free), set(ground.rooms[h.name].ports))
        for h in ground.hosts
        if h.pool == pool
    }
    chosen: list[Host] = []
    for ask in (*asks, *[asks[-1]] * spare):
        hosts = [h for h in ground.suited(ask)[0] if h.pool == pool]
        host = next((h for h in hosts if not lacking(ask, rooms[h.name])), None)
        if host is None:
            return []
        take(rooms[host.name], ask.requests, ask.ports)
        chosen.append(host)
    return chosen[: len(asks)]


def mark_of(ask: Ask) -> tuple[object, ...]:
    """Equal for pods between which no host tells a difference."""
    return ask.key, tuple(sorted(ask.requests.items())), ask.ports


def _why(ask: Ask, ground: _Field, pools: Sequence[str]) -> str:
    mark = (*mark_of(ask), pools)
    if mark not in ground.reasons:
        ground.reasons[mark] = _words(ask, ground, pools)
    return ground.reasons[mark]


def _words(ask: Ask, ground: _Field, pools: Sequence[str]) -> str:
    """Kubernetes' words for a pod that no node takes."""
    suited, reasons = ground.suited(ask)
    reasons = Counter(reasons)
    hopeless, others = sum(reasons.values()), 0
    for host in suited:
        if pools and host.pool not in pools:
            reasons[GROUP] += 1
            hopeless += 1
            continue
        short = lacking(ask, ground.rooms[host.name])
        # A host with room that still is not taken: the pod's group does not fit its pool.
        reasons.update(short or [GROUP])
        others, hopeless = others + bool(short), hopeless + (not short)
    total = len(ground.hosts)
    if not total:
        return "no nodes available to schedule pods"
    told = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    ways = ((others, _NO_VICTIMS), (hopeless, _HOPELESS))
    after = ", ".join(sorted(f"{count} {reason}" for count, reason in ways if count))
    head = f"0/{total} nodes are available: "
    return f"{head}{told}. preemption: {head}{after}."
