"""Compute's calls that few people make: each answers in Google's shape and does what it says."""

from __future__ import annotations

from typing import Any

from tests.emulator.clients import PROJECT
from tests.emulator.lifecycle.conftest import Compute

NET = f"projects/{PROJECT}/global/networks/s-net"
REGION = "regions/us-central1"
ZONE = "zones/us-central1-c"


def change(compute: Compute, verb: str, path: str, body: Any = None, **query: Any) -> None:
    """A change, to its end."""
    compute.done(compute.call(verb, path, body, **query))


def test_networks_and_addresses(compute: Compute) -> None:
    """Routing, a wider range, private access, a firewall written anew, labels on an address."""
    compute.make("global/networks", name="s-net", autoCreateSubnetworks=False)
    change(compute, "PATCH", "global/networks/s-net", {"routingConfig": {"routingMode": "GLOBAL"}})
    assert compute.call("GET", "global/networks/s-net")["routingConfig"]["routingMode"] == "GLOBAL"
    subnet = f"{REGION}/subnetworks/s-subnet"
    compute.make(f"{REGION}/subnetworks", name="s-subnet", network=NET, ipCidrRange="10.200.0.0/24")
    wider = {"ipCidrRange": "10.200.0.0/22"}
    change(compute, "POST", f"{subnet}/expandIpCidrRange", wider)
    private = {"privateIpGoogleAccess": True}
    change(compute, "POST", f"{subnet}/setPrivateIpGoogleAccess", private)
    found = compute.call("GET", subnet)
    assert (found["ipCidrRange"], found["privateIpGoogleAccess"]) == ("10.200.0.0/22", True)
    logs = {"enableFlowLogs": True, "fingerprint": found["fingerprint"]}
    change(compute, "PATCH", subnet, logs)
    rule = {"name": "s-fw", "network": NET, "sourceRanges": ["10.0.0.0/8"],
            "allowed": [{"IPProtocol": "tcp", "ports": ["8000"]}]}  # fmt: skip
    compute.make("global/firewalls", **rule)
    change(compute, "PUT", "global/firewalls/s-fw", rule | {"sourceRanges": ["10.1.0.0/16"]})
    assert compute.call("GET", "global/firewalls/s-fw")["sourceRanges"] == ["10.1.0.0/16"]
    address = compute.make("global/addresses", name="s-ip")
    labels = {"labels": {"a": "b"}, "labelFingerprint": address["labelFingerprint"]}
    change(compute, "POST", "global/addresses/s-ip/setLabels", labels)
    assert compute.call("GET", "global/addresses/s-ip")["labels"] == {"a": "b"}


def test_an_automatic_network_turns_custom(compute: Compute) -> None:
    """Its subnetworks stay, and it makes no more."""
    compute.make("global/networks", name="s-auto", autoCreateSubnetworks=True)
    change(compute, "POST", "global/networks/s-auto/switchToCustomMode")
    assert compute.call("GET", "global/networks/s-auto")["autoCreateSubnetworks"] is False
    assert compute.call("GET", f"{REGION}/subnetworks/s-auto")["network"].endswith("/s-auto")


def test_balancers_are_rewired(compute: Compute) -> None:
    """Health check, map, proxies and forwarding rule point elsewhere afterwards."""
    check = {"name": "s-check", "type": "HTTP", "httpHealthCheck": {"port": 8000}}
    compute.make("global/healthChecks", **check)
    change(compute, "PATCH", "global/healthChecks/s-check", {"checkIntervalSec": 7})
    change(compute, "PUT", "global/healthChecks/s-check", check | {"timeoutSec": 4})
    assert compute.call("GET", "global/healthChecks/s-check")["timeoutSec"] == 4
    compute.make("global/backendServices", name="s-bs", protocol="HTTP",
                 loadBalancingScheme="EXTERNAL_MANAGED",
                 healthChecks=["global/healthChecks/s-check"])  # fmt: skip
    service = "global/backendServices/s-bs"
    for name in ("s-one", "s-two"):
        compute.make("global/urlMaps", name=name, defaultService=service)
    change(compute, "PATCH", "global/urlMaps/s-two", {"description": "second"})
    two = compute.call("GET", "global/urlMaps/s-two")
    assert two["description"] == "second"
    anew = {"name": "s-two", "defaultService": service, "fingerprint": two["fingerprint"]}
    change(compute, "PUT", "global/urlMaps/s-two", anew | {"description": "third"})
    change(compute, "POST", "global/urlMaps/s-two/invalidateCache", {"path": "/*"})
    compute.make("global/targetHttpProxies", name="s-proxy", urlMap="global/urlMaps/s-one")
    target = {"urlMap": "global/urlMaps/s-two"}
    change(compute, "POST", "targetHttpProxies/s-proxy/setUrlMap", target)
    proxy = compute.call("GET", "global/targetHttpProxies/s-proxy")
    assert proxy["urlMap"].endswith("/s-two")
    patch = {"urlMap": "global/urlMaps/s-one", "fingerprint": proxy["fingerprint"]}
    change(compute, "PATCH", "global/targetHttpProxies/s-proxy", patch)
    compute.make("global/targetHttpProxies", name="s-other", urlMap="global/urlMaps/s-one")
    compute.make("global/forwardingRules", name="s-rule", portRange="80",
                 target="global/targetHttpProxies/s-proxy",
                 loadBalancingScheme="EXTERNAL_MANAGED")  # fmt: skip
    other = {"target": "global/targetHttpProxies/s-other"}
    change(compute, "POST", "global/forwardingRules/s-rule/setTarget", other)
    rule = compute.call("GET", "global/forwardingRules/s-rule")
    assert rule["target"].endswith("/s-other")
    labels = {"labels": {"a": "b"}, "labelFingerprint": rule["labelFingerprint"]}
    change(compute, "POST", "global/forwardingRules/s-rule/setLabels", labels)
    change(compute, "PATCH", "global/forwardingRules/s-rule", {"allowGlobalAccess": True})


