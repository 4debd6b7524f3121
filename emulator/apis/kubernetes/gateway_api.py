"""The Gateway API in clusters whose channel is not disabled: kinds, their CRDs, GKE's classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes.drafts import Draft, metadata
from emulator.apis.kubernetes.gateway_kinds import GATEWAY_CLASSES, GATEWAY_KINDS
from emulator.apis.kubernetes.installed import definition_draft
from emulator.apis.kubernetes.resources import Kinds
from emulator.clock import rfc3339

if TYPE_CHECKING:
    from emulator.apis.gke.model import Cluster

CONTROLLER: Final = "networking.gke.io/gateway"
# Of a single cluster; those of fleets (-mc) are not there.
CLASSES: Final = ("gke-l7-global-external-managed", "gke-l7-gxlb",
                  "gke-l7-regional-external-managed", "gke-l7-rilb")  # fmt: skip


def serves(cluster: Cluster) -> bool:
    """Whether the cluster has the Gateway API."""
    return cluster.gateway in ("CHANNEL_STANDARD", "CHANNEL_EXPERIMENTAL")


def define(kinds: Kinds, cluster: Cluster) -> None:
    """Serve the kinds in a cluster that has them, and in no other."""
    there = kinds.of(GATEWAY_CLASSES.api_version, GATEWAY_CLASSES.name) is not None
    if there == serves(cluster):
        return
    for kind in GATEWAY_KINDS:
        kinds.define(kind.qualified, () if there else (kind,))


def drafts(cluster: Cluster) -> Iterator[Draft]:
    """The CRDs and the classes."""
    if not serves(cluster):
        return
    began = cluster.created_at
    for kind in GATEWAY_KINDS:
        yield definition_draft(kind, began)
    for name in CLASSES:
        yield Draft(GATEWAY_CLASSES, "", name, began, _maker(name, began))


def _maker(name: str, began: float) -> Any:
    accepted = {
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
        "lastTransitionTime": rfc3339(began), "observedGeneration": 1,
    }  # fmt: skip
    return lambda: {
        "kind": GATEWAY_CLASSES.name,
        "apiVersion": GATEWAY_CLASSES.api_version,
        "metadata": metadata(GATEWAY_CLASSES, "", name, began, generation=1),
        "spec": {"controllerName": CONTROLLER},
        "status": {"conditions": [dict(accepted)]},
    }
