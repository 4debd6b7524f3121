"""A load balancer made and taken down piece by piece, and what each piece refuses on the way."""

from __future__ import annotations

import time
import uuid
from typing import Any

from tests.emulator.clients import PROJECT
from tests.emulator.lifecycle.conftest import Compute

ZONE = "zones/us-central1-c"
REGION = "regions/us-central1"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
CHECK: dict[str, Any] = {"type": "HTTP", "httpHealthCheck": {"port": 8000}}


def _service(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "loadBalancingScheme": "EXTERNAL_MANAGED", "protocol": "HTTP",
        "timeoutSec": 300, "healthChecks": ["global/healthChecks/chain-check"], **more,
    }  # fmt: skip


def test_chain_up_and_down(compute: Compute) -> None:
    """Each resource needs those below it, and cannot go while one above it uses it."""
    network = compute.make("global/networks", name="chain-net", autoCreateSubnetworks=False)
    subnet = compute.make(
        f"{REGION}/subnetworks", name="chain-subnet", network=network["selfLink"],
        ipCidrRange="10.2.0.0/16", privateIpGoogleAccess=True,
    )  # fmt: skip
    assert subnet["gatewayAddress"] == "10.2.0.1"
    assert compute.call("GET", "global/networks/chain-net")["subnetworks"] == [subnet["selfLink"]]
    compute.make(
        "global/firewalls", name="chain-probes", network=network["selfLink"],
        sourceRanges=["130.211.0.0/22", "35.191.0.0/16"],
        allowed=[{"IPProtocol": "tcp", "ports": ["8000"]}],
    )  # fmt: skip
    compute.make("global/healthChecks", name="chain-check", **CHECK)
    group = compute.make(
        f"{ZONE}/networkEndpointGroups", name="chain-neg", network=network["selfLink"],
        subnetwork=subnet["selfLink"], networkEndpointType="GCE_VM_IP_PORT", defaultPort=8000,
    )  # fmt: skip
    assert group.get("size", 0) == 0
    backend = {"group": group["selfLink"], "balancingMode": "RATE", "maxRatePerEndpoint": 40}
    service = compute.make("global/backendServices", **_service("chain-bs", backends=[backend]))
    compute.make("global/backendServices", **_service("chain-other"))
    rules = [{"paths": ["/simple/*"], "service": "global/backendServices/chain-other"}]
    compute.make(
        "global/urlMaps", name="chain-map", defaultService=service["selfLink"],
        hostRules=[{"hosts": ["*"], "pathMatcher": "m"}],
        pathMatchers=[{"name": "m", "defaultService": service["selfLink"], "pathRules": rules}],
        tests=[{"host": "x", "path": "/simple/a",
                "service": "global/backendServices/chain-other"}],
    )  # fmt: skip
    compute.make("global/sslCertificates", name="chain-own", certificate=CERTIFICATE,
                 privateKey=KEY)  # fmt: skip
    proxy = compute.make(
        "global/targetHttpsProxies", name="chain-proxy", urlMap="global/urlMaps/chain-map",
        sslCertificates=["global/sslCertificates/chain-own"],
    )  # fmt: skip
    address = compute.make("global/addresses", name="chain-ip")
    assert address["status"] == "RESERVED"
    rule = compute.make(
        "global/forwardingRules", name="chain-rule", target=proxy["selfLink"],
        IPAddress=address["selfLink"], portRange="443", loadBalancingScheme="EXTERNAL_MANAGED",
    )  # fmt: skip
    assert (rule["IPAddress"], rule["portRange"]) == (address["address"], "443-443")
    assert compute.call("GET", "global/addresses/chain-ip")["status"] == "IN_USE"
    order = (
        "global/forwardingRules/chain-rule", "global/addresses/chain-ip",
        "global/targetHttpsProxies/chain-proxy", "global/sslCertificates/chain-own",
        "global/urlMaps/chain-map", "global/backendServices/chain-bs",
        "global/backendServices/chain-other", "global/healthChecks/chain-check",
        f"{ZONE}/networkEndpointGroups/chain-neg", "global/firewalls/chain-probes",
        f"{REGION}/subnetworks/chain-subnet", "global/networks/chain-net",
    )  # fmt: skip
    used = set(order) - {order[0], "global/firewalls/chain-probes"}
    for path in used:
        told = compute.reason("DELETE", path)
        assert told.startswith("resourceInUseByAnotherResource: The "), told
        assert f"'projects/{PROJECT}/{path}' is already being used by 'projects/" in told
    for path in order:
        compute.drop(path)


def test_an_operation_runs_and_a_resource_is_busy_meanwhile(compute: Compute) -> None:
    """PENDING or RUNNING → DONE; the name is taken at once, the resource ready only at the end."""
    body = {"name": "busy-net", "autoCreateSubnetworks": False}
    with compute.held("networks.*"):
        operation = compute.call("POST", "global/networks", body)
        assert operation["targetLink"].endswith("/global/networks/busy-net")
        assert "alreadyExists" in compute.reason("POST", "global/networks", body, status=409)
        subnet = {"name": "busy-subnet", "network": "global/networks/busy-net",
                  "ipCidrRange": "10.0.0.0/24"}  # fmt: skip
        told = compute.reason("POST", f"{REGION}/subnetworks", subnet)
        assert told.startswith("resourceNotReady")
        compute.call("GET", "global/networks/busy-net", status=404)
    done = compute.done(operation)
    assert done["endTime"] >= done["startTime"] >= done["insertTime"]
    assert done["progress"] == 100
    listed = compute.call("GET", "global/operations", filter=f"name={done['name']}")
    assert [o["name"] for o in listed["items"]] == [done["name"]]
    assert compute.call("GET", f"global/operations/{done['name']}")["status"] == "DONE"
    with compute.held("networks.*"):
        delete = compute.call("DELETE", "global/networks/busy-net")
        assert "resourceNotReady" in compute.reason("DELETE", "global/networks/busy-net")
    compute.done(delete)


