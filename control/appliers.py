"""How each verb of a plan's steps is done: start it, wait for it, verify it.

A verb is safe to start twice: it looks first whether the change is there already. Order, locks and
the record are `control/executor.py`'s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from core.actions.scale_tier import SETTLED, observe_again
from core.errors import Conflict, OpsError, Unavailable
from core.plans import Plan, Step
from core.records import NodePool, Snapshot
from services.gke import OperationState

Report = Callable[[str], None]  # one sentence about progress

_POLL_FIRST_S: Final = 0.5
_POLL_MAX_S: Final = 10.0
_OUTAGE_S: Final = 300.0  # so long an operation may be out of sight before we give up
_SETTLE_S: Final = 120.0  # so long a pool may take to be RUNNING again after its operation


class Interrupted(BaseException):
    """The process is stopping: the step is neither done nor failed, and is resumed at start.

    Not an Exception, so that the workflow engine records no outcome for the step.
    """


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


class Applier(Protocol):
    """One verb."""

    def start(self, step: Step) -> str:
        """Start the change unless it is there; the operation's name, "" when there is none."""
        ...

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Wait for the end of the operation; raises OpsError when it failed, Interrupted."""
        ...

    def verify(self, step: Step, stop: threading.Event) -> str:
        """Read what was changed; one sentence. Raises Conflict when it is not as planned."""
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
        """Poll with growing waits; an outage of the API is no failure of the operation."""
        if not operation:
            return
        pause_s, lost_at, said = _POLL_FIRST_S, None, ""
        while True:
            try:
                state = self._gke.get_operation(operation)
                lost_at = None
            except OpsError as error:
                lost_at = lost_at or time.monotonic()
                if not error.retryable or time.monotonic() - lost_at > _OUTAGE_S:
                    raise
                sentence = f"the operation cannot be read just now: {error.message}"
            else:
                if state.error is not None:
                    raise Conflict(f"GKE: {state.error}", resource=operation)
                if state.done:
                    return
                sentence = f"{state.status.lower()} {state.detail}".strip()
                if state.progress_ratio is not None:
                    sentence += f", {state.progress_ratio:.0%}"
            if sentence != said:
                report(sentence)
                said = sentence
            if stop.wait(pause_s):
                raise Interrupted
            pause_s = min(pause_s * 1.5, _POLL_MAX_S)

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


def make_appliers(gke: GkePort) -> dict[str, Applier]:
    """The table of verbs."""
    return {"gke.set_node_pool_size": ResizePool(gke)}


def observe_plan(gke: GkePort, plan: Plan, snapshot: Snapshot) -> tuple[Snapshot, Sequence[str]]:
    """Re-read what the plan rests on: the snapshot with it, and sentences about what differs.

    Raises:
        OpsError: it cannot be read now.
    """
    pools = gke.list_node_pools()
    fresh = observe_again(plan.observed, pools)
    differs = [
        f"{name} was {plan.observed[name]!r} and is {fresh[name]!r}"
        for name in plan.observed
        if plan.observed[name] != fresh[name]
    ]
    return replace(snapshot, node_pools=pools), differs
