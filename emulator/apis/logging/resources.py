"""Types of monitored resources that log entries may name, with their labels."""

from __future__ import annotations

from typing import Final

_TABLE: Final = {
    "aiplatform.googleapis.com/Endpoint": "resource_container location endpoint_id",
    "audited_resource": "project_id service method",
    "bigquery_resource": "project_id",
    "gce_instance": "project_id instance_id zone",
    "gce_instance_group": "project_id instance_group_id instance_group_name location",
    "gcs_bucket": "project_id bucket_name location",
    "generic_node": "project_id location namespace node_id",
    "generic_task": "project_id location namespace job task_id",
    "gke_cluster": "project_id cluster_name location",
    "gke_nodepool": "project_id cluster_name location nodepool_name",
    "global": "project_id",
    "http_load_balancer": "project_id forwarding_rule_name url_map_name target_proxy_name "
                          "backend_service_name zone",
    "k8s_cluster": "project_id location cluster_name",
    "k8s_container": "project_id location cluster_name namespace_name pod_name container_name",
    "k8s_node": "project_id location cluster_name node_name",
    "k8s_pod": "project_id location cluster_name namespace_name pod_name",
    "logging_sink": "project_id name destination",
    "project": "project_id",
    "service_account": "project_id unique_id email_id",
    "tpu.googleapis.com/GceTpuWorker": "resource_container location zone tpu_id worker_id",
    "tpu_worker": "project_id zone node_id worker_id",
}  # fmt: skip

# type → its labels, in order.
RESOURCES: Final = {name: tuple(labels.split()) for name, labels in _TABLE.items()}
