"""What the inventory APIs answer: alike over both wires, valid by Google's documents."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from emulator.context import make_cloud
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.wire.mount import Mount
from tests.emulator.clients import CLUSTER, LOCATION, PROJECT, make_client, make_compute
from tests.emulator.discovery import response_problems
from tests.processes import EmulatorProcess, start_emulator

ZONE = f"projects/{PROJECT}/zones/us-central1-c"
DEV = f"projects/{PROJECT}/locations/us-central1-b"
GLOBAL = f"projects/{PROJECT}/global"
REGION = f"projects/{PROJECT}/regions/us-central1"
ALL = f"projects/{PROJECT}/aggregated"
_ENDPOINT = "6145963329308291699"
_MODEL = "7932797583501590794"
_GROUP = "gke-hw-serving-hw-small-00-215ccaf1-grp"

# (document, prefix, verb and path); every served read of the inventory APIs.
READS = [
    ("container.v1", "/container/v1/", "GET", path)
    for path in (
        f"{LOCATION}/clusters",
        f"projects/{PROJECT}/locations/-/clusters",
        f"projects/{PROJECT}/zones/-/clusters",
        CLUSTER,
        f"{CLUSTER}/nodePools",
        f"{CLUSTER}/nodePools/hw-small-00",
        f"{CLUSTER}/nodePools/hw-medium-00",
        f"{LOCATION}/operations",
        f"{LOCATION}/serverConfig",
    )
] + [
    ("tpu.v2", "/tpu/v2/", "GET", path)
    for path in (
        f"{DEV}/nodes",
        f"{DEV}/nodes/hw-dev-00",
        f"projects/{PROJECT}/locations/-/nodes",
        f"{DEV}/acceleratorTypes",
        f"{DEV}/acceleratorTypes/v6e-8",
        f"{DEV}/runtimeVersions",
        f"{DEV}/runtimeVersions/v2-alpha-tpuv6e",
        f"{DEV}/queuedResources",
        f"projects/{PROJECT}/locations",
        DEV,
        f"{DEV}/operations",
    )
] + [
    ("aiplatform.v1", "/aiplatform/v1/", "GET", path)
    for path in (
        f"{LOCATION}/endpoints",
        f"{LOCATION}/endpoints/{_ENDPOINT}",
        f"{LOCATION}/models",
        f"{LOCATION}/models/{_MODEL}",
        f"{LOCATION}/models/{_MODEL}:listVersions",
        f"{LOCATION}/operations",
    )
] + [
    ("compute.v1", "/compute/v1/", "GET", path)
    for path in (
        f"projects/{PROJECT}",
        f"projects/{PROJECT}/zones",
        f"projects/{PROJECT}/regions",
        ZONE,
        REGION,
        f"{ZONE}/machineTypes",
        f"{ZONE}/machineTypes/tpu7x-standard-4t",
        f"{ALL}/machineTypes",
        f"{ZONE}/acceleratorTypes",
        f"{ZONE}/acceleratorTypes/tpu7x",
        f"{ALL}/acceleratorTypes",
        f"{GLOBAL}/addresses",
        f"{GLOBAL}/addresses/hw-serving-ip",
        f"{ALL}/addresses",
        f"{GLOBAL}/healthChecks",
        f"{GLOBAL}/healthChecks/hw-ready",
        f"{ALL}/healthChecks",
        f"{GLOBAL}/backendServices",
        f"{GLOBAL}/backendServices/hw-small",
        f"{ALL}/backendServices",
        f"{GLOBAL}/urlMaps",
        f"{GLOBAL}/urlMaps/hw-serving",
        f"{ALL}/urlMaps",
        f"{GLOBAL}/targetHttpsProxies",
        f"{GLOBAL}/targetHttpsProxies/hw-serving",
        f"{ALL}/targetHttpsProxies",
        f"{GLOBAL}/targetHttpProxies",
        f"{ALL}/targetHttpProxies",
        f"{GLOBAL}/sslCertificates",
        f"{GLOBAL}/sslCertificates/hw-serving-cert",
        f"{ALL}/sslCertificates",
        f"{GLOBAL}/forwardingRules",
        f"{GLOBAL}/forwardingRules/hw-serving",
        f"{ALL}/forwardingRules",
        f"{ZONE}/networkEndpointGroups",
        f"{ZONE}/networkEndpointGroups/hw-small-neg",
        f"{ALL}/networkEndpointGroups",
        f"{GLOBAL}/networkEndpointGroups",
        f"{ZONE}/instanceGroupManagers",
        f"{ZONE}/instanceGroupManagers/{_GROUP}",
        f"{ALL}/instanceGroupManagers",
        f"{ZONE}/instanceGroups",
        f"{ZONE}/instanceGroups/{_GROUP}",
        f"{ALL}/instanceGroups",
        f"{GLOBAL}/networks",
        f"{GLOBAL}/networks/hw-net",
        f"{REGION}/subnetworks",
        f"{REGION}/subnetworks/hw-subnet",
        f"{ALL}/subnetworks",
        f"{GLOBAL}/firewalls",
        f"{GLOBAL}/firewalls/hw-allow-probes",
        f"{REGION}/resourcePolicies",
        f"{REGION}/resourcePolicies/hw-medium-2x2x4",
        f"{ALL}/resourcePolicies",
        f"{ZONE}/reservations",
        f"{ALL}/reservations",
        f"{GLOBAL}/securityPolicies",
        f"{ALL}/securityPolicies",
        f"{ALL}/operations",
        f"{GLOBAL}/operations",
        f"{REGION}/operations",
        f"{ZONE}/operations",
        f"{REGION}/addresses",
        f"{REGION}/forwardingRules",
    )
] + [
    ("compute.v1", "/compute/v1/", "POST", path)
    for path in (
        f"{ZONE}/networkEndpointGroups/hw-small-neg/listNetworkEndpoints",
        f"{ZONE}/instanceGroupManagers/{_GROUP}/listManagedInstances",
        f"{ZONE}/instanceGroups/{_GROUP}/listInstances",
    )
]  # fmt: skip


def _answer(url: str, prefix: str, verb: str, path: str) -> tuple[int, Any]:
    response = httpx.request(verb, url + prefix + path, timeout=30)
    return response.status_code, response.json()


@pytest.mark.parametrize(("document", "prefix", "verb", "path"), READS)
def test_answers_validate_against_googles_documents(
    emulator: EmulatorProcess, document: str, prefix: str, verb: str, path: str
) -> None:
    """Every read answers 200 with a body that Google's discovery document allows."""
    status, body = _answer(emulator.rest_url, prefix, verb, path)
    assert status == 200, body
    version = prefix.rstrip("/").rsplit("/", 1)[-1]
    documented = path if document == "compute.v1" else f"{version}/{path}"
    if document == "compute.v1":
        documented = f"compute/v1/{path}"
    assert response_problems(document, verb, documented, body) == []


