"""The controllers of a cluster: what makes pods, volumes and endpoints follow from what is asked.

`reconcile` is all that the API server calls; contract.py says what it has to offer. Each controller
is a function of a `View` of the state; what they decide stands in pure modules beside them.
"""

from __future__ import annotations

import logging
from typing import Final

from emulator.apis.gke.bounds import autoscaled
from emulator.apis.kubernetes.controllers import (
    autoscalers,
    deployments,
    disruption,
    endpoints,
    gateways,
    groups,
    jobs,
    kubelet,
    negs,
    node_pools,
    replica_sets,
    scheduler,
    stateful_sets,
    volumes,
)
from emulator.apis.kubernetes.controllers.contract import State
from emulator.apis.kubernetes.controllers.view import Controller, View

_LOG = logging.getLogger("emulator")
# In the order in which a change runs through them.
CONTROLLERS: Final[tuple[Controller, ...]] = (
    autoscalers.run, deployments.run, replica_sets.run, stateful_sets.run, jobs.run, groups.run,
    volumes.run, scheduler.run, node_pools.run, kubelet.run, endpoints.run, negs.run,
    disruption.run, gateways.run,
)  # fmt: skip
_ROUNDS: Final = 24
# What the controllers have nothing to do without.
_KINDS: Final = (
    "Deployment", "ReplicaSet", "StatefulSet", "Job", "LeaderWorkerSet", "Pod", "Service",
    "PersistentVolumeClaim", "PersistentVolume", "HorizontalPodAutoscaler",
    "PodDisruptionBudget", "Gateway", "HTTPRoute", "InferencePool",
)  # fmt: skip


def reconcile(state: State) -> float | None:
    """Converge as far as the state's `now()` allows; the next Unix second at which something
    changes by itself, None if never.
    """
    view = View(state)
    made = any(view.mine(kind) for kind in _KINDS) or view.state_notes(negs.MADE, "made")
    if not made and not autoscaled(state.cluster):
        return None
    for _ in range(_ROUNDS):
        before, view.due = view.writes, None
        for controller in CONTROLLERS:
            try:
                controller(view)
            except Exception:  # noqa: BLE001 - one object that nobody checked must not stop all
                _LOG.exception("%s of %s failed", controller.__module__, state.cluster.name)
        if view.writes == before:
            break
    return view.due