def test_https_proxies_are_rewired(compute: Compute) -> None:
    """Certificates, map and QUIC of an HTTPS proxy change one by one."""
    compute.make("global/healthChecks", name="t-check", type="TCP", tcpHealthCheck={"port": 80})
    compute.make("global/backendServices", name="t-bs", protocol="HTTP",
                 loadBalancingScheme="EXTERNAL_MANAGED",
                 healthChecks=["global/healthChecks/t-check"])  # fmt: skip
    for name in ("t-one", "t-two"):
        compute.make("global/urlMaps", name=name, defaultService="global/backendServices/t-bs")
        compute.make("global/sslCertificates", name=name, type="MANAGED",
                     managed={"domains": [f"{name}.heartwood.example"]})  # fmt: skip
    compute.make("global/targetHttpsProxies", name="t-proxy", urlMap="global/urlMaps/t-one",
                 sslCertificates=["global/sslCertificates/t-one"])  # fmt: skip
    certificates = {"sslCertificates": ["global/sslCertificates/t-two"]}
    change(compute, "POST", "targetHttpsProxies/t-proxy/setSslCertificates", certificates)
    change(
        compute, "POST", "targetHttpsProxies/t-proxy/setUrlMap", {"urlMap": "global/urlMaps/t-two"}
    )
    quic = {"quicOverride": "ENABLE"}
    change(compute, "POST", "global/targetHttpsProxies/t-proxy/setQuicOverride", quic)
    proxy = compute.call("GET", "global/targetHttpsProxies/t-proxy")
    assert proxy["urlMap"].endswith("/t-two")
    assert proxy["sslCertificates"][0].endswith("/t-two")
    assert proxy["quicOverride"] == "ENABLE"
    patch = {"quicOverride": "NONE", "fingerprint": proxy["fingerprint"]}
    change(compute, "PATCH", "global/targetHttpsProxies/t-proxy", patch)


def test_policies_and_groups(compute: Compute) -> None:
    """A security policy's words and labels, a policy at the edge, named ports of a group."""
    policy = compute.make("global/securityPolicies", name="s-policy", type="CLOUD_ARMOR")
    patch = {"description": "limits", "fingerprint": policy["fingerprint"]}
    change(compute, "PATCH", "global/securityPolicies/s-policy", patch)
    policy = compute.call("GET", "global/securityPolicies/s-policy")
    labels = {"labels": {"a": "b"}, "labelFingerprint": policy["labelFingerprint"]}
    change(compute, "POST", "global/securityPolicies/s-policy/setLabels", labels)
    compute.make("global/networks", name="g-net", autoCreateSubnetworks=True)
    compute.make(f"{ZONE}/instanceGroups", name="s-group", network="global/networks/g-net")
    group = f"{ZONE}/instanceGroups/s-group"
    fingerprint = compute.call("GET", group)["fingerprint"]
    ports = {"namedPorts": [{"name": "http", "port": 8000}], "fingerprint": fingerprint}
    change(compute, "POST", f"{group}/setNamedPorts", ports)
    assert compute.call("GET", group)["namedPorts"] == [{"name": "http", "port": 8000}]


