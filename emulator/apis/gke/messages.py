"""GKE's state in Google's messages (google.container.v1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.cloud.container_v1.types import cluster_service as types

from emulator.apis.compute.catalogue import region_of
from emulator.apis.gke.model import Cluster, NodePool
from emulator.apis.gke.nodes import SPOT_LABEL
from emulator.client_files import KUBERNETES_PREFIX
from emulator.clock import rfc3339
from emulator.operations import Job
from emulator.scenario import Project
from emulator.wire.etags import etag_of

if TYPE_CHECKING:
    from emulator.tls import ClusterAccess

HOST: Final = "https://container.googleapis.com/v1"
_COMPUTE: Final = "https://www.googleapis.com/compute/v1"
# TPU hosts carry this taint, so that only workloads that ask for chips land on them.
_TPU_TAINT: Final = types.NodeTaint(
    key="google.com/tpu", value="present", effect=types.NodeTaint.Effect.NO_SCHEDULE
)
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


def cluster_path(project: Project, cluster: Cluster) -> str:
    """Its resource name."""
    return f"projects/{project.id}/locations/{cluster.location}/clusters/{cluster.name}"


def pool_etag(pool: NodePool) -> str:
    """Changes whenever the pool does."""
    return etag_of(pool.name, pool.target, pool.status, pool.revision)


def pool_message(project: Project, cluster: Cluster, pool: NodePool) -> types.NodePool:
    """A node pool; initialNodeCount stays what it was at creation, as with GKE."""
    path = f"{cluster_path(project, cluster)}/nodePools/{pool.name}"
    return types.NodePool(
        name=pool.name,
        config=_node_config(project, pool),
        initial_node_count=pool.initial,
        locations=[pool.zone],
        network_config=types.NodeNetworkConfig(
            pod_range="hw-pods", pod_ipv4_cidr_block="10.64.0.0/10", enable_private_nodes=True
        ),
        self_link=f"{HOST}/{path}",
        version=pool.version or cluster.version,
        status_message=pool.trouble,
        instance_group_urls=[
            f"{_COMPUTE}/projects/{project.id}/zones/{pool.zone}/instanceGroupManagers/{pool.group}"
        ],
        status=types.NodePool.Status[pool.status],
        autoscaling=pool.autoscaling or types.NodePoolAutoscaling(enabled=False),
        management=pool.management or types.NodeManagement(auto_upgrade=True, auto_repair=True),
        max_pods_constraint=types.MaxPodsConstraint(max_pods_per_node=110),
        pod_ipv4_cidr_size=24,
        upgrade_settings=types.NodePool.UpgradeSettings(
            max_surge=0 if pool.generation else 1,
            max_unavailable=1 if pool.generation else 0,
            strategy=types.NodePoolUpdateStrategy.SURGE,
        ),
        placement_policy=_placement(pool),
        etag=pool_etag(pool),
    )


def _placement(pool: NodePool) -> types.NodePool.PlacementPolicy | None:
    return types.NodePool.PlacementPolicy(policy_name=pool.policy) if pool.policy else None


def _node_config(project: Project, pool: NodePool) -> types.NodeConfig:
    config = types.NodeConfig(
        machine_type=pool.machine_type,
        disk_size_gb=500 if pool.generation else 100,
        disk_type="hyperdisk-balanced" if pool.generation else "pd-balanced",
        oauth_scopes=list(_SCOPES),
        service_account=f"hw-nodes@{project.id}.iam.gserviceaccount.com",
        metadata={"disable-legacy-endpoints": "true"},
        image_type="COS_CONTAINERD",
        spot=SPOT_LABEL in pool.labels,
        labels=pool.labels,
        taints=[_TPU_TAINT] if pool.generation else [],
        shielded_instance_config=types.ShieldedInstanceConfig(enable_integrity_monitoring=True),
        workload_metadata_config=types.WorkloadMetadataConfig(
            mode=types.WorkloadMetadataConfig.Mode.GKE_METADATA
        ),
    )
    if pool.given is None:
        return config
    asked = types.NodeConfig(pool.given)
    taints = list(asked.taints)
    asked.labels, asked.taints = {}, []
    merged = types.NodeConfig.pb(config)
    merged.MergeFrom(types.NodeConfig.pb(asked))
    config = types.NodeConfig.wrap(merged)
    config.taints = [*config.taints, *taints]
    if asked.oauth_scopes:
        config.oauth_scopes = list(asked.oauth_scopes)
    return config


def cluster_message(
    project: Project, cluster: Cluster, access: ClusterAccess | None = None
) -> types.Cluster:
    """A cluster with its pools; `access` is there while the emulator has a TLS port."""
    pools = list(cluster.pools.values())
    busy = any(p.status not in ("RUNNING", "ERROR") for p in pools)
    status = "RECONCILING" if busy and cluster.status == "RUNNING" else cluster.status
    region = region_of(cluster.location) if cluster.location.count("-") > 1 else cluster.location
    subnetwork = f"projects/{project.id}/regions/{region}/subnetworks/{cluster.subnetwork}"
    first = pools[0] if pools else None
    return types.Cluster(
        name=cluster.name,
        id=etag_of(project.number, cluster.name),
        description=cluster.description,
        initial_node_count=first.initial if first else 0,
        node_config=_node_config(project, first) if first else None,
        node_pools=[pool_message(project, cluster, p) for p in pools],
        logging_service="logging.googleapis.com/kubernetes",
        monitoring_service="monitoring.googleapis.com/kubernetes",
        network=cluster.network,
        subnetwork=cluster.subnetwork,
        network_config=types.NetworkConfig(
            network=f"projects/{project.id}/global/networks/{cluster.network}",
            subnetwork=subnetwork,
            datapath_provider=types.DatapathProvider.ADVANCED_DATAPATH,
            gateway_api_config=types.GatewayAPIConfig(
                channel=types.GatewayAPIConfig.Channel[cluster.gateway]
            ),
        ),
        cluster_ipv4_cidr="10.64.0.0/10",
        services_ipv4_cidr="10.32.0.0/20",
        ip_allocation_policy=types.IPAllocationPolicy(
            use_ip_aliases=True, cluster_ipv4_cidr_block="10.64.0.0/10"
        ),
        locations=cluster.zones or sorted({p.zone for p in pools}),
        maintenance_policy=_maintenance(cluster),
        location=cluster.location,
        zone=cluster.location,
        resource_labels=cluster.resource_labels,
        label_fingerprint=label_fingerprint(cluster),
        release_channel=types.ReleaseChannel(channel=types.ReleaseChannel.Channel[cluster.channel]),
        workload_identity_config=types.WorkloadIdentityConfig(workload_pool=cluster.workload_pool),
        monitoring_config=types.MonitoringConfig(
            managed_prometheus_config=types.ManagedPrometheusConfig(enabled=True)
        ),
        cost_management_config=types.CostManagementConfig(enabled=True),
        endpoint=_endpoint(project, cluster, access),
        master_auth=_master_auth(access),
        self_link=f"{HOST}/{cluster_path(project, cluster)}",
        initial_cluster_version=cluster.version,
        current_master_version=cluster.version,
        current_node_version=cluster.version,
        create_time=rfc3339(cluster.created_at),
        status=types.Cluster.Status[status],
        current_node_count=sum(len(p.nodes) for p in pools),
        instance_group_urls=[u for p in pools for u in _groups(project, p)],
        autopilot=types.Autopilot(enabled=False),
        etag=etag_of(cluster.name, *(pool_etag(p) for p in pools)),
    )


def _endpoint(project: Project, cluster: Cluster, access: ClusterAccess | None) -> str:
    """gcloud puts "https://" before it, so that a port and a path may stand in it."""
    if access is None:
        return "203.0.113.10"
    path = f"{project.id}/{cluster.location}/{cluster.name}"
    return f"{access.address}{KUBERNETES_PREFIX}/{path}"


def _master_auth(access: ClusterAccess | None) -> types.MasterAuth | None:
    if access is None:
        return None
    return types.MasterAuth(
        cluster_ca_certificate=access.authority,
        client_certificate=access.client_certificate,
        client_key=access.client_key,
    )


def label_fingerprint(cluster: Cluster) -> str:
    """Changes with the cluster's labels."""
    return etag_of(sorted(cluster.resource_labels.items()))


