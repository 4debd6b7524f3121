"""Google Kubernetes Engine: the cluster, its node pools, resizes of single-host pools."""

from __future__ import annotations

from emulator.apis.gke.api import ClusterManager
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    transports = "google.cloud.container_v1.services.cluster_manager.transports"
    return [Mount("/container", transports, ClusterManager(cloud))]
