"""Google Kubernetes Engine: clusters, node pools, resizing a pool, operations.

What runs inside a cluster (nodes, pods) is `kube.py`'s. A multi-host TPU pool is atomic and its
size immutable, so `apply_node_pool_size` is for single-host pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.errors import Conflict, Invalid, NotFound, Unavailable
from core.records import Cluster, NodePool
from services import calls
from services.clients import Clients

_TOPOLOGY_LABEL: Final = "cloud.google.com/gke-tpu-topology"
_READ_TIMEOUT_S: Final = 15.0
_WRITE_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class OperationState:
    """A long-running operation as it stands.

    Attributes:
        name: full name, as `Gke.get_operation` takes it.
        done: whether it has ended, well or badly.
        status: GKE's word (PENDING, RUNNING, DONE, ABORTING).
        detail: what it is doing, in GKE's words; "" when it says nothing.
        error: why it failed; None: it has not failed.
        progress_ratio: 0–1; None: the operation reports no progress.
    """

    name: str
    done: bool
    status: str
    detail: str
    error: str | None
    progress_ratio: float | None


class Gke:
    """Reads and resizes through the ClusterManager API."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_clusters(self) -> tuple[Cluster, ...]:
        """All clusters of the project, in all locations."""
        return tuple(_cluster(c) for c in self._list_raw().clusters)

    def list_node_pools(self) -> tuple[NodePool, ...]:
        """All node pools of all clusters."""
        return self.list_inventory()[1]

    def list_inventory(self) -> tuple[tuple[Cluster, ...], tuple[NodePool, ...]]:
        """Clusters and all their node pools.

        Two calls: GKE's own record of a pool tells only the size it was created with; how many
        nodes it is meant to have now is the target size of its instance groups.

        Raises:
            OpsError: the call failed, or a location did not answer (then the list has holes).
        """
        answer = self._list_raw()
        with calls.converting("container.googleapis.com"):
            found = [(c, p) for c in answer.clusters for p in c.node_pools]
            sizes = self._list_sizes() if found else {}
            clusters = tuple(_cluster(c) for c in answer.clusters)
            pools = tuple(_pool(str(c.name), str(c.location), p, sizes) for c, p in found)
        return clusters, pools

    def _list_raw(self) -> Any:
        parent = f"projects/{self._clients.project}/locations/-"
        resource = f"{parent}/clusters"
        answer: Any = self._clients.call(
            lambda t: self._clients.gke().list_clusters(parent=parent, timeout=t, retry=None),
            resource=resource,
            timeout_s=_READ_TIMEOUT_S,
        )
        if answer.missing_zones:
            raise Unavailable(
                f"GKE could not list these locations: {', '.join(answer.missing_zones)}",
                resource=resource,
            )
        return answer

    def get_node_pool(self, pool: NodePool) -> NodePool:
        """The pool as it is now.

        Raises:
            NotFound: it is gone.
        """
        name = self._pool_name(pool)
        found: Any = self._clients.call(
            lambda t: self._clients.gke().get_node_pool(name=name, timeout=t, retry=None),
            resource=name,
            timeout_s=_READ_TIMEOUT_S,
        )
        with calls.converting(name):
            groups = [str(url) for url in found.instance_group_urls]
            sizes = dict(zip(groups, calls.in_parallel(self._get_size, groups), strict=True))
            return _pool(
                pool.cluster,
                pool.location,
                found,
                {_group(url): n for url, n in sizes.items() if n is not None},
            )

    def apply_node_pool_size(self, pool: NodePool, nodes: int) -> str:
        """Start resizing the pool to `nodes` in total; the operation's full name.

        GKE's size is per zone, so the total must divide by the number of zones.

        Raises:
            Conflict: the pool changed since `pool` was read (its etag), or is being changed.
            Invalid: the total does not divide by the zones.
        """
        name = self._pool_name(pool)
        zones = max(1, len(pool.zones))
        if nodes < 0 or nodes % zones:
            raise Invalid(
                f"{nodes} nodes cannot be spread evenly over {zones} zones",
                resource=name,
                hint=f"Choose a multiple of {zones}.",
            )
        now = self.get_node_pool(pool)
        if pool.etag and now.etag != pool.etag:
            raise Conflict("The node pool changed since it was read.", resource=name)
        request = {"name": name, "node_count": nodes // zones}
        started: Any = self._clients.call(
            lambda t: self._clients.gke().set_node_pool_size(
                request=request, timeout=t, retry=None
            ),
            resource=name,
            timeout_s=_WRITE_TIMEOUT_S,
            policy=calls.ONCE,
        )
        location = started.location or started.zone or pool.location
        return f"projects/{self._clients.project}/locations/{location}/operations/{started.name}"

    def find_resize(self, pool: NodePool) -> str:
        """The resize that runs on the pool now; the operation's full name, "" when there is none.

        For who asked for a resize and never got the answer.
        """
        parent = f"projects/{self._clients.project}/locations/{pool.location}"
        found: Any = self._clients.call(
            lambda t: self._clients.gke().list_operations(parent=parent, timeout=t, retry=None),
            resource=f"{parent}/operations",
            timeout_s=_READ_TIMEOUT_S,
        )
        target = f"/clusters/{pool.cluster}/nodePools/{pool.name}"
        with calls.converting(parent):
            running = [
                str(o.name)
                for o in found.operations
                if o.operation_type.name == "SET_NODE_POOL_SIZE"
                and o.status.name in ("PENDING", "RUNNING")
                and str(o.target_link).endswith(target)
            ]
        return f"{parent}/operations/{running[-1]}" if running else ""

    def get_operation(self, name: str) -> OperationState:
        """An operation by its full name. GKE returns a plain Operation, so it is polled here."""
        found: Any = self._clients.call(
            lambda t: self._clients.gke().get_operation(name=name, timeout=t, retry=None),
            resource=name,
            timeout_s=_READ_TIMEOUT_S,
        )
        with calls.converting(name):
            status = str(found.status.name)
            failed = bool(found.error.code) or bool(found.error.message)
            return OperationState(
                name=name,
                done=status == "DONE",
                status=status,
                detail=str(found.detail or ""),
                error=str(found.error.message or found.status_message) if failed else None,
                progress_ratio=1.0 if status == "DONE" and not failed else _progress(found),
            )

    def _list_sizes(self) -> dict[str, int]:
        """Target size of every managed instance group of the project, by `_group`."""
        resource = f"projects/{self._clients.project}/aggregated/instanceGroupManagers"

        def read(timeout_s: float) -> dict[str, int]:
            pager = self._clients.instance_groups().aggregated_list(
                project=self._clients.project, timeout=timeout_s, retry=None
            )
            return {
                _group(str(g.self_link)): int(g.target_size)
                for _, in_zone in pager
                for g in in_zone.instance_group_managers
            }

        return self._clients.call(read, resource=resource, timeout_s=_READ_TIMEOUT_S)

    def _get_size(self, url: str) -> int | None:
        zone, name = _group(url).split("/")

        def read(timeout_s: float) -> int:
            found: Any = self._clients.instance_groups().get(
                project=self._clients.project,
                zone=zone,
                instance_group_manager=name,
                timeout=timeout_s,
                retry=None,
            )
            return int(found.target_size)

        try:
            return self._clients.call(read, resource=url, timeout_s=_READ_TIMEOUT_S)
        except NotFound:
            return None

    def _pool_name(self, pool: NodePool) -> str:
        return (
            f"projects/{self._clients.project}/locations/{pool.location}"
            f"/clusters/{pool.cluster}/nodePools/{pool.name}"
        )


def _cluster(found: Any) -> Cluster:
    return Cluster(
        name=str(found.name),
        location=str(found.location),
        version=str(found.current_master_version),
        status=str(found.status.name),
        endpoint=str(found.endpoint),
        labels=dict(found.resource_labels),
    )


def _group(url: str) -> str:
    """zone/name of an instance group manager's URL."""
    zone, _, name = url.rsplit("/zones/", 1)[-1].split("/", 2)
    return f"{zone}/{name}"


def _terms(config: Any) -> dict[str, str]:
    """Labels that GKE puts on nodes that may be taken away; the pool itself does not list them."""
    flags = {"spot": config.spot, "preemptible": config.preemptible}
    return {f"cloud.google.com/gke-{name}": "true" for name, there in flags.items() if there}


def _pool(cluster: str, location: str, found: Any, sizes: Mapping[str, int]) -> NodePool:
    """The record of a pool; `sizes` are its groups' target sizes, and may hold others' too.

    A group that they lack is gone, with its nodes: of a pool that is being deleted, or was made by
    hand. Compute refuses to list groups while it cannot reach one of their zones.
    """
    labels = {**found.config.labels, **_terms(found.config)}
    zones = tuple(str(z) for z in found.locations)
    groups = [_group(str(url)) for url in found.instance_group_urls]
    gone = [name for name in groups if name not in sizes]
    message = str(found.status_message)
    if gone and not message:
        message = f"instance group {', '.join(gone)} does not exist (any more)"
    topology = str(found.placement_policy.tpu_topology) or labels.get(_TOPOLOGY_LABEL, "")
    least, most = _bounds(found.autoscaling, len(zones))
    return NodePool(
        name=str(found.name),
        cluster=cluster,
        location=location,
        zones=zones,
        machine_type=str(found.config.machine_type),
        topology=topology or None,
        node_count=sum(sizes.get(name, 0) for name in groups),
        status=str(found.status.name),
        status_message=message,
        version=str(found.version),
        labels=labels,
        etag=str(found.etag),
        placement_policy=str(found.placement_policy.policy_name),
        least_nodes=least,
        most_nodes=most,
    )


def _bounds(asked: Any, zones: int) -> tuple[int | None, int | None]:
    """Least and most nodes of an autoscaled pool, which GKE keeps in total or for each zone."""
    if not asked.enabled:
        return None, None
    if asked.total_max_node_count:
        return int(asked.total_min_node_count), int(asked.total_max_node_count)
    return int(asked.min_node_count) * zones, int(asked.max_node_count) * zones


def _progress(found: Any) -> float | None:
    """Done ÷ total, or percent, of the operation's whole-number metrics, where it has them."""
    values = {str(m.name).lower(): int(m.int_value) for m in found.progress.metrics}
    for name, value in values.items():
        if "percent" in name:
            return min(1.0, value / 100.0)
    totals = [v for n, v in values.items() if "total" in n]
    dones = [v for n, v in values.items() if "done" in n or "complete" in n]
    if not totals or not dones or totals[0] <= 0:
        return None
    return min(1.0, dones[0] / totals[0])
