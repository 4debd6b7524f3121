"""Handlers of google.container.v1.ClusterManager."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from google.cloud.container_v1.types import cluster_service as types
from google.protobuf import empty_pb2

from emulator.apis.gke import messages
from emulator.apis.gke.checks import SERVICE, check_resize
from emulator.apis.gke.model import Cluster, NodePool
from emulator.operations import Job
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.names import check_project, parse_name

if TYPE_CHECKING:
    from emulator.context import Cloud

_LOCATION: Final = "projects/{project}/locations/{location}"
_CLUSTER: Final = f"{_LOCATION}/clusters/{{cluster}}"
_POOL: Final = f"{_CLUSTER}/nodePools/{{pool}}"
_OPERATION: Final = f"{_LOCATION}/operations/{{operation}}"


class ClusterManager:
    """Clusters, node pools and operations; the one write is SetNodePoolSize."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._fleet = cloud.fleet

    def list_clusters(
        self, request: types.ListClustersRequest, call: Call
    ) -> types.ListClustersResponse:
        location = self._parts(_LOCATION, request.parent, request)["location"]
        with self._cloud.lock:
            return types.ListClustersResponse(
                clusters=[
                    messages.cluster_message(self._cloud.project, c)
                    for c in self._fleet.clusters.values()
                    if location in ("-", c.location)
                ]
            )

    def get_cluster(self, request: types.GetClusterRequest, call: Call) -> types.Cluster:
        with self._cloud.lock:
            cluster = self._cluster(self._parts(_CLUSTER, request.name, request))
            return messages.cluster_message(self._cloud.project, cluster)

    def list_node_pools(
        self, request: types.ListNodePoolsRequest, call: Call
    ) -> types.ListNodePoolsResponse:
        with self._cloud.lock:
            cluster = self._cluster(self._parts(_CLUSTER, request.parent, request))
            project = self._cloud.project
            return types.ListNodePoolsResponse(
                node_pools=[
                    messages.pool_message(project, cluster, p) for p in cluster.pools.values()
                ]
            )

    def get_node_pool(self, request: types.GetNodePoolRequest, call: Call) -> types.NodePool:
        with self._cloud.lock:
            cluster, pool = self._pool(self._parts(_POOL, request.name, request))
            return messages.pool_message(self._cloud.project, cluster, pool)

    def set_node_pool_size(
        self, request: types.SetNodePoolSizeRequest, call: Call
    ) -> types.Operation:
        """Begin a resize; a size that is the pool's already gives an operation that soon ends."""
        with self._cloud.lock:
            cluster, pool = self._pool(self._parts(_POOL, request.name, request))
            check_resize(self._cloud, cluster, pool, request.node_count)
            name = self._operation_name(cluster.location)
            job = self._fleet.resize(pool, request.node_count, name)
            job.data["type"] = "SET_NODE_POOL_SIZE"
            job.data["location"] = cluster.location
            return self._message(job)

    def list_operations(
        self, request: types.ListOperationsRequest, call: Call
    ) -> types.ListOperationsResponse:
        location = self._parts(_LOCATION, request.parent, request)["location"]
        return types.ListOperationsResponse(
            operations=[
                self._message(j)
                for j in self._cloud.operations.of("container")
                if location in ("-", j.data["location"])
            ]
        )

    def get_operation(self, request: types.GetOperationRequest, call: Call) -> types.Operation:
        return self._message(self._operation(request))

    def cancel_operation(
        self, request: types.CancelOperationRequest, call: Call
    ) -> empty_pb2.Empty:
        """Ends a running resize and undoes what it began."""
        job = self._operation(request)
        with self._cloud.lock:
            if not self._cloud.operations.cancel(job):
                raise failed_precondition("Operation is already done and cannot be cancelled.")
            cluster = self._fleet.clusters[job.data["cluster"]]
            self._fleet.abort(cluster.pools[job.data["pool"]], job.data["before"])
        return empty_pb2.Empty()

    def get_server_config(
        self, request: types.GetServerConfigRequest, call: Call
    ) -> types.ServerConfig:
        self._parts(_LOCATION, request.name, request)
        version = self._cloud.project.cluster_version
        channels = types.ServerConfig.ReleaseChannelConfig
        return types.ServerConfig(
            default_cluster_version=version,
            valid_node_versions=[version],
            valid_master_versions=[version],
            default_image_type="COS_CONTAINERD",
            valid_image_types=["COS_CONTAINERD", "UBUNTU_CONTAINERD"],
            channels=[
                channels(channel=c, default_version=version, valid_versions=[version])
                for c in (types.ReleaseChannel.Channel.RAPID, types.ReleaseChannel.Channel.REGULAR)
            ],
        )

    def _parts(self, template: str, name: str, request: Any) -> dict[str, str]:
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
        return parts

    def _cluster(self, parts: dict[str, str]) -> Cluster:
        cluster = self._fleet.clusters.get(parts["cluster"])
        if cluster is None or parts["location"] not in ("-", cluster.location):
            raise _missing(_CLUSTER.format(**parts))
        return cluster

    def _pool(self, parts: dict[str, str]) -> tuple[Cluster, NodePool]:
        cluster = self._cluster(parts)
        pool = cluster.pools.get(parts["pool"])
        if pool is None:
            raise _missing(_POOL.format(**parts))
        return cluster, pool

    def _operation(self, request: Any) -> Job:
        parts = self._parts(_OPERATION, request.name, request)
        job = self._cloud.operations.get(f"container/{parts['location']}/{parts['operation']}")
        if job is None:
            raise _missing(_OPERATION.format(**parts))
        return job

    def _operation_name(self, location: str) -> str:
        count = len(self._cloud.operations.of("container"))
        digest = hashlib.blake2s(f"{self._cloud.seed}/{count}".encode(), digest_size=16).hexdigest()
        groups = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:])
        millis = int(self._cloud.clock.now() * 1000)
        return f"container/{location}/operation-{millis}-{'-'.join(groups)}"

    def _message(self, job: Job) -> types.Operation:
        now = self._cloud.clock.now()
        return messages.operation_message(self._cloud.project, job, job.data["location"], now)


def _missing(name: str) -> ApiError:
    return ApiError("NOT_FOUND", f"Not found: {name}.")
