"""Handlers of ClusterManager's writes: clusters and node pools made, changed and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from google.cloud.container_v1.types import cluster_service as types

from emulator.apis.compute.catalogue import region_of
from emulator.apis.gke import lifecycle, pool_checks
from emulator.apis.gke.checks import SERVICE
from emulator.apis.gke.lifecycle import UPDATE_S, cluster_target
from emulator.apis.gke.lookup import CLUSTER, LOCATION, POOL, Lookup, check_location, missing
from emulator.apis.gke.messages import cluster_path, pool_etag
from emulator.apis.gke.model import Cluster, NodePool, pool_target
from emulator.operations import Job
from emulator.scenario import TIER_LABEL
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.etags import check_etag
from emulator.wire.names import check_project, parse_name

if TYPE_CHECKING:
    pass

_DEFAULT_ZONE: Final = {"us-central1": "us-central1-c"}
# What UpdateNodePool may change, and what of UpdateCluster the emulator does.
_POOL_FIELDS: Final = {"labels", "taints", "tags", "resource_labels", "node_version"}
_CLUSTER_FIELDS: Final = {
    "desired_gateway_api_config", "desired_master_version", "desired_node_version",
    "desired_release_channel",
}  # fmt: skip
_NAMING: Final = {
    "name", "project_id", "zone", "cluster_id", "node_pool_id", "etag", "desired_node_pool_id",
}  # fmt: skip


class Writes(Lookup):
    """The methods that change something, SetNodePoolSize apart."""

    def create_cluster(self, request: types.CreateClusterRequest, call: Call) -> types.Operation:
        """Begin to make a cluster with its first node pools."""
        parent = request.parent or f"projects/{request.project_id}/locations/{request.zone}"
        parts = parse_name(LOCATION, parent, field="parent")
        check_project(self._cloud.project, parts["project"], service=SERVICE)
        with self._cloud.lock:
            cluster, pools = self._new_cluster(parts["location"], request.cluster)
            name = self.operation_name(cluster.location)
            return self.message(lifecycle.create_cluster(self._cloud, cluster, pools, name))

    def _new_cluster(self, location: str, asked: types.Cluster) -> tuple[Cluster, list[NodePool]]:
        cloud = self._cloud
        check_location(cloud, location)
        pool_checks.check_name("cluster", asked.name)
        if asked.autopilot.enabled:
            raise ApiError("UNIMPLEMENTED", "The emulator makes Standard clusters only.")
        network = asked.network.rsplit("/", 1)[-1] or "default"
        channel = types.ReleaseChannel.Channel(asked.release_channel.channel).name
        cluster = Cluster(
            asked.name, location, pool_checks.version_of(cloud, asked.initial_cluster_version), 0.0,
            network=network, subnetwork=asked.subnetwork.rsplit("/", 1)[-1] or network,
            description=asked.description, resource_labels=dict(asked.resource_labels),
            channel="REGULAR" if channel == "UNSPECIFIED" else channel,
            gateway=_gateway(asked.network_config.gateway_api_config),
            workload_pool=asked.workload_identity_config.workload_pool,
        )  # fmt: skip
        if asked.name in cloud.fleet.clusters:
            raise ApiError(
                "ALREADY_EXISTS", f"Already exists: {cluster_path(cloud.project, cluster)}."
            )
        pool_checks.check_network(cloud, cluster)
        given = list(asked.node_pools)
        if given and asked.initial_node_count:
            raise invalid("Cluster.node_pools and cluster.initial_node_count exclude each other.")
        if not given:
            given = [
                types.NodePool(
                    name="default-pool", config=asked.node_config,
                    initial_node_count=asked.initial_node_count or 1,
                )
            ]  # fmt: skip
        zone = next(iter(asked.locations), "") or _default_zone(location)
        return cluster, [pool_checks.new_pool(cloud, cluster, p, zone) for p in given]

    def delete_cluster(self, request: types.DeleteClusterRequest, call: Call) -> types.Operation:
        """Begin to delete a cluster and all that is in it."""
        with self._cloud.lock:
            cluster = self.cluster(self.parts(CLUSTER, request.name, request))
            pool_checks.check_idle(self._cloud, cluster)
            name = self.operation_name(cluster.location)
            return self.message(lifecycle.delete_cluster(self._cloud, cluster, name))

    def update_cluster(self, request: types.UpdateClusterRequest, call: Call) -> types.Operation:
        """Begin to upgrade the control plane or nodes, or to change the release channel."""
        with self._cloud.lock:
            cluster = self.cluster(self.parts(CLUSTER, request.name, request))
            pool_checks.check_idle(self._cloud, cluster)
            update = request.update
            wanted = _set_fields(update)
            _only(wanted, _CLUSTER_FIELDS, "UpdateCluster")
            if len(wanted) != 1:
                raise invalid("Must specify exactly one update.", field="update")
            if update.desired_node_version:
                pool = cluster.pools.get(update.desired_node_pool_id)
                if pool is None:
                    raise missing(f"node pool {update.desired_node_pool_id}")
                return self.message(self._upgrade_pool(cluster, pool, update.desired_node_version))
            if update.desired_master_version:
                version = pool_checks.version_of(self._cloud, update.desired_master_version)
                _no_downgrade(version, cluster.version, "Master")
                return self._begin(cluster, "UPGRADE_MASTER", {"version": version})
            if "desired_gateway_api_config" in update:
                wanted_channel = _gateway(update.desired_gateway_api_config)
                return self._begin(cluster, "UPDATE_CLUSTER", {"gateway": wanted_channel})
            channel = types.ReleaseChannel.Channel(update.desired_release_channel.channel).name
            return self._begin(cluster, "UPDATE_CLUSTER", {"channel": channel})

    def _begin(self, cluster: Cluster, kind: str, changes: Mapping[str, Any]) -> types.Operation:
        cluster.status = "RECONCILING"

        def fail() -> None:
            cluster.status = "RUNNING"

        def effect() -> None:
            for pool in cluster.pools.values():
                pool.version = pool.version or cluster.version
            for field, value in changes.items():
                setattr(cluster, field, value)
            cluster.status = "RUNNING"
            self._cloud.fleet.version += 1
            told = {k: v for k, v in changes.items() if isinstance(v, str)}
            self._cloud.changed("gke.cluster.updated", cluster_target(cluster), "", **told)

        data = {"type": kind, "cluster": cluster.name, "location": cluster.location}
        name = self.operation_name(cluster.location)
        target = cluster_target(cluster)
        return self.message(
            self._cloud.operations.start(
                name, "container", target, UPDATE_S, effect, data, undo=fail
            )
        )

    def create_node_pool(self, request: types.CreateNodePoolRequest, call: Call) -> types.Operation:
        """Begin to make a node pool."""
        with self._cloud.lock:
            cluster = self.cluster(self.parts(CLUSTER, request.parent, request))
            name = request.node_pool.name
            if name in cluster.pools:
                path = cluster_path(self._cloud.project, cluster)
                raise ApiError("ALREADY_EXISTS", f"Already exists: {path}/nodePools/{name}.")
            if cluster.status != "RUNNING":
                raise failed_precondition(
                    f"Cluster {cluster.name} is in state {cluster.status}; it must be RUNNING."
                )
            zone = _default_zone(cluster.location)
            pool = pool_checks.new_pool(self._cloud, cluster, request.node_pool, zone)
            operation = self.operation_name(cluster.location)
            return self.message(lifecycle.create_pool(self._cloud, cluster, pool, operation))

    def delete_node_pool(self, request: types.DeleteNodePoolRequest, call: Call) -> types.Operation:
        """Begin to delete a node pool and its nodes."""
        with self._cloud.lock:
            cluster, pool = self.pool(self.parts(POOL, request.name, request))
            pool_checks.check_idle(self._cloud, cluster, pool)
            name = self.operation_name(cluster.location)
            return self.message(lifecycle.delete_pool(self._cloud, cluster, pool, name))

    def update_node_pool(self, request: types.UpdateNodePoolRequest, call: Call) -> types.Operation:
        """Begin to change labels, taints, tags or the version of a pool's nodes."""
        with self._cloud.lock:
            cluster, pool = self.pool(self.parts(POOL, request.name, request))
            check_etag(request.etag, pool_etag(pool))
            pool_checks.check_idle(self._cloud, cluster, pool)
            wanted = _set_fields(request)
            _only(wanted, _POOL_FIELDS, "UpdateNodePool")
            if not wanted:
                raise invalid("Must specify at least one update.", field="name")
            if request.node_version:
                return self.message(self._upgrade_pool(cluster, pool, request.node_version))
            labels = dict(request.labels.labels) if "labels" in wanted else None
            if labels is not None and labels.get(TIER_LABEL, "") != pool.tier:
                raise ApiError(
                    "UNIMPLEMENTED", f"The emulator does not move a pool to another {TIER_LABEL}."
                )

            def effect() -> None:
                if labels is not None:
                    pool.extra = {k: v for k, v in labels.items() if k != TIER_LABEL}
                given = types.NodeConfig() if pool.given is None else pool.given
                if "taints" in wanted:
                    given.taints = list(request.taints.taints)
                if "tags" in wanted:
                    given.tags = list(request.tags.tags)
                if "resource_labels" in wanted:
                    given.resource_labels = dict(request.resource_labels.labels)
                pool.given = given

            return self.message(self._reconcile(cluster, pool, "UPDATE_CLUSTER", effect))

    def _upgrade_pool(self, cluster: Cluster, pool: NodePool, asked: str) -> Job:
        wanted = "" if asked == "-" else asked
        version = pool_checks.version_of(self._cloud, wanted) if wanted else cluster.version
        order = pool_checks.versions(self._cloud)
        if order.index(version) < order.index(cluster.version):
            raise invalid(
                f"Node version {version} must not be newer than the control plane's "
                f"{cluster.version}."
            )

        def change() -> None:
            pool.previous = pool.version or cluster.version
            pool.version = version

        return self._reconcile(cluster, pool, "UPGRADE_NODES", change)

    def _reconcile(self, cluster: Cluster, pool: NodePool, kind: str, change: Any) -> Job:
        pool.status = "RECONCILING"
        self._cloud.fleet.touch(pool)

        def effect() -> None:
            change()
            pool.status = "RUNNING"
            self._cloud.fleet.touch(pool)
            self._cloud.changed("gke.node_pool.updated", pool_target(pool), "")

        def fail() -> None:
            pool.status = "RUNNING"
            self._cloud.fleet.touch(pool)

        size = pool.target
        data = {"type": kind, "cluster": cluster.name, "location": cluster.location,
                "pool": pool.name, "before": size, "after": size}  # fmt: skip
        name = self.operation_name(cluster.location)
        target = pool_target(pool)
        return self._cloud.operations.start(
            name, "container", target, UPDATE_S, effect, data, undo=fail
        )


def _default_zone(location: str) -> str:
    """The zone of a pool that names none: the cluster's own, or one of its region."""
    if location.count("-") > 1:
        return location
    return _DEFAULT_ZONE.get(location, f"{location}-a" if region_of(f"{location}-a") else "")


def _set_fields(message: Any) -> set[str]:
    return {field.name for field, _ in plain(message).ListFields()} - _NAMING


def _only(wanted: set[str], served: set[str], method: str) -> None:
    for field in sorted(wanted - served):
        raise ApiError("UNIMPLEMENTED", f"The emulator's {method} does not change {field}.")


def _no_downgrade(version: str, current: str, what: str) -> None:
    numbers = [tuple(int(p) for p in v.replace("-gke", "").split(".")) for v in (version, current)]
    if numbers[0] < numbers[1]:
        raise invalid(f"{what} version cannot be downgraded from {current} to {version}.")


def _gateway(config: types.GatewayAPIConfig) -> str:
    """The Gateway API's channel; Standard clusters have none unless it is asked for."""
    channel = types.GatewayAPIConfig.Channel(config.channel).name
    return "CHANNEL_DISABLED" if channel == "CHANNEL_UNSPECIFIED" else channel