def _maintenance(cluster: Cluster) -> types.MaintenancePolicy | None:
    if cluster.maintenance is None:
        return None
    policy = types.MaintenancePolicy(cluster.maintenance)
    policy.resource_version = cluster.maintenance_version
    return policy


def _groups(project: Project, pool: NodePool) -> list[str]:
    base = f"{_COMPUTE}/projects/{project.id}/zones/{pool.zone}"
    return [f"{base}/instanceGroupManagers/{pool.group}"]


def operation_message(project: Project, job: Job, location: str, now: float) -> types.Operation:
    """An operation: PENDING → RUNNING → DONE, with an error when it was cancelled or failed."""
    name = job.name.rsplit("/", 1)[-1]
    link = f"{HOST}/projects/{project.number}/locations/{location}"
    message = types.Operation(
        name=name,
        zone=location,
        location=location,
        operation_type=types.Operation.Type[job.data["type"]],
        status=types.Operation.Status[job.phase(now)],
        self_link=f"{link}/operations/{name}",
        target_link=f"{link}/{job.target}",
        start_time=rfc3339(job.started_at, "microseconds"),
    )
    if job.ended_at is not None:
        message.end_time = rfc3339(job.ended_at, "microseconds")
    else:
        done = round(100 * job.progress(now))
        if "after" in job.data:
            nodes = max(job.data["before"], job.data["after"])
            message.detail = f"{done}% of {nodes} nodes"
        message.progress = types.OperationProgress(
            name=name,
            status=message.status,
            metrics=[types.OperationProgress.Metric(name="PERCENT", int_value=done)],
        )
    if job.error:
        code, text = job.error
        message.status_message = text
        message.error = {"code": _CODES[code], "message": text}
    return message


_CODES: Final = {code.name: code.value[0] for code in grpc.StatusCode}
