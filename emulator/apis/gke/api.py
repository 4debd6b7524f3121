"""Handlers of google.container.v1.ClusterManager."""

from __future__ import annotations

from google.cloud.container_v1.types import cluster_service as types
from google.protobuf import empty_pb2

from emulator.apis.gke import lifecycle, messages
from emulator.apis.gke.checks import check_resize
from emulator.apis.gke.lookup import CLUSTER, LOCATION, POOL
from emulator.apis.gke.options import Options
from emulator.apis.gke.pool_checks import versions
from emulator.wire.call import Call
from emulator.wire.errors import failed_precondition


class ClusterManager(Options):
    """Clusters, node pools and operations; most writes stand in writes.py."""

    def list_clusters(
        self, request: types.ListClustersRequest, call: Call
    ) -> types.ListClustersResponse:
        location = self.parts(LOCATION, request.parent, request)["location"]
        with self._cloud.lock:
            return types.ListClustersResponse(
                clusters=[
                    messages.cluster_message(self._cloud.project, c, self._cloud.endpoints.tls)
                    for c in self._fleet.clusters.values()
                    if location in ("-", c.location)
                ]
            )

    def get_cluster(self, request: types.GetClusterRequest, call: Call) -> types.Cluster:
        with self._cloud.lock:
            cluster = self.cluster(self.parts(CLUSTER, request.name, request))
            return messages.cluster_message(self._cloud.project, cluster, self._cloud.endpoints.tls)

    def list_node_pools(
        self, request: types.ListNodePoolsRequest, call: Call
    ) -> types.ListNodePoolsResponse:
        with self._cloud.lock:
            cluster = self.cluster(self.parts(CLUSTER, request.parent, request))
            project = self._cloud.project
            return types.ListNodePoolsResponse(
                node_pools=[
                    messages.pool_message(project, cluster, p) for p in cluster.pools.values()
                ]
            )

    def get_node_pool(self, request: types.GetNodePoolRequest, call: Call) -> types.NodePool:
        with self._cloud.lock:
            cluster, pool = self.pool(self.parts(POOL, request.name, request))
            return messages.pool_message(self._cloud.project, cluster, pool)

    def set_node_pool_size(
        self, request: types.SetNodePoolSizeRequest, call: Call
    ) -> types.Operation:
        """Begin a resize; a size that is the pool's already gives an operation that soon ends."""
        with self._cloud.lock:
            cluster, pool = self.pool(self.parts(POOL, request.name, request))
            check_resize(self._cloud, cluster, pool, request.node_count)
            name = self.operation_name(cluster.location)
            job = self._fleet.resize(pool, request.node_count, name)
            job.data["type"] = "SET_NODE_POOL_SIZE"
            job.data["location"] = cluster.location
            return self.message(job)

    def list_operations(
        self, request: types.ListOperationsRequest, call: Call
    ) -> types.ListOperationsResponse:
        location = self.parts(LOCATION, request.parent, request)["location"]
        return types.ListOperationsResponse(
            operations=[
                self.message(j)
                for j in self._cloud.operations.of("container")
                if location in ("-", j.data["location"]) and not j.data.get("inner")
            ]
        )

    def get_operation(self, request: types.GetOperationRequest, call: Call) -> types.Operation:
        return self.message(self.operation(request))

    def cancel_operation(
        self, request: types.CancelOperationRequest, call: Call
    ) -> empty_pb2.Empty:
        """Ends a running resize or creation of a pool and undoes what it began."""
        job = self.operation(request)
        with self._cloud.lock:
            kind = job.data["type"]
            if kind not in ("SET_NODE_POOL_SIZE", "CREATE_NODE_POOL"):
                raise failed_precondition(f"Operation of type {kind} cannot be cancelled.")
            if not self._cloud.operations.cancel(job, undo=False):
                raise failed_precondition("Operation is already done and cannot be cancelled.")
            cluster = self._fleet.clusters[job.data["cluster"]]
            pool = cluster.pools[job.data["pool"]]
            if kind == "CREATE_NODE_POOL":
                lifecycle.abandon(self._cloud, cluster, pool)
            else:
                self._fleet.abort(pool, job.data["before"])
        return empty_pb2.Empty()

    def get_server_config(
        self, request: types.GetServerConfigRequest, call: Call
    ) -> types.ServerConfig:
        self.parts(LOCATION, request.name, request)
        offered = versions(self._cloud)
        version = offered[0]
        channels = types.ServerConfig.ReleaseChannelConfig
        return types.ServerConfig(
            default_cluster_version=version,
            valid_node_versions=offered,
            valid_master_versions=offered,
            default_image_type="COS_CONTAINERD",
            valid_image_types=["COS_CONTAINERD", "UBUNTU_CONTAINERD"],
            channels=[
                channels(channel=c, default_version=version, valid_versions=offered)
                for c in (types.ReleaseChannel.Channel.RAPID, types.ReleaseChannel.Channel.REGULAR)
            ],
        )
