"""The load balancer: what routes where, which backends are healthy, in each scenario."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import compute_v1

from emulator.apis.compute import groups
from emulator.apis.compute.load_balancer import neg_name
from emulator.clock import Clock
from emulator.context import Cloud
from emulator.scenario import SCENARIOS
from emulator.settings import Settings
from emulator.world.world import World
from tests.emulator.clients import PROJECT, make_compute
from tests.emulator.discovery import problems
from tests.processes import EmulatorProcess, start_emulator


@pytest.fixture(scope="module")
def full() -> Iterator[EmulatorProcess]:
    """The scenario in which every tier runs."""
    running = start_emulator("full-fleet", speed=600)
    yield running
    running.stop()


def _health(emulator: EmulatorProcess, name: str) -> list[compute_v1.HealthStatus]:
    client = make_compute("BackendServicesClient", emulator)
    service = client.get(project=PROJECT, backend_service=name)
    found: list[compute_v1.HealthStatus] = []
    for backend in service.backends:
        group = compute_v1.ResourceGroupReference(group=backend.group)
        answer = client.get_health(
            project=PROJECT, backend_service=name, resource_group_reference_resource=group
        )
        found += list(answer.health_status)
    return found


def _routes(emulator: EmulatorProcess) -> dict[str, str]:
    url_map = make_compute("UrlMapsClient", emulator).get(project=PROJECT, url_map="hw-serving")
    assert [list(r.hosts) for r in url_map.host_rules] == [["*"]]
    (matcher,) = url_map.path_matchers
    found = {p: r.service.rsplit("/", 1)[-1] for r in matcher.path_rules for p in r.paths}
    return {**found, "default": matcher.default_service.rsplit("/", 1)[-1]}


def test_one_endpoint_per_slice(emulator: EmulatorProcess) -> None:
    """A multi-host slice is one endpoint (its leader); large has none while it is off."""
    assert {h.health_state for h in _health(emulator, "hw-small")} == {"HEALTHY"}
    assert len(_health(emulator, "hw-small")) == 48
    assert len(_health(emulator, "hw-medium")) == 64
    assert _health(emulator, "hw-large") == []


def test_routes_follow_the_scenario(emulator: EmulatorProcess, full: EmulatorProcess) -> None:
    """/complex/* goes to the largest tier that runs; what fits no rule goes to medium."""
    small = {"/simple/*": "hw-small", "default": "hw-medium"}
    assert _routes(emulator) == {**small, "/complex/*": "hw-medium"}
    assert _routes(full) == {**small, "/complex/*": "hw-large"}
    assert len(_health(full, "hw-large")) == 36


def test_backends_are_as_documented(emulator: EmulatorProcess) -> None:
    """EXTERNAL_MANAGED, RATE on zonal NEGs, 300 s for long answers, a health check that exists."""
    services = list(make_compute("BackendServicesClient", emulator).list(project=PROJECT))
    assert [s.name for s in services] == ["hw-large", "hw-medium", "hw-small"]
    checks = {
        c.self_link for c in make_compute("HealthChecksClient", emulator).list(project=PROJECT)
    }
    groups = make_compute("NetworkEndpointGroupsClient", emulator)
    negs = {g.self_link: g for g in groups.list(project=PROJECT, zone="us-central1-c")}
    for service in services:
        assert (service.load_balancing_scheme, service.timeout_sec) == ("EXTERNAL_MANAGED", 300)
        assert set(service.health_checks) <= checks
        assert not service.port_name
        for backend in service.backends:
            assert backend.balancing_mode == "RATE"
            assert negs[backend.group].network_endpoint_type == "GCE_VM_IP_PORT"


def test_chain_from_address_to_map(emulator: EmulatorProcess) -> None:
    """Forwarding rule → HTTPS proxy → URL map and certificate; each link names what exists."""
    (rule,) = make_compute("GlobalForwardingRulesClient", emulator).list(project=PROJECT)
    (proxy,) = make_compute("TargetHttpsProxiesClient", emulator).list(project=PROJECT)
    (url_map,) = make_compute("UrlMapsClient", emulator).list(project=PROJECT)
    (certificate,) = make_compute("SslCertificatesClient", emulator).list(project=PROJECT)
    (address,) = make_compute("GlobalAddressesClient", emulator).list(project=PROJECT)
    assert rule.target == proxy.self_link
    assert proxy.url_map == url_map.self_link
    assert list(proxy.ssl_certificates) == [certificate.self_link]
    assert rule.I_p_address == address.address


@pytest.mark.parametrize("prefix", ["", "/compute"])
def test_both_endpoints_serve_the_library(emulator: EmulatorProcess, prefix: str) -> None:
    """The bare address and /compute both work as the library's endpoint."""
    found = make_compute("UrlMapsClient", emulator, prefix).list(project=PROJECT)
    assert [m.name for m in found] == ["hw-serving"]


def test_health_of_a_group_that_is_no_backend_is_refused(emulator: EmulatorProcess) -> None:
    """getHealth wants one of the service's own groups, and an existing service."""
    client = make_compute("BackendServicesClient", emulator)
    for name, group, error in (
        ("hw-small", "zones/us-central1-c/networkEndpointGroups/hw-medium-neg", "BadRequest"),
        ("hw-small", "", "BadRequest"),
        ("hw-none", "zones/us-central1-c/networkEndpointGroups/hw-medium-neg", "NotFound"),
    ):
        reference = compute_v1.ResourceGroupReference(group=group)
        with pytest.raises(getattr(exceptions, error)):
            client.get_health(
                project=PROJECT, backend_service=name, resource_group_reference_resource=reference
            )


def test_errors_are_computes(emulator: EmulatorProcess) -> None:
    """Compute's envelope has errors[] with a reason, beside code and message."""
    url = f"{emulator.rest_url}/compute/v1/projects/{PROJECT}/global/urlMaps/none"
    error = httpx.get(url).json()["error"]
    assert error["errors"][0]["reason"] == "notFound"
    assert (
        error["message"] == f"The resource 'projects/{PROJECT}/global/urlMaps/none' was not found"
    )


def test_get_health_validates(emulator: EmulatorProcess) -> None:
    """getHealth's body is what Google's discovery document allows."""
    base = f"{emulator.rest_url}/compute/v1/projects/{PROJECT}"
    group = f"{base}/zones/us-central1-c/networkEndpointGroups/hw-small-neg"
    url = f"{base}/global/backendServices/hw-small/getHealth"
    body = httpx.post(url, json={"group": group}).json()
    assert len(body["healthStatus"]) == 48
    assert problems("compute.v1", "BackendServiceGroupHealth", body) == []


def test_an_incident_takes_its_endpoint_out() -> None:
    """While a slice is hit its endpoint is unhealthy or draining, alone; afterwards healthy."""
    now = time.time()
    settings = Settings()
    cloud = Cloud(settings, SCENARIOS["normal"], Clock(started_at=now - 30 * 86400))
    world = World(cloud.scenario, cloud.log, cloud.seed, cloud.clock.started_at)
    hits = [e for e in world.incidents(now - 20 * 86400, now) if e.slices_lost]
    assert hits
    for event in hits:
        group = neg_name(event.tier)
        during = groups.health(cloud, group, (event.start + event.end) / 2)["healthStatus"]
        states = [status["healthState"] for status in during]
        assert [i for i, state in enumerate(states) if state != "HEALTHY"] == [event.target]
        others = world.incidents(event.end + 1, event.end + 2)
        if not others:
            after = groups.health(cloud, group, event.end + 1)["healthStatus"]
            assert {status["healthState"] for status in after} == {"HEALTHY"}