# Gets that have nothing to get in any scenario, and those that other tests validate.
_NOTHING_TO_GET = ("Addresses", "ForwardingRules", "TargetHttpProxies", "Operations",
                   "Reservations", "SecurityPolicies", "GlobalNetworkEndpointGroups")  # fmt: skip
_ELSEWHERE = {"get_health", "get_queued_resource"}


def test_no_served_read_escapes_validation(emulator: EmulatorProcess) -> None:
    """Each served list or get of these APIs is called by the test above."""
    for read in READS:
        _answer(emulator.rest_url, *read[1:])
    counted = httpx.get(f"{emulator.rest_url}/metrics").text
    missed: list[str] = []
    ours = ("tpu_v2", "container_v1", "aiplatform_v1", "compute_v1")
    mounts = [m for m in load_apis(make_cloud(Settings())) if isinstance(m, Mount)]
    for mount in (m for m in mounts if m.transports.split(".")[2] in ours):
        for method in mount.methods():
            read = method.name.startswith(("get", "list", "aggregated"))
            served = hasattr(mount.handler, method.name) and method.name not in _ELSEWHERE
            of_one = method.name.startswith("get") or method.name == "list_network_endpoints"
            absent = of_one and method.service.endswith(_NOTHING_TO_GET)
            operation = method.name == "get_operation"
            if read and served and not absent and not operation:
                label = f'method="{method.rpc}",service="{method.service}",wire="rest"'
                missed += [] if label in counted else [label]
    assert missed == [], "\n".join(missed)


@pytest.mark.parametrize("seed_pair", [(7, 7), (7, 8)])
def test_answers_follow_from_the_seed(
    emulator: EmulatorProcess, seed_pair: tuple[int, int]
) -> None:
    """Two emulators with one seed answer alike; with another seed the nodes have other names."""
    other = start_emulator("normal", speed=600, seed=seed_pair[1], own_interpreter=True)
    try:
        alike = [
            _answer(emulator.rest_url, *read[1:]) == _answer(other.rest_url, *read[1:])
            for read in READS
        ]
    finally:
        other.stop()
    assert all(alike) == (seed_pair[0] == seed_pair[1])


