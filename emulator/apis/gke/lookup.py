"""Names of GKE's requests, new and old, and the clusters, pools and operations that they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.cloud.container_v1.types import cluster_service as types

from emulator.apis.compute.model import state_of
from emulator.apis.gke import messages
from emulator.apis.gke.checks import SERVICE
from emulator.apis.gke.model import Cluster, NodePool
from emulator.apis.gke.repair import operation_id
from emulator.operations import Job
from emulator.wire.errors import ApiError, invalid
from emulator.wire.names import check_project, parse_name

if TYPE_CHECKING:
    from emulator.context import Cloud

LOCATION: Final = "projects/{project}/locations/{location}"
CLUSTER: Final = f"{LOCATION}/clusters/{{cluster}}"
POOL: Final = f"{CLUSTER}/nodePools/{{pool}}"
OPERATION: Final = f"{LOCATION}/operations/{{operation}}"


class Lookup:
    """What every handler of the service needs."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._fleet = cloud.fleet

    def parts(self, template: str, name: str, request: Any) -> dict[str, str]:
        """The parts of the request's name, or of its older fields (project_id, zone, …)."""
        if name:
            parts = parse_name(template, name)
        else:
            parts = {
                "project": getattr(request, "project_id", ""),
                "location": getattr(request, "zone", ""),
                "cluster": getattr(request, "cluster_id", ""),
                "pool": getattr(request, "node_pool_id", ""),
                "operation": getattr(request, "operation_id", ""),
            }
            missing = [k for k in parts if f"{{{k}}}" in template and not parts[k]]
            if missing:
                raise invalid(f'Field "{missing[0]}" must be set.', field=missing[0])
        check_project(self._cloud.project, parts["project"], service=SERVICE)
        if template == LOCATION and parts["location"] != "-":
            check_location(self._cloud, parts["location"])
        return parts

    def cluster(self, parts: dict[str, str]) -> Cluster:
        """The cluster of these parts; NOT_FOUND without."""
        cluster = self._fleet.clusters.get(parts["cluster"])
        if cluster is None or parts["location"] not in ("-", cluster.location):
            raise missing(CLUSTER.format(**parts))
        return cluster

    def pool(self, parts: dict[str, str]) -> tuple[Cluster, NodePool]:
        """The pool of these parts with its cluster; NOT_FOUND without."""
        cluster = self.cluster(parts)
        pool = cluster.pools.get(parts["pool"])
        if pool is None:
            raise missing(POOL.format(**parts))
        return cluster, pool

    def operation(self, request: Any) -> Job:
        """The operation that a request names; NOT_FOUND without."""
        parts = self.parts(OPERATION, request.name, request)
        job = self._cloud.operations.get(f"container/{parts['location']}/{parts['operation']}")
        if job is None:
            raise missing(OPERATION.format(**parts))
        return job

    def operation_name(self, location: str) -> str:
        """A new operation's name in the store; ids as Google's, from the seed."""
        return operation_id(location, self._cloud.new_id("gke.operation"), self._cloud.clock.now())

    def message(self, job: Job) -> types.Operation:
        """The operation as it stands."""
        now = self._cloud.clock.now()
        return messages.operation_message(self._cloud.project, job, job.data["location"], now)


def check_location(cloud: Cloud, location: str) -> None:
    """Pass a region or zone that there is."""
    state = state_of(cloud)
    if location not in {**state.of("regions", "global"), **state.of("zones", "global")}:
        raise invalid(f'Location "{location}" does not exist.', field="parent")


def missing(name: str) -> ApiError:
    """NOT_FOUND in GKE's words."""
    return ApiError("NOT_FOUND", f"Not found: {name}.")
