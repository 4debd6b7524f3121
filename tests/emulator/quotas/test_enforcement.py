"""Quotas bind where something is made: GKE, Cloud TPU and Vertex AI; a grant makes room."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulator.clients import CLUSTER, LOCATION, PROJECT, make_client
from tests.processes import EmulatorProcess, start_emulator

QUOTAS = f"projects/{PROJECT}/locations/global"
ZONE = f"projects/{PROJECT}/locations/us-central1-b"


@pytest.fixture(scope="module")
def bounded() -> Iterator[EmulatorProcess]:
    """The scenario `normal`; each test has a product of its own."""
    running = start_emulator("normal", speed=1200)
    yield running
    running.stop()


def _set(emulator: EmulatorProcess, service: str, quota: str, value: int, **where: str) -> None:
    """Have a quota be something, by asking for it."""
    client = make_client("CloudQuotasClient", "grpc", emulator)
    wanted: dict[str, Any] = {
        "name": f"{QUOTAS}/quotaPreferences/{service}-{'-'.join(where.values())}",
        "service": f"{service}.googleapis.com", "quota_id": quota, "dimensions": where,
        "quota_config": {"preferred_value": value},
    }  # fmt: skip
    request = {
        "quota_preference": wanted, "allow_missing": True,
        "ignore_safety_checks": ["QUOTA_DECREASE_PERCENTAGE_TOO_HIGH"],
    }  # fmt: skip
    name = client.update_quota_preference(request=request).name
    end = time.monotonic() + 60
    while client.get_quota_preference(name=name).reconciling:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_gke(bounded: EmulatorProcess) -> None:
    """A resize and a new pool beyond the region's chips are refused; once granted they begin."""
    family = {"region": "us-central1", "tpu_family": "TPU7X"}
    quota = "TPUS-PER-TPU-FAMILY-per-project-region"
    chips = 48 * 4 + 64 * 16
    _set(bounded, "compute", quota, chips + 2, **family)
    gke = make_client("ClusterManagerClient", "grpc", bounded)
    resize = {"name": f"{CLUSTER}/nodePools/hw-small-00", "node_count": 17}
    config = {"machine_type": "tpu7x-standard-4t"}
    pool = {"name": "more", "initial_node_count": 1, "config": config,
            "locations": ["us-central1-c"]}  # fmt: skip
    words = rf"request requires '4.0' and is short '2.0'. project has a quota of '{chips + 2}.0'"
    with pytest.raises(exceptions.PermissionDenied, match=words):
        gke.set_node_pool_size(request=resize)
    with pytest.raises(exceptions.PermissionDenied, match=words):
        gke.create_node_pool(parent=CLUSTER, node_pool=pool)
    _set(bounded, "compute", quota, chips + 4, **family)
    assert gke.set_node_pool_size(request=resize).name
    with pytest.raises(exceptions.PermissionDenied, match=r"is short '4\.0'"):
        gke.create_node_pool(parent=CLUSTER, node_pool=pool)


def test_cloud_tpu(bounded: EmulatorProcess) -> None:
    """Chips per zone, with the quota in the error's details."""
    quota = "TPUV6EPerProjectPerZoneForTPUAPI"
    _set(bounded, "tpu", quota, 8, zone="us-central1-b")
    client = make_client("TpuClient", "grpc", bounded)
    node = {"accelerator_type": "v6e-1", "runtime_version": "v2-alpha-tpuv6e"}
    with pytest.raises(exceptions.ResourceExhausted, match=quota) as refused:
        client.create_node(parent=ZONE, node_id="more", node=node)
    assert refused.value.reason == "RATE_LIMIT_EXCEEDED"
    assert refused.value.metadata["quota_limit_value"] == "8"
    _set(bounded, "tpu", quota, 9, zone="us-central1-b")
    assert client.create_node(parent=ZONE, node_id="more", node=node).operation.name


def test_vertex(bounded: EmulatorProcess) -> None:
    """More replicas than the region's chips for serving are refused; once granted they come."""
    quota = "CustomModelServingTPUV7XPerProjectPerRegion"
    _set(bounded, "aiplatform", quota, 64, region="us-central1")
    endpoints = make_client("EndpointServiceClient", "grpc", bounded)
    (endpoint,) = endpoints.list_endpoints(parent=LOCATION)
    (deployed,) = endpoint.deployed_models
    mutate = {
        "endpoint": endpoint.name,
        "deployed_model": {
            "id": deployed.id,
            "dedicated_resources": {"min_replica_count": 17, "max_replica_count": 17},
        },
        "update_mask": {"paths": ["dedicated_resources.min_replica_count"]},
    }
    with pytest.raises(exceptions.ResourceExhausted, match=f"{quota} .*68 chips, 64 of 64"):
        endpoints.mutate_deployed_model(request=mutate)
    _set(bounded, "aiplatform", quota, 68, region="us-central1")
    assert endpoints.mutate_deployed_model(request=mutate).operation.name
