"""What exists: clusters, pools, hosts, workloads, pods, events, TPU VMs, endpoints, balancers."""

from __future__ import annotations

import pytest

from core import tpu
from core.errors import NotFound
from core.records import Cluster
from core.specs import TIER_LABEL
from emulator.scenario import SCENARIOS
from services.gke import Gke
from services.identity import probe_identity
from services.kube import Kube
from services.load_balancer import LoadBalancers
from services.tpu import Tpu
from services.vertex import Vertex
from tests.contracts.conftest import Cloud

SCENARIO = SCENARIOS["normal"]


def _clusters(cloud: Cloud) -> tuple[Cluster, ...]:
    clusters = Gke(cloud.clients).list_clusters()
    cloud.need(clusters, "clusters")
    return clusters


def test_clusters_have_names_places_and_versions(cloud: Cloud) -> None:
    """Every cluster says where it is, what it runs and its state in GKE's words."""
    for cluster in _clusters(cloud):
        assert cluster.name
        assert cluster.location
        assert cluster.version[0].isdigit()
        assert cluster.status in ("PROVISIONING", "RUNNING", "RECONCILING", "STOPPING", "ERROR",
                                  "DEGRADED")  # fmt: skip


def test_pools_have_their_present_size_and_labels(cloud: Cloud) -> None:
    """A pool's size is that of its instance groups, its labels those of its nodes."""
    clusters, pools = Gke(cloud.clients).list_inventory()
    cloud.need(pools, "node pools")
    assert {p.cluster for p in pools} <= {c.name for c in clusters}
    for pool in pools:
        assert pool.zones
        assert pool.machine_type
        assert pool.etag
    if cloud.emulated:
        sizes = {p.name: p.node_count for p in pools if p.labels.get(TIER_LABEL)}
        expected = {n: size for t in SCENARIO.tiers for n, size in t.pool_names().items()}
        assert sizes == expected


def test_one_pool_reads_as_in_the_list(cloud: Cloud) -> None:
    """get and list give the same record."""
    gke = Gke(cloud.clients)
    pools = gke.list_node_pools()
    cloud.need(pools, "node pools")
    assert gke.get_node_pool(pools[-1]) == pools[-1]


def test_a_missing_cluster_is_not_found(cloud: Cloud) -> None:
    """An unknown operation name is NotFound with its name."""
    name = f"projects/{cloud.clients.project}/locations/us-central1/operations/operation-1-deadbeef"
    with pytest.raises(NotFound) as caught:
        Gke(cloud.clients).get_operation(name)
    assert caught.value.resource == name


def test_hosts_carry_chips_and_belong_to_pools(cloud: Cloud) -> None:
    """Every TPU node is in a known pool and has as many chips as its machine type."""
    clusters, pools = Gke(cloud.clients).list_inventory()
    cloud.need(clusters, "clusters")
    hosts = [h for c in clusters for h in Kube(cloud.clients).list_hosts(c)]
    cloud.need(hosts, "TPU hosts")
    names = {p.name for p in pools}
    for host in hosts:
        assert host.pool in names
        assert host.chips > 0
        assert host.topology
        assert host.zone
    if cloud.emulated:
        small = [h for h in hosts if h.labels.get(TIER_LABEL) == "small"]
        assert len(small) == 48
        assert {h.accelerator for h in small} == {tpu.TPU7X.gke_accelerator}
        assert sum(1 for h in hosts if h.labels.get(TIER_LABEL) == "medium") == 256


def test_hosts_come_whole_over_pages(cloud: Cloud) -> None:
    """Paging neither loses nor repeats a node."""
    for cluster in _clusters(cloud):
        names = [h.name for h in Kube(cloud.clients).list_hosts(cluster)]
        assert len(names) == len(set(names))


def test_workloads_and_pods_run_on_hosts(cloud: Cloud) -> None:
    """Pods name the host they run on; the system's are left out."""
    kube = Kube(cloud.clients)
    clusters = _clusters(cloud)
    workloads = [w for c in clusters for w in kube.list_workloads(c).found]
    pods = [p for c in clusters for p in kube.list_pods(c)]
    cloud.need(workloads, "workloads")
    cloud.need(pods, "pods")
    assert not any(w.namespace.startswith("kube-") for w in workloads)
    assert not any(p.namespace.startswith("kube-") for p in pods)
    assert all(p.host for p in pods if p.phase == "Running")
    if cloud.emulated:
        kinds = {w.namespace: w.kind for w in workloads if w.replicas_wanted}
        assert kinds == {"small": "Deployment", "medium": "LeaderWorkerSet"}
        hosts = {h.name for c in clusters for h in kube.list_hosts(c)}
        assert {p.host for p in pods if p.phase == "Running"} <= hosts


def test_events_are_newest_first(cloud: Cloud) -> None:
    """Events carry a time and come in its order."""
    for cluster in _clusters(cloud):
        events = Kube(cloud.clients).list_events(cluster)
        times = [e.at for e in events]
        assert times == sorted(times, reverse=True)
        assert all(e.reason and e.type in ("Normal", "Warning") for e in events)


def test_tpu_vms(cloud: Cloud) -> None:
    """The Cloud TPU API's nodes in the tiers' zones."""
    vms = Tpu(cloud.clients).list_tpu_vms(cloud.specs)
    cloud.need(vms, "TPU VMs")
    for vm in vms:
        assert vm.state
        assert vm.hosts >= 1 or vm.state != "READY"
        assert vm.accelerator_type
    if cloud.emulated:
        assert [(v.labels[TIER_LABEL], v.topology, v.hosts) for v in vms] == [("dev", "2x4", 1)]


def test_endpoints_and_their_models(cloud: Cloud) -> None:
    """An endpoint's traffic split over its deployed models is whole, where it has any."""
    endpoints = Vertex(cloud.clients).list_endpoints(cloud.specs)
    cloud.need(endpoints, "Vertex endpoints")
    for endpoint in endpoints:
        assert endpoint.id.isdigit()
        total = sum(m.traffic_ratio for m in endpoint.deployed)
        assert total in (0.0, 1.0)
    if cloud.emulated:
        (endpoint,) = endpoints
        assert endpoint.deployed[0].machine_type == "tpu7x-standard-4t"
        assert endpoint.deployed[0].topology == "2x2x1"
        assert endpoint.deployed[0].replicas_max == 16


def test_load_balancer(cloud: Cloud) -> None:
    """Every service that a URL map names exists, and health counts endpoints."""
    found = LoadBalancers(cloud.clients).read_load_balancer()
    cloud.need(found.backend_services, "global backend services")
    services = {s.name for s in found.backend_services}
    for url_map in found.url_maps:
        assert url_map.default_service in services | {""}
        for matcher in url_map.matchers:
            assert {r.service for r in matcher.rules} <= services
    for service in found.backend_services:
        assert service.timeout_s > 0
        for backend in service.backends:
            assert (backend.healthy is None) == (backend.unhealthy is None)
    if cloud.emulated:
        assert found.forwarding_rules
        small = next(s for s in found.backend_services if s.name == "hw-small")
        assert sum(b.healthy or 0 for b in small.backends) > 0
        assert small.timeout_s >= 300


def test_identity(cloud: Cloud) -> None:
    """The Connections page can say as whom we call."""
    found = probe_identity(cloud.clients)
    assert found.project == cloud.clients.project
    assert found.name
    if cloud.emulated:
        assert (found.name, found.kind) == ("anonymous", "anonymous")
