"""Sizes of GKE's node pools: how they are resized, how what a plan saw of them is read again."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final, Protocol

from control.appliers.verbs import Interrupted, Product, Report, follow
from core.actions.scale_tier import SETTLED
from core.actions.scaling import observe_again
from core.errors import Conflict, OpsError, Unavailable
from core.plans import Facts, Step
from core.records import NodePool, Snapshot
from services.clients import Clients
from services.gke import Gke, OperationState

_SETTLE_S: Final = 120.0  # so long a pool may take to be RUNNING again after its operation


class GkePort(Protocol):
    """What of `services.gke.Gke` is needed."""

    def list_node_pools(self) -> tuple[NodePool, ...]:
        """All node pools."""
        ...

    def get_node_pool(self, pool: NodePool) -> NodePool:
        """One pool as it is now."""
        ...

    def apply_node_pool_size(self, pool: NodePool, nodes: int) -> str:
        """Start a resize; the operation's name."""
        ...

    def find_resize(self, pool: NodePool) -> str:
        """The resize that runs on a pool; the operation's name, "" when there is none."""
        ...

    def get_operation(self, name: str) -> OperationState:
        """An operation's state."""
        ...


class ResizePool:
    """gke.set_node_pool_size."""

    def __init__(self, gke: GkePort) -> None:
        self._gke = gke

    def start(self, step: Step) -> str:
        """Resize unless it was begun already, as it was when we were killed before we knew."""
        pool = self._find(step.resource)
        wanted = _nodes(step.after)
        if pool.status not in SETTLED:
            running = self._gke.find_resize(pool)
            if running:
                return running
        if pool.node_count == wanted:
            return ""
        before = _nodes(step.before)
        if pool.node_count != before:
            raise Conflict(
                f"{pool.name} has {pool.node_count} nodes, neither {before} nor {wanted}:"
                " somebody else changed it",
                resource=step.resource,
            )
        return self._resize(pool, wanted)

    def _resize(self, pool: NodePool, wanted: int) -> str:
        """Ask for the size; when the answer is lost, look whether GKE has begun."""
        try:
            return self._gke.apply_node_pool_size(pool, wanted)
        except OpsError as error:
            if not error.retryable:
                raise
            try:
                running = self._gke.find_resize(pool)
            except OpsError:
                running = ""  # it cannot be seen either: the sentence below says so
            if running:
                return running
            raise Unavailable(
                f"{error.message} (whether GKE has begun is not known: look at {pool.name})",
                resource=error.resource,
                hint=error.hint,
            ) from error

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Poll the operation, where there is one."""
        if operation:
            follow(lambda: self._gke.get_operation(operation), "GKE", report, stop)

    def verify(self, step: Step, stop: threading.Event) -> str:
        """The pool must have the size and be RUNNING."""
        wanted = _nodes(step.after)
        deadline = time.monotonic() + _SETTLE_S
        while True:
            pool = self._find(step.resource)
            if pool.node_count != wanted:
                raise Conflict(
                    f"{pool.name} has {pool.node_count} nodes, not {wanted}",
                    resource=step.resource,
                )
            if pool.status == "RUNNING":
                return f"{pool.name} has {pool.node_count} nodes and is RUNNING"
            if time.monotonic() > deadline:
                raise Conflict(
                    f"{pool.name} has {wanted} nodes but is {pool.status} {pool.status_message}",
                    resource=step.resource,
                )
            if stop.wait(1.0):
                raise Interrupted

    def _find(self, resource: str) -> NodePool:
        for pool in self._gke.list_node_pools():
            tail = f"/locations/{pool.location}/clusters/{pool.cluster}/nodePools/{pool.name}"
            if resource.endswith(tail):
                return pool
        raise Conflict("The node pool is gone.", resource=resource)


def _nodes(values: Mapping[str, str | int | float | bool | None]) -> int:
    found = values.get("node_count")
    if not isinstance(found, int):
        raise Conflict(f"the step names no node count but {found!r}")
    return found


def product(gke: GkePort) -> Product:
    """The verb and the facts of node pools."""

    def observe(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        pools = gke.list_node_pools()
        fresh = observe_again(dict.fromkeys(names), pools)
        return replace(snapshot, node_pools=pools), fresh

    return Product({"gke.set_node_pool_size": ResizePool(gke)}, {"": observe})


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(Gke(clients))
