"""What compute refuses, resource by resource, and what it takes that looks alike."""

from __future__ import annotations

import string
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import tpu
from emulator.apis.compute.fields import NAME_PATTERN, check_name
from emulator.apis.compute.rules import check_topology
from emulator.apis.compute.url_paths import check_map, service_for
from emulator.wire.errors import ApiError
from tests.emulator.clients import PROJECT, make_compute
from tests.emulator.lifecycle.conftest import Compute
from tests.processes import EmulatorProcess

ZONE = "zones/us-central1-c"
REGION = "regions/us-central1"
NET = "global/networks/default"
BASE: dict[str, dict[str, Any]] = {
    "global/networks": {"name": "r-net", "autoCreateSubnetworks": False},
    f"{REGION}/subnetworks": {"name": "r-sub", "network": NET, "ipCidrRange": "10.9.0.0/24"},
    "global/firewalls": {"name": "r-fw", "allowed": [{"IPProtocol": "tcp"}]},
    "global/addresses": {"name": "r-ip"},
    f"{REGION}/resourcePolicies": {
        "name": "r-rp", "workloadPolicy": {"type": "HIGH_THROUGHPUT",
                                           "acceleratorTopology": "4x8x8"}},
    f"{ZONE}/reservations": {
        "name": "r-res", "specificReservation": {
            "count": "4", "instanceProperties": {"machineType": "tpu7x-standard-4t"}}},
    f"{ZONE}/networkEndpointGroups": {"name": "r-neg", "network": NET},
    "global/healthChecks": {"name": "r-hc", "type": "HTTP"},
    "global/backendServices": {"name": "r-bs", "loadBalancingScheme": "EXTERNAL_MANAGED"},
    "global/urlMaps": {"name": "r-map", "defaultUrlRedirect": {"httpsRedirect": True}},
    "global/targetHttpProxies": {"name": "r-http", "urlMap": "global/urlMaps/none"},
    "global/sslCertificates": {"name": "r-cert", "managed": {"domains": ["a.example"]}},
    "global/forwardingRules": {"name": "r-rule", "target": "global/targetHttpProxies/none",
                               "portRange": "80"},
    "global/securityPolicies": {"name": "r-sp"},
    f"{ZONE}/instanceGroups": {"name": "r-ig"},
}  # fmt: skip
BAD: list[tuple[str, dict[str, Any], int, str]] = [
    *[(c, {"name": "Bad_Name"}, 400, "invalid: Invalid value for field 'resource.name': 'Bad_Name'"
       f". Must be a match of regex '(?:{NAME_PATTERN})'") for c in BASE],
    *[(c, {"name": None}, 400, "required: Required field 'resource.name' not specified")
      for c in BASE],
    ("global/networks", {"autoCreateSubnetworks": None}, 400, "Legacy networks"),
    ("global/networks", {"mtu": 100}, 400, "Must be between 1300 and 8896"),
    (f"{REGION}/subnetworks", {"network": None}, 400, "Required field 'resource.network'"),
    (f"{REGION}/subnetworks", {"network": "global/networks/none"}, 400, "cannot be found"),
    (f"{REGION}/subnetworks", {"network": "my-net"}, 400, "The URL is malformed."),
    (f"{REGION}/subnetworks", {"ipCidrRange": "10.9.0.1/24"}, 400, "CIDR"),
    ("regions/nowhere/subnetworks", {}, 404, "notFound"),
    ("zones/nowhere/networkEndpointGroups", {}, 404, "notFound"),
    ("global/firewalls", {"denied": [{"IPProtocol": "tcp"}]}, 400, "Exactly one of"),
    ("global/firewalls", {"priority": 70000}, 400, "between 0 and 65535"),
    ("global/firewalls", {"direction": "SIDEWAYS"}, 400, "Must be one of"),
    ("global/firewalls", {"allowed": [{"IPProtocol": "tcp", "ports": ["9-8"]}]}, 400, "port"),
    ("global/addresses", {"purpose": "VPC_PEERING"}, 400, "addressType INTERNAL and a network"),
    ("global/addresses", {"addressType": "ODD"}, 400, "Must be one of"),
    (f"{REGION}/resourcePolicies", {"workloadPolicy": {"type": "HIGH_THROUGHPUT",
     "acceleratorTopology": "4x8x9"}}, 400, "TPU7x has no topology 4x8x9; nearest legal: 4x4x16"),
    (f"{REGION}/resourcePolicies", {"workloadPolicy": {"type": "HIGH_AVAILABILITY",
     "acceleratorTopology": "4x8x8"}}, 400, "HIGH_THROUGHPUT"),
    (f"{REGION}/resourcePolicies", {"groupPlacementPolicy": {}}, 400, "Exactly one policy type"),
    (f"{ZONE}/reservations", {"specificReservation": {"count": "1", "instanceProperties": {
        "machineType": "ct6e-standard-4t"}}}, 404, "notFound"),
    ("zones/us-central1-a/reservations", {}, 404, "notFound"),
    ("global/healthChecks", {"timeoutSec": 9}, 400, "must not exceed checkIntervalSec"),
    ("global/healthChecks", {"tcpHealthCheck": {"port": 1}}, 400, "cannot have 'tcpHealthCheck'"),
    ("global/healthChecks", {"type": None}, 400, "Required field 'resource.type'"),
    ("global/backendServices", {"healthChecks": ["global/healthChecks/x"]}, 404,
     f"notFound: The resource 'projects/{PROJECT}/global/healthChecks/x' was not found"),
    ("global/backendServices", {"failoverPolicy": {"failoverRatio": 0.5}}, 400, "Failover policy"),
    ("global/backendServices", {"loadBalancingScheme": "WRONG"}, 400, "Must be one of"),
    ("global/backendServices", {"backends": [{}]}, 400, "field 'resource.backends[0].group"),
    ("global/urlMaps", {"defaultService": "global/backendServices/no"}, 404, "notFound"),
    ("global/urlMaps", {"hostRules": [{"hosts": ["a"], "pathMatcher": "m"}]}, 400, "not defined"),
    ("global/urlMaps", {"pathMatchers": [{"name": "m", "defaultUrlRedirect": {}}]}, 400,
     "not used by any host rule"),
    ("global/targetHttpProxies", {}, 404, "global/urlMaps/none' was not found"),
    ("global/targetHttpProxies", {"urlMap": None}, 400, "Required field 'resource.urlMap'"),
    ("global/sslCertificates", {"managed": {"domains": ["*.a.example"]}}, 400, "no valid domain"),
    ("global/sslCertificates", {"managed": None, "certificate": "x"}, 400, "PEM"),
    ("global/forwardingRules", {}, 404, "targetHttpProxies/none' was not found"),
    ("global/forwardingRules", {"target": "global/healthChecks/x"}, 400, "Expected one of"),
    ("global/securityPolicies", {"rules": [{"priority": 1, "action": "shout", "match": {
        "versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ["*"]}}}]}, 400, "Must be one of"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def default_subnet_space(compute: Compute) -> None:
    """The default network is there from the start."""
    compute.call("GET", NET)


@pytest.mark.parametrize(("collection", "change", "status", "words"), BAD)
def test_refused_inserts(
    compute: Compute, collection: str, change: dict[str, Any], status: int, words: str
) -> None:
    """The wrong value alone is refused, in compute's words, and nothing is made."""
    plural = collection.rsplit("/", 1)[1]
    base = next(b for c, b in BASE.items() if c.rsplit("/", 1)[1] == plural)
    body = {k: v for k, v in {**base, **change}.items() if v is not None}
    assert words in compute.reason("POST", collection, body, status=status)
    if "nowhere" not in collection:
        compute.call("GET", f"{collection}/{base['name']}", status=404)


@pytest.mark.parametrize(
    "collection", [c for c in BASE if "Proxies" not in c and "forwarding" not in c]
)
def test_every_collection_makes_and_drops(compute: Compute, collection: str) -> None:
    """What the refusals start from is itself taken, listed, found once more to exist, dropped."""
    body = {**BASE[collection], "name": "ok" + BASE[collection]["name"][1:]}
    made = compute.make(collection, **body)
    assert made["selfLink"].endswith(f"/{collection}/{body['name']}")
    listed = compute.call("GET", collection, filter=f"name={body['name']}")
    assert [i["name"] for i in listed["items"]] == [body["name"]]
    assert "alreadyExists" in compute.reason("POST", collection, body, status=409)
    compute.drop(f"{collection}/{body['name']}")
    again = compute.make(collection, **body)
    assert again["id"] != made["id"]
    compute.drop(f"{collection}/{body['name']}")


def test_unknown_fields_are_refused(compute: Compute) -> None:
    """As Google's front end words it."""
    error = compute.call("POST", "global/addresses", {"name": "x", "colour": 1}, status=400)
    assert "colour" in error["error"]["message"]


def test_peering_ranges_do_not_overlap(compute: Compute) -> None:
    """A range for private services is found by its length, or refused where one is taken."""
    body = {"purpose": "VPC_PEERING", "addressType": "INTERNAL", "network": NET,
            "prefixLength": 16}  # fmt: skip
    first = compute.make("global/addresses", name="peer-a", **body)
    second = compute.make("global/addresses", name="peer-b", **body)
    assert first["address"] != second["address"]
    taken = {**body, "name": "peer-c", "address": first["address"]}
    assert "overlaps" in compute.reason("POST", "global/addresses", taken)
    compute.drop("global/addresses/peer-a")
    compute.drop("global/addresses/peer-b")


def test_schemes_do_not_mix_and_ports_fit(compute: Compute) -> None:
    """EXTERNAL and EXTERNAL_MANAGED stay apart in a map and against the forwarding rule."""
    for name, scheme in (("mix-old", "EXTERNAL"), ("mix-new", "EXTERNAL_MANAGED")):
        compute.make("global/backendServices", name=name, loadBalancingScheme=scheme)
    old, new = "global/backendServices/mix-old", "global/backendServices/mix-new"
    action = {"weightedBackendServices": [{"backendService": old, "weight": 1},
                                          {"backendService": new, "weight": 9}]}  # fmt: skip
    body = {"name": "mix", "defaultRouteAction": action}
    assert "one loadBalancingScheme" in compute.reason("POST", "global/urlMaps", body)
    compute.make("global/urlMaps", name="mix", defaultService=new)
    compute.make("global/targetHttpProxies", name="mix", urlMap="global/urlMaps/mix")
    rule = {"name": "mix", "target": "global/targetHttpProxies/mix", "portRange": "80",
            "loadBalancingScheme": "EXTERNAL"}  # fmt: skip
    assert "scheme of the backend services" in compute.reason(
        "POST", "global/forwardingRules", rule
    )
    rule["loadBalancingScheme"] = "EXTERNAL_MANAGED"
    assert "single port" in compute.reason("POST", "global/forwardingRules",
                                           {**rule, "portRange": "80-90"})  # fmt: skip
    compute.make("global/forwardingRules", **rule)
    change = {"defaultService": old}
    assert "scheme" in compute.reason("PATCH", "global/urlMaps/mix", change)
    for path in ("forwardingRules/mix", "targetHttpProxies/mix", "urlMaps/mix",
                 "backendServices/mix-old", "backendServices/mix-new"):  # fmt: skip
        compute.drop(f"global/{path}")


def test_validate_runs_the_tests_and_changes_nothing(compute: Compute) -> None:
    """Load errors, failing tests and success each show as the real method says them."""
    compute.make("global/backendServices", name="val-a", loadBalancingScheme="EXTERNAL_MANAGED")
    link = "global/backendServices/val-a"
    before = compute.make("global/urlMaps", name="val", defaultService=link)

    def ask(**resource: Any) -> Any:
        body = {"resource": {"name": "val", "defaultService": link, **resource}}
        return compute.call("POST", "global/urlMaps/val/validate", body)["result"]

    tests = [{"host": "h", "path": "/a", "service": link}]
    assert ask(tests=tests) == {"loadSucceeded": True, "testPassed": True}
    assert not ask(hostRules=[{"hosts": ["a"], "pathMatcher": "m"}]).get("loadSucceeded")
    matcher = {"name": "m", "defaultUrlRedirect": {"httpsRedirect": True}}
    failed = ask(tests=tests, hostRules=[{"hosts": ["*"], "pathMatcher": "m"}],
                 pathMatchers=[matcher])  # fmt: skip
    assert failed["loadSucceeded"]
    assert [f["path"] for f in failed["testFailures"]] == ["/a"]
    assert compute.call("GET", "global/urlMaps/val") == before
    compute.drop("global/urlMaps/val")
    compute.drop(link)


def test_security_policy_rules(compute: Compute) -> None:
    """Rules come, change and go by priority; a policy in use stays; the default rule too."""
    made = compute.make("global/securityPolicies", name="armor")
    assert [r["priority"] for r in made["rules"]] == [2147483647]
    match = {"versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ["192.0.2.0/24"]}}
    path = "global/securityPolicies/armor"
    rule = {"priority": 10, "action": "deny(403)", "match": match}
    compute.done(compute.call("POST", f"{path}/addRule", rule))
    assert "same priorities" in compute.reason("POST", f"{path}/addRule", rule)
    compute.done(compute.call("POST", f"{path}/patchRule", {"action": "allow"}, priority=10))
    assert compute.call("GET", f"{path}/getRule", priority=10)["action"] == "allow"
    compute.make("global/backendServices", name="armored", loadBalancingScheme="EXTERNAL_MANAGED")
    body = {"securityPolicy": path}
    compute.done(compute.call("POST", "global/backendServices/armored/setSecurityPolicy", body))
    assert "resourceInUse" in compute.reason("DELETE", path)
    compute.done(compute.call("POST", f"{path}/removeRule", priority=10))
    compute.call("GET", f"{path}/getRule", priority=10, status=400)
    compute.drop("global/backendServices/armored")
    compute.drop(path)


def test_auto_networks_bring_their_subnetworks(compute: Compute) -> None:
    """One per region, which come and go with the network."""
    network = compute.make("global/networks", name="auto", autoCreateSubnetworks=True)
    assert len(network["subnetworks"]) == len(compute.call("GET", "regions")["items"])
    assert "auto subnet" in compute.reason("DELETE", f"{REGION}/subnetworks/auto")
    compute.drop("global/networks/auto")
    compute.call("GET", f"{REGION}/subnetworks/auto", status=404)


def test_googles_client_writes(empty: EmulatorProcess) -> None:
    """The library's own insert_unary, wait and delete_unary, and its exceptions."""
    client = make_compute("ResourcePoliciesClient", empty)
    operations = make_compute("RegionOperationsClient", empty)
    where = {"project": PROJECT, "region": "us-central1"}
    policy = compute_v1.ResourcePolicy(
        name="lib-policy",
        workload_policy=compute_v1.ResourcePolicyWorkloadPolicy(
            type_="HIGH_THROUGHPUT", accelerator_topology="2x2x4"
        ),
    )
    begun = client.insert_unary(**where, resource_policy_resource=policy)
    operations.wait(**where, operation=begun.name)
    found = client.get(**where, resource_policy="lib-policy")
    assert found.workload_policy.accelerator_topology == "2x2x4"
    with pytest.raises(exceptions.Conflict):
        client.insert_unary(**where, resource_policy_resource=policy)
    policy.workload_policy.accelerator_topology = "3x3x3"
    policy.name = "other"
    with pytest.raises(exceptions.BadRequest, match="nearest legal"):
        client.insert_unary(**where, resource_policy_resource=policy)
    operations.wait(**where, operation=client.delete_unary(
        **where, resource_policy="lib-policy").name)  # fmt: skip
    with pytest.raises(exceptions.NotFound):
        client.get(**where, resource_policy="lib-policy")


def test_endpoints_follow_the_nodes(living_compute: Compute) -> None:
    """Attached VMs are healthy as their slices are; only VMs of the zone can be attached."""
    compute = living_compute
    group = compute.make(f"{ZONE}/networkEndpointGroups", name="own-neg", defaultPort=8000,
                         network="global/networks/hw-net")  # fmt: skip
    path = f"{ZONE}/networkEndpointGroups"
    listed = compute.call("POST", f"{path}/hw-small-neg/listNetworkEndpoints", {}, maxResults=3)
    given = [{"instance": i["networkEndpoint"]["instance"]} for i in listed["items"]]
    body = {"networkEndpoints": given}
    compute.done(compute.call("POST", f"{path}/own-neg/attachNetworkEndpoints", body))
    assert compute.call("GET", f"{path}/own-neg")["size"] == 3
    stranger = {"networkEndpoints": [{"instance": "stranger"}]}
    assert "instances/stranger' was not found" in compute.reason(
        "POST", f"{path}/own-neg/attachNetworkEndpoints", stranger, status=404
    )
    backend = {"group": group["selfLink"], "balancingMode": "RATE", "maxRatePerEndpoint": 1}
    compute.make("global/backendServices", name="own", loadBalancingScheme="EXTERNAL_MANAGED",
                 healthChecks=["global/healthChecks/hw-ready"], backends=[backend])  # fmt: skip
    health = compute.call("POST", "global/backendServices/own/getHealth",
                          {"group": group["selfLink"]})  # fmt: skip
    assert [h["healthState"] for h in health["healthStatus"]] == ["HEALTHY"] * 3
    one = {"networkEndpoints": given[:1]}
    compute.done(compute.call("POST", f"{path}/own-neg/detachNetworkEndpoints", one))
    assert compute.call("GET", f"{path}/own-neg")["size"] == 2
    compute.drop("global/backendServices/own")
    compute.drop(f"{path}/own-neg")
    for path in ("global/healthChecks/hw-ready", "global/networks/hw-net",
                 f"{REGION}/resourcePolicies/hw-medium-2x2x4"):  # fmt: skip
        assert "resourceInUseByAnotherResource" in compute.reason("DELETE", path)


@given(st.text(string.ascii_lowercase + string.digits + "-_A.", max_size=70))
def test_names(name: str) -> None:
    """A name is taken exactly when it is a label of RFC 1035 with at most 63 characters."""
    good = (
        1 <= len(name) <= 63 and name[0] in string.ascii_lowercase and name[-1] != "-"
        and all(c in string.ascii_lowercase + string.digits + "-" for c in name)
    )  # fmt: skip
    try:
        check_name(name)
    except ApiError:
        assert not good
    else:
        assert good


@given(st.lists(st.integers(1, 20), min_size=2, max_size=3))
def test_policy_topologies(dims: list[int]) -> None:
    """A workload policy's topology is taken exactly when some generation has it."""
    text = tpu.format_topology(tuple(dims))
    legal = any(text in tpu.legal_topologies(g) for g in tpu.GENERATIONS.values())
    if legal:
        check_topology(text, "t")
    else:
        with pytest.raises(ApiError, match="nearest legal"):
            check_topology(text, "t")


_SEGMENT = st.text(string.ascii_lowercase, min_size=1, max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_SEGMENT, min_size=1, max_size=4, unique=True), _SEGMENT)
def test_routing_takes_the_longest_path(names: list[str], tail: str) -> None:
    """A path goes to the rule with the longest fitting pattern, else to the default."""
    body = {
        "defaultService": "d", "hostRules": [{"hosts": ["*"], "pathMatcher": "m"}],
        "pathMatchers": [{"name": "m", "defaultService": "d", "pathRules": [
            {"paths": ["/" + "/".join(names[: i + 1]) + "/*"], "service": str(i)}
            for i in range(len(names))]}],
    }  # fmt: skip
    assert check_map(body) == ([], [])
    for depth in range(len(names)):
        path = "/" + "/".join([*names[: depth + 1], "0" + tail])
        assert service_for(body, "h", path) == str(depth)
    assert service_for(body, "h", "/0") == "d"
