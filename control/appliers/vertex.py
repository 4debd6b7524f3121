"""Verbs of Vertex endpoints: the traffic split, the replicas of a deployed model."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from control.appliers.rewrites import write_from_newest
from control.appliers.verbs import Product, Report, follow
from core.actions import scale_replicas, vertex_split
from core.errors import Conflict
from core.plans import Facts, Step
from core.records import Endpoint, Snapshot
from core.specs import TierSpec
from core.traffic_rules import WHOLE
from services.clients import Clients
from services.gke import OperationState
from services.vertex import Vertex
from services.vertex_writes import VertexWrites


class EndpointPort(Protocol):
    """What of `VertexWrites` is needed."""

    def get_endpoint(self, resource: str) -> Endpoint:
        """An endpoint as it is now."""
        ...

    def apply_split(
        self, resource: str, before: Mapping[str, int], after: Mapping[str, int]
    ) -> bool:
        """Write percentages; whether that was necessary."""
        ...

    def apply_replicas(
        self, resource: str, model: str, before: tuple[int, int], after: tuple[int, int]
    ) -> str:
        """Begin to change replicas; the operation's name, "" when they are so already."""
        ...

    def get_operation(self, name: str) -> OperationState:
        """An operation's state."""
        ...


class ListPort(Protocol):
    """What of `Vertex` is needed."""

    def list_endpoints(self, specs: Sequence[TierSpec]) -> tuple[Endpoint, ...]:
        """All endpoints of the regions that the specs name."""
        ...


class SetSplit:
    """vertex.set_traffic_split: after holds a percentage for each deployed model. At once."""

    def __init__(self, endpoints: EndpointPort) -> None:
        self._endpoints = endpoints

    def start(self, step: Step) -> str:
        """Write the split unless it is there; no operation, since Vertex answers when it counts."""
        before, after = _split(step.before), _split(step.after)
        write_from_newest(
            lambda: self._endpoints.apply_split(step.resource, before, after), step.resource
        )
        return ""

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Nothing to wait for."""

    def verify(self, step: Step, stop: threading.Event) -> str:
        """The endpoint must have the split."""
        found = self._endpoints.get_endpoint(step.resource)
        now = {m.id: round(m.traffic_ratio * WHOLE) for m in found.deployed}
        told = ", ".join(f"{model} {share}%" for model, share in now.items())
        if now != _split(step.after):
            raise Conflict(f"The traffic split is {told}.", resource=step.resource)
        return f"{found.display_name}: {told}"


class SetReplicas:
    """vertex.set_replicas: after holds the least and the most replicas of one deployed model."""

    def __init__(self, endpoints: EndpointPort) -> None:
        self._endpoints = endpoints

    def start(self, step: Step) -> str:
        """Change them unless they are so already.

        While another operation runs on the endpoint Vertex refuses, and so do we.
        """
        endpoint, _, model = step.resource.partition("/deployedModels/")
        before, after = _replicas(step.before), _replicas(step.after)
        return write_from_newest(
            lambda: self._endpoints.apply_replicas(endpoint, model, before, after), step.resource
        )

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Poll the operation, where there is one."""
        if operation:
            read = self._endpoints.get_operation
            follow(lambda: read(operation), "Vertex", report, stop)

    def verify(self, step: Step, stop: threading.Event) -> str:
        """The deployed model must have the numbers."""
        endpoint, _, name = step.resource.partition("/deployedModels/")
        found = self._endpoints.get_endpoint(endpoint)
        now = {m.id: (m.replicas_min, m.replicas_max) for m in found.deployed}.get(name)
        if now is None or now != _replicas(step.after):
            raise Conflict(f"The model has {now or 'no'} replicas.", resource=step.resource)
        return f"{name} on {found.display_name} has {now[0]} to {now[1]} replicas"


def _replicas(values: Facts) -> tuple[int, int]:
    least, most = values.get("least"), values.get("most")
    if not isinstance(least, int) or not isinstance(most, int):
        raise Conflict(f"the step names no replicas but {dict(values)!r}")
    return least, most


def _split(values: Facts) -> dict[str, int]:
    found = {model: share for model, share in values.items() if isinstance(share, int)}
    if len(found) < len(values):
        raise Conflict(f"the step names no percentages but {dict(values)!r}")
    return found


def product(endpoints: EndpointPort, lists: ListPort) -> Product:
    """The verbs and the facts of endpoints."""

    def observe(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        found = lists.list_endpoints(snapshot.specs)
        fresh = vertex_split.observe_again(dict.fromkeys(names), found)
        return replace(snapshot, endpoints=found), fresh

    def observe_replicas(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        found = lists.list_endpoints(snapshot.specs)
        fresh = scale_replicas.observe_again(dict.fromkeys(names), found)
        return replace(snapshot, endpoints=found), fresh

    return Product(
        {vertex_split.VERB: SetSplit(endpoints), scale_replicas.VERB: SetReplicas(endpoints)},
        {vertex_split.FACTS: observe, scale_replicas.FACTS: observe_replicas},
    )


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(VertexWrites(clients), Vertex(clients))
