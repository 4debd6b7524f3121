"""Compute's writable resources as data: fields, defaults, references, what may change, how long.

The one generic handler in writes.py reads this table; rules that no table can say stand in rules.py
and rules_balancer.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Ref:
    """A field that names other resources.

    Attributes:
        field: JSON names joined by dots; lists on the way are gone through.
        to: collections that it may name.
        required: whether the resource needs it.
    """

    field: str
    to: tuple[str, ...]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Spec:
    """One kind of resource.

    Attributes:
        service: folder of the client library, e.g. "url_maps".
        resource: request field that holds the body, e.g. "url_map_resource".
        key: request field that holds the name, e.g. "url_map".
        required: fields that an insert must have, beside name and required references.
        fixed: fields that stay as they were made.
        outputs: fields that only the service sets; ignored in requests, as by Google.
        seconds: simulated seconds that a change takes.
    """

    service: str
    collection: str
    resource: str
    key: str
    title: str
    refs: tuple[Ref, ...] = ()
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fixed: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    fingerprint: bool = False
    seconds: float = 6.0


_NETWORK: Final = Ref("network", ("networks",))
_SERVICES: Final = ("backendServices", "backendBuckets")
_WEIGHTED: Final = "weightedBackendServices.backendService"
_MAP_REFS: Final = tuple(
    Ref(path, _SERVICES)
    for path in (
        "defaultService", f"defaultRouteAction.{_WEIGHTED}", "pathMatchers.defaultService",
        f"pathMatchers.defaultRouteAction.{_WEIGHTED}", "pathMatchers.pathRules.service",
        f"pathMatchers.pathRules.routeAction.{_WEIGHTED}", "pathMatchers.routeRules.service",
        f"pathMatchers.routeRules.routeAction.{_WEIGHTED}", "tests.service",
    )
)  # fmt: skip
_CHECK_DEFAULTS: Final = {
    "checkIntervalSec": 5, "timeoutSec": 5, "healthyThreshold": 2, "unhealthyThreshold": 2,
}  # fmt: skip

ALL: Final = (
    Spec(
        "networks", "networks", "network_resource", "network", "network",
        defaults={"routingConfig": {"routingMode": "REGIONAL"}, "mtu": 1460,
                  "networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL"},
        outputs=("subnetworks", "peerings", "gatewayIPv4", "firewallPolicy"), seconds=12.0,
    ),
    Spec(
        "subnetworks", "subnetworks", "subnetwork_resource", "subnetwork", "subnetwork",
        refs=(Ref("network", ("networks",), required=True),), required=("ipCidrRange",),
        defaults={"privateIpGoogleAccess": False, "purpose": "PRIVATE", "stackType": "IPV4_ONLY"},
        fixed=("network", "ipCidrRange"), outputs=("gatewayAddress", "state"), fingerprint=True,
        seconds=15.0,
    ),
    Spec(
        "firewalls", "firewalls", "firewall_resource", "firewall", "firewall", refs=(_NETWORK,),
        defaults={"direction": "INGRESS", "priority": 1000, "disabled": False,
                  "logConfig": {"enable": False}},
        fixed=("network", "direction"),
    ),
    Spec(
        "global_addresses", "addresses", "address_resource", "address", "address",
        refs=(_NETWORK,),
        defaults={"addressType": "EXTERNAL", "ipVersion": "IPV4", "networkTier": "PREMIUM"},
        outputs=("status", "users"),
    ),
    Spec(
        "resource_policies", "resourcePolicies", "resource_policy_resource", "resource_policy",
        "resource_policy", fixed=("workloadPolicy",), outputs=("status", "resourceStatus"),
        seconds=3.0,
    ),
    Spec(
        "reservations", "reservations", "reservation_resource", "reservation", "reservation",
        defaults={"specificReservationRequired": False},
        outputs=("status", "resourceStatus", "satisfiesPzs"), seconds=10.0,
    ),
    Spec(
        "network_endpoint_groups", "networkEndpointGroups", "network_endpoint_group_resource",
        "network_endpoint_group", "network_endpoint_group",
        refs=(_NETWORK, Ref("subnetwork", ("subnetworks",))),
        defaults={"networkEndpointType": "GCE_VM_IP_PORT"}, outputs=("size",),
    ),
    Spec(
        "health_checks", "healthChecks", "health_check_resource", "health_check", "health_check",
        required=("type",), defaults=_CHECK_DEFAULTS, fixed=("type",),
    ),
    Spec(
        "backend_services", "backendServices", "backend_service_resource", "backend_service",
        "backend_service",
        refs=(Ref("healthChecks", ("healthChecks",)), Ref("securityPolicy", ("securityPolicies",)),
              Ref("edgeSecurityPolicy", ("securityPolicies",)),
              Ref("backends.group", ("networkEndpointGroups", "instanceGroups"))),
        defaults={"loadBalancingScheme": "EXTERNAL", "protocol": "HTTP", "timeoutSec": 30,
                  "enableCDN": False, "sessionAffinity": "NONE", "affinityCookieTtlSec": 0,
                  "connectionDraining": {"drainingTimeoutSec": 0}},
        fixed=("loadBalancingScheme",), outputs=("usedBy",), fingerprint=True, seconds=10.0,
    ),
    Spec(
        "url_maps", "urlMaps", "url_map_resource", "url_map", "url_map", refs=_MAP_REFS,
        fingerprint=True, seconds=8.0,
    ),
    Spec(
        "target_http_proxies", "targetHttpProxies", "target_http_proxy_resource",
        "target_http_proxy", "target_http_proxy",
        refs=(Ref("urlMap", ("urlMaps",), required=True),),
        defaults={"proxyBind": False}, fingerprint=True,
    ),
    Spec(
        "target_https_proxies", "targetHttpsProxies", "target_https_proxy_resource",
        "target_https_proxy", "target_https_proxy",
        refs=(Ref("urlMap", ("urlMaps",), required=True),
              Ref("sslCertificates", ("sslCertificates",))),
        defaults={"quicOverride": "NONE", "proxyBind": False}, fingerprint=True,
    ),
    Spec(
        "ssl_certificates", "sslCertificates", "ssl_certificate_resource", "ssl_certificate",
        "ssl_certificate", outputs=("expireTime", "subjectAlternativeNames"),
    ),
    Spec(
        "global_forwarding_rules", "forwardingRules", "forwarding_rule_resource",
        "forwarding_rule", "forwarding_rule",
        refs=(Ref("target", ("targetHttpProxies", "targetHttpsProxies"), required=True),),
        defaults={"IPProtocol": "TCP", "loadBalancingScheme": "EXTERNAL",
                  "networkTier": "PREMIUM", "ipVersion": "IPV4"},
        fixed=("IPAddress", "IPProtocol", "portRange", "loadBalancingScheme"), fingerprint=True,
        seconds=20.0,
    ),
    Spec(
        "security_policies", "securityPolicies", "security_policy_resource", "security_policy",
        "security_policy", defaults={"type": "CLOUD_ARMOR"}, fixed=("type",), fingerprint=True,
    ),
    Spec(
        "instance_groups", "instanceGroups", "instance_group_resource", "instance_group",
        "instance_group", refs=(_NETWORK, Ref("subnetwork", ("subnetworks",))),
        outputs=("size",), fingerprint=True,
    ),
)  # fmt: skip
SPECS: Final = {spec.collection: spec for spec in ALL}
