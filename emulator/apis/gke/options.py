"""Handlers of what is set on clusters and pools: autoscaling, management, labels, maintenance.

They are kept and shown. Nothing upgrades by itself in the emulator; what auto-repair does stands in
repair.py, what the autoscaler does in kubernetes/controllers/node_pools.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.cloud.container_v1.types import cluster_service as types

from emulator.apis.gke import pool_checks
from emulator.apis.gke.lookup import CLUSTER, POOL
from emulator.apis.gke.messages import label_fingerprint
from emulator.apis.gke.model import Cluster, NodePool
from emulator.apis.gke.repair import consider
from emulator.apis.gke.writes import Writes
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid

_MOST_LABELS: Final = 64


class Options(Writes):
    """The Set… methods, SetNodePoolSize apart, and the rollback of an upgrade."""

    def set_node_pool_autoscaling(
        self, request: types.SetNodePoolAutoscalingRequest, call: Call
    ) -> types.Operation:
        """Begin to set a pool's autoscaling."""
        with self._cloud.lock:
            cluster, pool = self.pool(self.parts(POOL, request.name, request))
            asked = request.autoscaling
            pool_checks.check_autoscaling(pool, asked)
            pool_checks.check_idle(self._cloud, cluster, pool)
            return self._set_on_pool(
                cluster, pool, "UPDATE_CLUSTER", lambda: setattr(pool, "autoscaling", asked)
            )

    def set_node_pool_management(
        self, request: types.SetNodePoolManagementRequest, call: Call
    ) -> types.Operation:
        """Begin to set whether a pool is repaired and upgraded."""
        with self._cloud.lock:
            cluster, pool = self.pool(self.parts(POOL, request.name, request))
            asked = request.management
            if cluster.channel != "UNSPECIFIED" and not asked.auto_upgrade:
                raise invalid(
                    f"Auto_upgrade must be true when release_channel {cluster.channel} is set.",
                    field="management.auto_upgrade",
                )
            pool_checks.check_idle(self._cloud, cluster, pool)

            def change() -> None:
                pool.management = asked
                for ordinal in pool.nodes:
                    consider(self._cloud, cluster, pool, ordinal)

            return self._set_on_pool(cluster, pool, "SET_NODE_POOL_MANAGEMENT", change)

    def rollback_node_pool_upgrade(
        self, request: types.RollbackNodePoolUpgradeRequest, call: Call
    ) -> types.Operation:
        """Begin to bring a pool back to the version before its last upgrade."""
        with self._cloud.lock:
            cluster, pool = self.pool(self.parts(POOL, request.name, request))
            if not pool.previous:
                raise failed_precondition(f"Node pool {pool.name} has no upgrade to roll back.")
            pool_checks.check_idle(self._cloud, cluster, pool)
            before = pool.previous

            def change() -> None:
                pool.version, pool.previous = before, ""

            return self._set_on_pool(cluster, pool, "UPGRADE_NODES", change)

    def _set_on_pool(
        self, cluster: Cluster, pool: NodePool, kind: str, change: Callable[[], None]
    ) -> types.Operation:
        return self.message(self._reconcile(cluster, pool, kind, change))

    def set_labels(self, request: types.SetLabelsRequest, call: Call) -> types.Operation:
        """Begin to replace a cluster's labels; the fingerprint must be the newest."""
        with self._cloud.lock:
            cluster = self.cluster(self.parts(CLUSTER, request.name, request))
            if request.label_fingerprint != label_fingerprint(cluster):
                raise failed_precondition(
                    "Labels could not be set due to fingerprint mismatch; get the cluster again."
                )
            if len(request.resource_labels) > _MOST_LABELS:
                raise invalid(f"More than {_MOST_LABELS} labels.", field="resource_labels")
            pool_checks.check_idle(self._cloud, cluster)
            return self._begin(
                cluster, "SET_LABELS", {"resource_labels": dict(request.resource_labels)}
            )

    def set_maintenance_policy(
        self, request: types.SetMaintenancePolicyRequest, call: Call
    ) -> types.Operation:
        """Begin to set when a cluster may be maintained."""
        with self._cloud.lock:
            cluster = self.cluster(self.parts(CLUSTER, request.name, request))
            asked = request.maintenance_policy
            if asked.resource_version not in ("", cluster.maintenance_version):
                raise ApiError("ABORTED", "The maintenance policy was changed; get it again.")
            _check_window(asked.window)
            pool_checks.check_idle(self._cloud, cluster)
            version = self._cloud.new_id("gke.maintenance", 4)
            changes: Mapping[str, Any] = {"maintenance": asked, "maintenance_version": version}
            return self._begin(cluster, "SET_MAINTENANCE_POLICY", changes)

    def set_locations(self, request: types.SetLocationsRequest, call: Call) -> types.Operation:
        """Begin to set a cluster's default zones; they must hold the pools that there are."""
        with self._cloud.lock:
            cluster = self.cluster(self.parts(CLUSTER, request.name, request))
            wanted = list(request.locations)
            if not wanted:
                raise invalid("At least one location must be given.", field="locations")
            for zone in wanted:
                pool_checks.check_zone(self._cloud, cluster, zone)
            outside = sorted({p.zone for p in cluster.pools.values()} - set(wanted))
            if outside:
                raise ApiError(
                    "UNIMPLEMENTED",
                    f"The emulator does not move node pools; some are in {', '.join(outside)}.",
                )
            pool_checks.check_idle(self._cloud, cluster)
            return self._begin(cluster, "UPDATE_CLUSTER", {"zones": wanted})


def _check_window(window: types.MaintenanceWindow) -> None:
    recurring = window.recurring_window.window
    spans = [recurring, *window.maintenance_exclusions.values()]
    for span in spans:
        if span.start_time and span.end_time and span.end_time <= span.start_time:
            raise invalid("A maintenance window must end after it starts.", field="window")
