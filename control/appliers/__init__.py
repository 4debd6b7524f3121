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
    follow,
)
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
)


def make_appliers(clients: Clients) -> Appliers:
    """The verbs of all products."""
    return Appliers(build(clients) for build in PRODUCTS)


__all__ = [
    "PRODUCTS",
    "Applier",
    "Appliers",
    "Interrupted",
    "Observer",
    "Product",
    "Report",
    "follow",
    "make_appliers",
]
