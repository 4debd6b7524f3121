"""Verbs of the load balancer: weights in a URL map, capacity of backends."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol

from control.appliers.rewrites import write_from_newest
from control.appliers.verbs import Product, Report, follow
from core.actions import drain_tier, shift_traffic
from core.errors import Conflict
from core.load_balancer import BackendService, LoadBalancer, Shares, UrlMap
from core.plans import Facts, Step
from core.records import Snapshot
from core.traffic_rules import Place, divisions, shares_by_place
from services.clients import Clients
from services.gke import OperationState
from services.load_balancer_writes import LoadBalancerWrites


class BalancerPort(Protocol):
    """What of `LoadBalancerWrites` is needed."""

    def read_load_balancer(self) -> LoadBalancer:
        """All of it as it is now."""
        ...

    def get_backend_service(self, name: str) -> BackendService:
        """One backend service as it is now."""
        ...

    def apply_weights(self, found: UrlMap, wanted: Mapping[Place, Shares]) -> str:
        """Begin to write weights; the operation's name."""
        ...

    def apply_capacity(self, found: BackendService, wanted: Mapping[str, float]) -> str:
        """Begin to write capacities; the operation's name."""
        ...

    def find_operation(self, collection: str, name: str) -> str:
        """The operation that runs on a resource; "" when there is none."""
        ...

    def get_operation(self, name: str) -> OperationState:
        """An operation's state."""
        ...


class _Written(ABC):
    """What both verbs share: one resource of Compute is written, its operation waited for."""

    collection: str
    noun: str

    def __init__(self, balancer: BalancerPort) -> None:
        self._balancer = balancer

    def start(self, step: Step) -> str:
        """Write the values unless they are there, or are being written."""
        name = _last(step.resource)
        running = self._balancer.find_operation(self.collection, name)
        if running:
            return running
        return write_from_newest(lambda: self._write(step, name), f"the {self.noun} {name}")

    @abstractmethod
    def _write(self, step: Step, name: str) -> str:
        """Begin to write them to the newest state; the operation's name."""

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Poll the operation, where there is one."""
        if operation:
            read = self._balancer.get_operation
            follow(lambda: read(operation), "Compute Engine", report, stop)


class SetWeights(_Written):
    """compute.set_weights: after holds a weight for each place and service."""

    collection, noun = "urlMaps", "URL map"

    def _write(self, step: Step, name: str) -> str:
        found, now = self._read(step, name)
        wanted = _shares(name, step.after)
        if all(_same(now.get(p), s) for p, s in wanted.items()):
            return ""
        before = _shares(name, step.before)
        for place, shares in before.items():
            if not _same(now.get(place), shares):
                raise Conflict(
                    f"{place.name} goes to {_told(now.get(place))}: somebody else changed it",
                    resource=step.resource,
                )
        return self._balancer.apply_weights(found, wanted)

    def verify(self, step: Step, stop: threading.Event) -> str:
        """Every place must have the weights."""
        name = _last(step.resource)
        _, now = self._read(step, name)
        told: list[str] = []
        for place, shares in _shares(name, step.after).items():
            if not _same(now.get(place), shares):
                raise Conflict(
                    f"{place.name} goes to {_told(now.get(place))}, not to {_told(shares)}",
                    resource=step.resource,
                )
            told.append(f"{place.name} goes to {_told(shares)}")
        return "; ".join(told)

    def _read(self, step: Step, name: str) -> tuple[UrlMap, Mapping[Place, Shares]]:
        balancer = self._balancer.read_load_balancer()
        for found in balancer.url_maps:
            if found.name == name:
                return found, {d.place: d.shares for d in divisions(balancer)}
        raise Conflict("The URL map is gone.", resource=step.resource)


class SetCapacity(_Written):
    """compute.set_backend_capacity: after holds a ratio for each group."""

    collection, noun = "backendServices", "backend service"

    def _write(self, step: Step, name: str) -> str:
        found = self._balancer.get_backend_service(name)
        now = {b.group: b.capacity_ratio for b in found.backends}
        wanted = {group: _ratio(value) for group, value in step.after.items()}
        if all(now.get(group) == ratio for group, ratio in wanted.items()):
            return ""
        for group, ratio in step.before.items():
            if now.get(group) != ratio:
                raise Conflict(
                    f"{group} has capacity {now.get(group)}, not {ratio}: somebody else changed it",
                    resource=step.resource,
                )
        return self._balancer.apply_capacity(found, wanted)

    def verify(self, step: Step, stop: threading.Event) -> str:
        """Every group must have the ratio."""
        found = self._balancer.get_backend_service(_last(step.resource))
        now = {b.group: b.capacity_ratio for b in found.backends}
        for group, ratio in step.after.items():
            if now.get(group) != ratio:
                raise Conflict(
                    f"{group} has capacity {now.get(group)}, not {ratio}", resource=step.resource
                )
        told = ", ".join(
            f"{_last(group)} {ratio:g}" for group, ratio in now.items() if ratio is not None
        )
        return f"capacity of {found.name}: {told}"


def _last(resource: str) -> str:
    return resource.rsplit("/", 1)[-1]


def _shares(url_map: str, values: Facts) -> dict[Place, Shares]:
    try:
        return shares_by_place(url_map, values)
    except ValueError as error:
        raise Conflict(f"the step names no weights: {error}") from error


def _same(now: Shares | None, wanted: Shares) -> bool:
    """Whether two divisions are the same, services without a share left out."""
    return {s: w for s, w in now or () if w} == {s: w for s, w in wanted if w}


def _told(shares: Shares | None) -> str:
    return ", ".join(f"{s} {w}" for s, w in shares or () if w) or "nothing"


def _ratio(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Conflict(f"the step names no capacity but {value!r}")
    return float(value)


def product(balancer: BalancerPort) -> Product:
    """The verbs and the facts of the load balancer."""

    def observe_maps(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        found = balancer.read_load_balancer()
        fresh = shift_traffic.observe_again(dict.fromkeys(names), found)
        return replace(snapshot, load_balancer=found), fresh

    def observe_backends(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        found = balancer.read_load_balancer()
        fresh = drain_tier.observe_again(dict.fromkeys(names), found)
        return replace(snapshot, load_balancer=found), fresh

    return Product(
        {shift_traffic.VERB: SetWeights(balancer), drain_tier.VERB: SetCapacity(balancer)},
        {shift_traffic.FACTS: observe_maps, drain_tier.FACTS: observe_backends},
    )


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(LoadBalancerWrites(clients))