def test_request_ids_make_a_call_idempotent(compute: Compute) -> None:
    """The same requestId gives the same operation, also when it is done; it must be a UUID."""
    key = str(uuid.UUID(int=77))
    body = {"name": "once", "addressType": "EXTERNAL"}
    first = compute.call("POST", "global/addresses", body, requestId=key)
    again = compute.call("POST", "global/addresses", body, requestId=key)
    assert first["name"] == again["name"]
    compute.done(first)
    late = compute.call("POST", "global/addresses", body, requestId=key)
    assert (late["name"], late["status"]) == (first["name"], "DONE")
    for bad in ("x", str(uuid.UUID(int=0))):
        error = compute.call("POST", "global/addresses", body, requestId=bad, status=400)
        assert "requestId" in error["error"]["message"]
    compute.drop("global/addresses/once")


def test_fingerprints_guard_changes(compute: Compute) -> None:
    """A stale fingerprint is 412 conditionNotMet; PUT needs one; each change gives another."""
    compute.make("global/healthChecks", name="chain-check", **CHECK)
    made = compute.make("global/backendServices", **_service("printed"))
    path = "global/backendServices/printed"
    change = {"timeoutSec": 600, "fingerprint": made["fingerprint"]}
    compute.done(compute.call("PATCH", path, change))
    after = compute.call("GET", path)
    assert (after["timeoutSec"], after["protocol"]) == (600, "HTTP")
    assert after["fingerprint"] != made["fingerprint"]
    told = compute.reason("PATCH", path, change, status=412)
    assert told == "conditionNotMet: Invalid fingerprint."
    assert "conditionNotMet" in compute.reason("PUT", path, _service("printed"), status=412)
    whole = {**_service("printed"), "fingerprint": after["fingerprint"], "description": "new"}
    compute.done(compute.call("PUT", path, whole))
    now = compute.call("GET", path)
    assert (now["description"], now["timeoutSec"], now["id"]) == ("new", 300, made["id"])
    compute.drop(path)
    compute.drop("global/healthChecks/chain-check")


def test_patch_with_an_empty_list_clears_it(compute: Compute) -> None:
    """As gcloud does for the last backend."""
    compute.make("global/networks", name="clear-net", autoCreateSubnetworks=False)
    compute.make("global/healthChecks", name="clear-check", **CHECK)
    compute.make(f"{ZONE}/networkEndpointGroups", name="clear-neg",
                 network="global/networks/clear-net")  # fmt: skip
    backend = {"group": f"{ZONE}/networkEndpointGroups/clear-neg", "balancingMode": "RATE",
               "maxRatePerEndpoint": 5}  # fmt: skip
    body = _service("clear", backends=[backend])
    body["healthChecks"] = ["global/healthChecks/clear-check"]
    assert compute.make("global/backendServices", **body)["backends"]
    compute.done(compute.call("PATCH", "global/backendServices/clear", {"backends": []}))
    assert "backends" not in compute.call("GET", "global/backendServices/clear")
    for path in ("global/backendServices/clear", f"{ZONE}/networkEndpointGroups/clear-neg",
                 "global/healthChecks/clear-check", "global/networks/clear-net"):  # fmt: skip
        compute.drop(path)


def test_managed_certificate_turns_active_behind_a_rule(compute: Compute) -> None:
    """PROVISIONING until a forwarding rule has served it for a while, then ACTIVE."""
    compute.make("global/backendServices", name="cert-bs", loadBalancingScheme="EXTERNAL_MANAGED")
    compute.make("global/urlMaps", name="cert-map",
                 defaultService="global/backendServices/cert-bs")  # fmt: skip
    made = compute.make("global/sslCertificates", name="cert",
                        managed={"domains": ["llm.example.com"]})  # fmt: skip
    assert made["managed"]["status"] == "PROVISIONING"
    compute.make("global/targetHttpsProxies", name="cert-proxy", urlMap="global/urlMaps/cert-map",
                 sslCertificates=["global/sslCertificates/cert"])  # fmt: skip
    rule = compute.make(
        "global/forwardingRules", name="cert-rule", portRange="443",
        target="global/targetHttpsProxies/cert-proxy", loadBalancingScheme="EXTERNAL_MANAGED",
    )  # fmt: skip
    assert rule["IPAddress"].startswith("203.0.113.")
    until = time.monotonic() + 120
    while compute.call("GET", "global/sslCertificates/cert")["managed"]["status"] != "ACTIVE":
        assert time.monotonic() < until
        time.sleep(0.2)
    for path in (
        "forwardingRules/cert-rule", "targetHttpsProxies/cert-proxy", "sslCertificates/cert",
        "urlMaps/cert-map", "backendServices/cert-bs",
    ):  # fmt: skip
        compute.drop(f"global/{path}")
