"""What the controllers ask of a cluster's state; the API server's store gives it.

Nothing here knows HTTP, resourceVersions or watches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from emulator.apis.gke.model import Cluster
    from emulator.context import Cloud

Obj = dict[str, Any]
Reconcile = Callable[["State"], float | None]


class State(Protocol):
    """One cluster's objects as plain JSON.

    What `list` and `get` give is read only: a controller changes a copy and hands it to `update`.
    Whoever calls `reconcile` sets `now()` to each time that it returned, in order, before the wall
    clock's: so a state does not depend on when somebody looked. It is called after each accepted
    write, when the fleet changes and when the time that it returned has come, by a thread of the
    API server if no request comes, since load balancers follow the pods.

    Attributes:
        cloud: for Storage, Compute, IAM and the world.
        cluster: GKE's view of the same cluster.
        memory: the controllers' own notes (exact times, addresses); empty at first, kept as long
            as the state.
    """

    cloud: Cloud
    cluster: Cluster
    memory: dict[str, Any]

    def list(self, kind: str, namespace: str | None = None) -> list[Obj]:
        """Objects of a kind ("Pod"), derived ones too, by namespace and name."""
        ...

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """One object; namespace "" for what has none."""
        ...

    def made(self, kind: str) -> list[Obj]:
        """Those that callers or controllers made; what follows from the scenario's tiers is left
        alone.
        """
        ...

    def create(self, obj: Obj) -> Obj:
        """Add it with uid, creationTimestamp, generation and resourceVersion; status is kept.

        Raises:
            StatusError: it is there already, or its namespace is going.
        """
        ...

    def update(self, obj: Obj) -> Obj:
        """Put it in place of what there is, status, deletionTimestamp and finalizers included; the
        generation grows when the spec differs. An object with a deletionTimestamp and no
        finalizers that is no pod is removed.
        """
        ...

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Remove it at once (or mark it, if it has finalizers), and what it owns; nothing happens
        when it is not there. Pods' grace is the controllers' business.
        """
        ...

    def event(
        self, regarding: Obj, reason: str, message: str, type: str = "Normal", component: str = ""
    ) -> None:
        """Report an event about an object; the same one again counts up."""
        ...

    def now(self) -> float:
        """Unix seconds."""
        ...

    def wall_s(self, simulated_s: float) -> float:
        """Wall seconds that so many simulated ones take."""
        ...
