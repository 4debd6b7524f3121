"""How each verb of a plan's steps is done: start it, wait for it, verify it.

A new verb: an `Applier` in the module of its product, and a line in that module's `build`; a new
product: a module with `build(clients) -> Product`, and a line in `PRODUCTS`. What a verb is made of
stands in `verbs.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from control.appliers import (
    alerts,
    budgets,
    canary,
    groups,
    node_pools,
    resources,
    rollouts,
    slices,
    traffic,
    vertex,
)
from control.appliers.verbs import (
    Applier,
    Appliers,
    Interrupted,
    Observer,
    Product,
    Report,
    TakenBack,
    follow,
)
from core.records import Snapshot
from services.clients import Clients

PRODUCTS: Final[tuple[Callable[[Clients], Product], ...]] = (
    node_pools.build,
    traffic.build,
    vertex.build,
    budgets.build,
    slices.build,
    resources.build,
    alerts.build,
    rollouts.build,
    groups.build,
)


def make_appliers(clients: Clients, snapshot: Callable[[], Snapshot]) -> Appliers:
    """The verbs of all products; `snapshot` gives the newest, for what is watched."""
    return Appliers([*(build(clients) for build in PRODUCTS), canary.build(clients, snapshot)])


__all__ = [
    "PRODUCTS",
    "Applier",
    "Appliers",
    "Interrupted",
    "Observer",
    "Product",
    "Report",
    "TakenBack",
    "follow",
    "make_appliers",
]
