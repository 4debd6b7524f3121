"""The project's one load balancer as it starts: network, address, certificate, map, backends, NEGs.

Global external Application Load Balancer (EXTERNAL_MANAGED) over zonal GCE_VM_IP_PORT NEGs.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.compute.catalogue import region_of
from emulator.scenario import TierSeed

if TYPE_CHECKING:
    from emulator.context import Cloud

NAME: Final = "hw-serving"
SERVING_PORT: Final = 8000
ADDRESS: Final = "203.0.113.25"
_DOMAIN: Final = "llm.heartwood.example"
# Google's health checkers and front ends connect from these ranges.
_PROBE_RANGES: Final = ("130.211.0.0/22", "35.191.0.0/16")
# Requests per second that one slice's endpoint is given before traffic goes elsewhere.
_RATE_PER_ENDPOINT: Final = {"small": 40.0, "medium": 25.0, "large": 30.0}

# Servers know no tiers: they are asked for /v1/…, whatever prefix led to them.
_AT_ROOT: Final = {"urlRewrite": {"pathPrefixRewrite": "/"}}

Item = tuple[str, str, dict[str, Any]]


def neg_name(tier: str) -> str:
    """The NEG of a tier in its zone."""
    return f"hw-{tier}-neg"


def served_tiers(cloud: Cloud) -> list[TierSeed]:
    """Tiers behind the load balancer."""
    return [t for t in cloud.scenario.tiers if t.behind_load_balancer]


def complex_tier(cloud: Cloud) -> str:
    """Where /complex/* goes: the largest tier that runs."""
    running = [t.name for t in served_tiers(cloud) if t.gke_slices]
    return "large" if "large" in running else "medium"


def resources(cloud: Cloud) -> Iterator[Item]:
    """(collection, scope, body) of everything; only a default network for an empty project."""
    tiers = served_tiers(cloud)
    if not tiers:
        yield "networks", "global", {"name": "default", "autoCreateSubnetworks": True}
        return
    yield from _network(cloud)
    yield from _policies(cloud)
    yield from _front(cloud)
    for tier in tiers:
        yield from _backend(cloud, tier)


def _link(cloud: Cloud, *parts: str) -> str:
    base = f"https://www.googleapis.com/compute/v1/projects/{cloud.project.id}"
    return "/".join((base, *parts))


def _network(cloud: Cloud) -> Iterator[Item]:
    region = cloud.project.region
    network = _link(cloud, "global/networks/hw-net")
    yield (
        "networks", "global",
        {"name": "hw-net", "autoCreateSubnetworks": False, "mtu": 8896,
         "routingConfig": {"routingMode": "REGIONAL"},
         "subnetworks": [_link(cloud, f"regions/{region}/subnetworks/hw-subnet")]},
    )  # fmt: skip
    yield (
        "subnetworks", f"regions/{region}",
        {"name": "hw-subnet", "network": network, "ipCidrRange": "10.0.0.0/11",
         "gatewayAddress": "10.0.0.1", "privateIpGoogleAccess": True, "purpose": "PRIVATE",
         "stackType": "IPV4_ONLY",
         "secondaryIpRanges": [{"rangeName": "hw-pods", "ipCidrRange": "10.64.0.0/10"}]},
    )  # fmt: skip
    yield (
        "firewalls", "global",
        {"name": "hw-allow-probes", "network": network, "direction": "INGRESS", "priority": 1000,
         "sourceRanges": list(_PROBE_RANGES), "disabled": False,
         "allowed": [{"IPProtocol": "tcp", "ports": [str(SERVING_PORT)]}]},
    )  # fmt: skip


def _policies(cloud: Cloud) -> Iterator[Item]:
    for tier in cloud.scenario.tiers:
        if tier.multi_host and tier.gke_slices:
            region = region_of(tier.zone)
            policy = {"type": "HIGH_THROUGHPUT", "acceleratorTopology": tier.topology}
            yield (
                "resourcePolicies", f"regions/{region}",
                {"name": f"hw-{tier.name}-{tier.topology}", "status": "READY",
                 "workloadPolicy": policy},
            )  # fmt: skip


def _front(cloud: Cloud) -> Iterator[Item]:
    medium = _service(cloud, "medium")
    rules = [
        {"paths": ["/simple/*"], "service": _service(cloud, "small"), "routeAction": _AT_ROOT},
        {
            "paths": ["/complex/*"],
            "service": _service(cloud, complex_tier(cloud)),
            "routeAction": _AT_ROOT,
        },
    ]
    matcher = {"name": "tiers", "defaultService": medium, "pathRules": rules}
    yield (
        "healthChecks", "global",
        {"name": "hw-ready", "type": "HTTP", "checkIntervalSec": 10, "timeoutSec": 5,
         "healthyThreshold": 2, "unhealthyThreshold": 3,
         "httpHealthCheck": {"port": SERVING_PORT, "requestPath": "/health",
                             "portSpecification": "USE_FIXED_PORT", "proxyHeader": "NONE"}},
    )  # fmt: skip
    yield (
        "urlMaps", "global",
        {"name": NAME, "defaultService": medium, "fingerprint": "aHctc2VydmluZw==",
         "hostRules": [{"hosts": ["*"], "pathMatcher": "tiers"}], "pathMatchers": [matcher]},
    )  # fmt: skip
    yield (
        "sslCertificates", "global",
        {"name": f"{NAME}-cert", "type": "MANAGED", "subjectAlternativeNames": [_DOMAIN],
         "managed": {"domains": [_DOMAIN], "status": "ACTIVE",
                     "domainStatus": {_DOMAIN: "ACTIVE"}}},
    )  # fmt: skip
    yield (
        "targetHttpsProxies", "global",
        {"name": NAME, "urlMap": _link(cloud, f"global/urlMaps/{NAME}"), "quicOverride": "NONE",
         "sslCertificates": [_link(cloud, f"global/sslCertificates/{NAME}-cert")]},
    )  # fmt: skip
    rule = _link(cloud, f"global/forwardingRules/{NAME}")
    yield (
        "addresses", "global",
        {"name": f"{NAME}-ip", "address": ADDRESS, "status": "IN_USE", "addressType": "EXTERNAL",
         "ipVersion": "IPV4", "networkTier": "PREMIUM", "users": [rule]},
    )  # fmt: skip
    yield (
        "forwardingRules", "global",
        {"name": NAME, "IPAddress": ADDRESS, "IPProtocol": "TCP", "portRange": "443-443",
         "loadBalancingScheme": "EXTERNAL_MANAGED", "networkTier": "PREMIUM",
         "target": _link(cloud, f"global/targetHttpsProxies/{NAME}")},
    )  # fmt: skip


def _service(cloud: Cloud, tier: str) -> str:
    return _link(cloud, f"global/backendServices/hw-{tier}")


def _fingerprint(name: str) -> str:
    return b64encode(f"hw-{name}".encode()).decode()


def _backend(cloud: Cloud, tier: TierSeed) -> Iterator[Item]:
    group = _link(cloud, f"zones/{tier.zone}/networkEndpointGroups/{neg_name(tier.name)}")
    yield (
        "networkEndpointGroups", f"zones/{tier.zone}",
        {"name": neg_name(tier.name), "networkEndpointType": "GCE_VM_IP_PORT",
         "network": _link(cloud, "global/networks/hw-net"), "defaultPort": SERVING_PORT,
         "subnetwork": _link(cloud, f"regions/{cloud.project.region}/subnetworks/hw-subnet")},
    )  # fmt: skip
    backend = {
        "group": group,
        "balancingMode": "RATE",
        "maxRatePerEndpoint": _RATE_PER_ENDPOINT[tier.name],
        "capacityScaler": 1.0,
    }
    yield (
        "backendServices", "global",
        {"name": f"hw-{tier.name}", "loadBalancingScheme": "EXTERNAL_MANAGED", "protocol": "HTTP",
         "timeoutSec": 300, "backends": [backend], "enableCDN": False,
         "healthChecks": [_link(cloud, "global/healthChecks/hw-ready")],
         "connectionDraining": {"drainingTimeoutSec": 300}, "sessionAffinity": "NONE",
         "localityLbPolicy": "ROUND_ROBIN",
         "fingerprint": _fingerprint(tier.name),
         "logConfig": {"enable": True, "sampleRate": 0.01},
         "usedBy": [{"reference": _link(cloud, f"global/urlMaps/{NAME}")}]},
    )  # fmt: skip