CALLS = [
    ("TpuClient", "list_nodes", {"parent": DEV}),
    ("TpuClient", "get_node", {"name": f"{DEV}/nodes/hw-dev-00"}),
    ("TpuClient", "list_accelerator_types", {"parent": DEV}),
    ("ClusterManagerClient", "list_clusters", {"parent": LOCATION}),
    ("ClusterManagerClient", "get_cluster", {"name": CLUSTER}),
    ("ClusterManagerClient", "list_node_pools", {"parent": CLUSTER}),
    ("ClusterManagerClient", "get_node_pool", {"name": f"{CLUSTER}/nodePools/hw-small-00"}),
    ("ClusterManagerClient", "get_server_config", {"name": LOCATION}),
    ("EndpointServiceClient", "list_endpoints", {"parent": LOCATION}),
    ("ModelServiceClient", "list_models", {"parent": LOCATION}),
]


@pytest.mark.parametrize(("client", "method", "request_"), CALLS)
def test_both_wires_answer_alike(
    emulator: EmulatorProcess, client: str, method: str, request_: dict[str, Any]
) -> None:
    """One handler serves gRPC and REST: Google's client gets equal messages from both."""
    answers = [
        getattr(make_client(client, wire, emulator), method)(request=request_)
        for wire in ("grpc", "rest")
    ]
    plain = [list(a) if hasattr(a, "pages") else a for a in answers]
    assert plain[0] == plain[1]
    assert plain[0]


def test_default_world_has_the_tiers_hosts(emulator: EmulatorProcess) -> None:
    """48 small hosts in 3 pools, 64 medium slices of 4 hosts, 16 Vertex replicas, one TPU VM."""
    gke = make_client("ClusterManagerClient", "grpc", emulator)
    pools = gke.list_node_pools(parent=CLUSTER).node_pools
    sizes = {p.name: p.initial_node_count for p in pools}
    assert sum(v for k, v in sizes.items() if k.startswith("hw-small")) == 48
    assert sum(v for k, v in sizes.items() if k.startswith("hw-medium")) == 256
    assert not [k for k in sizes if k.startswith("hw-large")]
    assert gke.get_cluster(name=CLUSTER).current_node_count == 48 + 256 + sizes["hw-system"]
    labels = {p.name: dict(p.config.labels) for p in pools}
    assert labels["hw-medium-00"] == {
        "heartwood-tier": "medium",
        "cloud.google.com/gke-tpu-accelerator": "tpu7x",
        "cloud.google.com/gke-tpu-topology": "2x2x4",
    }
    assert "heartwood-tier" not in labels["hw-system"]
    multi = next(p for p in pools if p.name == "hw-medium-00")
    assert multi.placement_policy.policy_name == "hw-medium-2x2x4"
    vertex = make_client("EndpointServiceClient", "grpc", emulator)
    (endpoint,) = vertex.list_endpoints(parent=LOCATION)
    (deployed,) = endpoint.deployed_models
    spec = deployed.dedicated_resources.machine_spec
    assert (spec.machine_type, spec.tpu_topology) == ("tpu7x-standard-4t", "2x2x1")
    assert deployed.dedicated_resources.min_replica_count == 16
    assert dict(endpoint.traffic_split) == {deployed.id: 100}


def test_pages_hold_every_item_once(emulator: EmulatorProcess) -> None:
    """Small pages give the same items as one page; a token of another listing is refused."""
    tpu = make_client("TpuClient", "rest", emulator)
    whole = [t.name for t in tpu.list_accelerator_types(parent=DEV)]
    request = {"parent": DEV, "page_size": 3}
    assert [t.name for t in tpu.list_accelerator_types(request=request)] == whole
    compute = make_compute("MachineTypesClient", emulator)
    names = {"project": PROJECT, "zone": "us-central1-c"}
    whole = [m.name for m in compute.list(request=names)]
    assert [m.name for m in compute.list(request={**names, "max_results": 2})] == whole
    assert len(whole) == len(set(whole)) > 2


def test_empty_project_has_apis_and_nothing_else() -> None:
    """In `empty-project` every list is empty, and none fails."""
    empty = start_emulator("empty-project", speed=600)
    try:
        gke = make_client("ClusterManagerClient", "grpc", empty)
        assert not gke.list_clusters(parent=f"projects/{PROJECT}/locations/-").clusters
        assert not list(make_client("TpuClient", "grpc", empty).list_nodes(parent=DEV))
        vertex = make_client("EndpointServiceClient", "rest", empty)
        assert not list(vertex.list_endpoints(parent=LOCATION))
        assert not list(make_compute("BackendServicesClient", empty).list(project=PROJECT))
    finally:
        empty.stop()