def test_reservations_and_operations(compute: Compute) -> None:
    """A reservation's size, and records of operations that are read and thrown away."""
    compute.make(f"{ZONE}/reservations", name="s-held", specificReservationRequired=True,
                 specificReservation={"count": "2", "instanceProperties": {
                     "machineType": "tpu7x-standard-4t"}})  # fmt: skip
    held = f"{ZONE}/reservations/s-held"
    change(compute, "POST", f"{held}/resize", {"specificSkuCount": "3"})
    assert compute.call("GET", held)["specificReservation"]["count"] == "3"
    done = compute.done(compute.call("DELETE", held))
    path = f"{ZONE}/operations/{done['name']}"
    assert compute.call("GET", path)["status"] == "DONE"
    assert compute.client.delete(f"{compute.url}/compute/v1/projects/{PROJECT}/{path}").is_success
    compute.call("GET", path, status=404)
    compute.make("global/networks", name="r-net", autoCreateSubnetworks=False)
    made = compute.call(
        "POST",
        f"{REGION}/subnetworks",
        {"name": "r-subnet", "ipCidrRange": "10.9.0.0/24", "network": "global/networks/r-net"},
    )
    compute.done(made)
    compute.call("GET", f"{REGION}/operations/{made['name']}")


def test_what_is_only_validated_changes_nothing(compute: Compute) -> None:
    """A policy that is not to be made is not there; a rule that is not to be added neither."""
    body = {"name": "v-policy", "type": "CLOUD_ARMOR"}
    change(compute, "POST", "global/securityPolicies", body, validateOnly="true")
    compute.call("GET", "global/securityPolicies/v-policy", status=404)
    compute.make("global/securityPolicies", **body)
    before = compute.call("GET", "global/securityPolicies/v-policy")
    rule = {"action": "deny(403)", "priority": 7, "match": {
        "versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ["10.0.0.0/8"]}}}  # fmt: skip
    path = "global/securityPolicies/v-policy/addRule"
    change(compute, "POST", path, rule, validateOnly="true")
    assert compute.call("GET", "global/securityPolicies/v-policy") == before
    twice = rule | {"priority": before["rules"][0]["priority"]}
    compute.call("POST", path, twice, status=400, validateOnly="true")


def test_members_and_edges(living_compute: Compute) -> None:
    """Hosts in a group and out again, an endpoint on the internet, policies changed."""
    compute = living_compute
    compute.make(f"{ZONE}/instanceGroups", name="s-hosts", network="global/networks/hw-net")
    url = f"{compute.url}/k8s/{PROJECT}/us-central1/hw-serving/api/v1/nodes"
    pool = {"labelSelector": "cloud.google.com/gke-nodepool=hw-small-00", "limit": 1}
    (node,) = compute.client.get(url, params=pool).json()["items"]
    host = {"instances": [{"instance": f"{ZONE}/instances/{node['metadata']['name']}"}]}
    group = f"{ZONE}/instanceGroups/s-hosts"
    change(compute, "POST", f"{group}/addInstances", host)
    assert compute.call("GET", group)["size"] == 1
    change(compute, "POST", f"{group}/removeInstances", host)
    compute.make("global/networkEndpointGroups", name="s-outside", defaultPort=443,
                 networkEndpointType="INTERNET_FQDN_PORT")  # fmt: skip
    outside = {"networkEndpoints": [{"fqdn": "a.example.com", "port": 443}]}
    for verb in ("attach", "detach"):
        path = f"global/networkEndpointGroups/s-outside/{verb}NetworkEndpoints"
        change(compute, "POST", path, outside)
    compute.make("global/securityPolicies", name="s-edge", type="CLOUD_ARMOR_EDGE")
    edge = {"securityPolicy": "global/securityPolicies/s-edge"}
    path = "global/backendServices/hw-small"
    change(compute, "POST", f"{path}/setEdgeSecurityPolicy", edge)
    assert compute.call("GET", path)["edgeSecurityPolicy"].endswith("/s-edge")
    compute.make(f"{REGION}/resourcePolicies", name="s-shape", workloadPolicy={
        "type": "HIGH_THROUGHPUT", "acceleratorTopology": "2x2x2"})  # fmt: skip
    change(compute, "PATCH", f"{REGION}/resourcePolicies/s-shape", {"description": "new"})
    compute.make(f"{ZONE}/reservations", name="s-kept", specificReservation={
        "count": "2", "instanceProperties": {"machineType": "tpu7x-standard-4t"}})  # fmt: skip
    more = {"specificReservation": {"count": "3"}}
    kept = f"{ZONE}/reservations/s-kept"
    change(compute, "PATCH", kept, more, updateMask="specificReservation.count")
    assert compute.call("GET", kept)["specificReservation"]["count"] == "3"
    for scope, last in (("global", "networkEndpointGroups/s-outside"),
                        (REGION, "resourcePolicies/s-shape")):  # fmt: skip
        operation = compute.done(compute.call("DELETE", f"{scope}/{last}"))
        compute.call("DELETE", f"{scope}/operations/{operation['name']}")
