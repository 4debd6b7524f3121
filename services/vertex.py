"""Vertex AI: endpoints and the models deployed on them.

Vertex provisions its own nodes, so an endpoint never stands for somebody's own TPU pool; one
replica of a deployed model is one slice. Live replica counts and load are `monitoring.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.records import DeployedModel, Endpoint
from core.specs import PartKind, TierSpec
from services import calls
from services.clients import Clients

_TIMEOUT_S: Final = 15.0


def vertex_regions(specs: Sequence[TierSpec]) -> tuple[str, ...]:
    """The regions in which some tier has a Vertex part, sorted."""
    return tuple(
        sorted(
            {p.location for s in specs for p in s.parts if p.kind is PartKind.VERTEX and p.location}
        )
    )


class Vertex:
    """Reads endpoints."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_endpoints(self, specs: Sequence[TierSpec]) -> tuple[Endpoint, ...]:
        """All endpoints of the regions that the specs name, regions in parallel.

        Raises:
            OpsError: a region could not be read.
        """
        found = calls.in_parallel(self._list_region, vertex_regions(specs))
        return tuple(endpoint for of_region in found for endpoint in of_region)

    def _list_region(self, region: str) -> list[Endpoint]:
        parent = f"projects/{self._clients.project}/locations/{region}"
        resource = f"{parent}/endpoints"

        def read(timeout_s: float) -> list[Any]:
            client = self._clients.vertex_endpoints(region)
            return list(client.list_endpoints(parent=parent, timeout=timeout_s, retry=None))

        endpoints = self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)
        with calls.converting(resource):
            return [convert_endpoint(region, e) for e in endpoints]


def convert_endpoint(region: str, found: Any) -> Endpoint:
    """The record of an endpoint as the API answers it."""
    split: Mapping[str, int] = dict(found.traffic_split)
    return Endpoint(
        id=str(found.name).rsplit("/", 1)[-1],
        display_name=str(found.display_name),
        location=region,
        deployed=tuple(_deployed(m, split) for m in found.deployed_models),
        labels=dict(found.labels),
    )


def _deployed(found: Any, split: Mapping[str, int]) -> DeployedModel:
    own = found.dedicated_resources
    return DeployedModel(
        id=str(found.id),
        display_name=str(found.display_name),
        machine_type=str(own.machine_spec.machine_type),
        topology=str(own.machine_spec.tpu_topology),
        replicas_min=int(own.min_replica_count),
        replicas_max=int(own.max_replica_count),
        traffic_ratio=split.get(str(found.id), 0) / 100.0,
        model=str(found.model).rsplit("/", 1)[-1].partition("@")[0],
    )
