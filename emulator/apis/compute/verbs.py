"""Methods that single collections have beside insert, patch, update and delete."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from emulator.apis.compute import groups
from emulator.apis.compute.api import reply
from emulator.apis.compute.fields import as_body, path_of
from emulator.apis.compute.model import HOST, Body, label_fingerprint
from emulator.apis.compute.refusals import bad_value, missing, refused, stale, unset
from emulator.apis.compute.rules import network_of
from emulator.apis.compute.rules_balancer import check_rule
from emulator.apis.compute.specs import SPECS
from emulator.apis.compute.url_paths import check_map
from emulator.apis.compute.writes import Writable, resolve
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid


class Labelled(Writable):
    """A collection whose labels are set by a method of their own."""

    def set_labels(self, request: Any, call: Call) -> Any:
        """Replace all labels; the labels' own fingerprint must be the current one."""
        asked = request.global_set_labels_request_resource

        def change(body: Body) -> None:
            if asked.label_fingerprint not in ("", label_fingerprint(body)):
                raise stale("Labels fingerprint either invalid or resource labels have changed")
            body["labels"] = dict(asked.labels)

        return self.amend(request, call, "setLabels", change)


class Networks(Writable):
    """VPC networks."""

    def switch_to_custom_mode(self, request: Any, call: Call) -> Any:
        """From auto to custom subnet mode."""

        def change(body: Body) -> None:
            if not body.get("autoCreateSubnetworks"):
                raise refused("The network is not in auto subnet mode.")
            body["autoCreateSubnetworks"] = False

        scope = self.scope(request)
        with self._cloud.lock:
            path, before = self.idle(request, call, scope)
            change(before)
            return reply(call, self.write("switchToCustomMode", path, before, request))


class Subnetworks(Writable):
    """Subnetworks of a region."""

    def expand_ip_cidr_range(self, request: Any, call: Call) -> Any:
        """To a range that contains the present one."""
        given = request.subnetworks_expand_ip_cidr_range_request_resource.ip_cidr_range

        def change(body: Body) -> None:
            own, wider = network_of(body["ipCidrRange"], ""), network_of(given, "ipCidrRange")
            if not own.subnet_of(wider) or own == wider:
                raise bad_value("ipCidrRange", given, f"It must be a wider range than {own}.")
            body["ipCidrRange"] = str(wider)

        return self.amend(request, call, "expandIpCidrRange", change)

    def set_private_ip_google_access(self, request: Any, call: Call) -> Any:
        asked = request.subnetworks_set_private_ip_google_access_request_resource

        def change(body: Body) -> None:
            body["privateIpGoogleAccess"] = bool(asked.private_ip_google_access)

        return self.amend(request, call, "setPrivateIpGoogleAccess", change)


class BackendServices(Writable):
    """Backend services, the health of their groups, their security policies."""

    def get_health(self, request: Any, call: Call) -> Any:
        """Health of each endpoint of one group; empty for a group without endpoints."""
        self.check(request)
        service = self.bodies("global").get(request.backend_service)
        if service is None:
            raise missing(f"{self._path('global')}/{request.backend_service}")
        group = request.resource_group_reference_resource.group
        asked = path_of(self._cloud.project, group)
        names = [b["group"] for b in service.get("backends", [])]
        found = next((n for n in names if asked and n.endswith(f"/{asked}")), None)
        if found is None:
            raise invalid(
                f"Invalid value for field 'resource.group': '{group}'. The group is not a backend "
                f"of the backend service '{request.backend_service}'.",
                field="resource.group",
            )
        return reply(call, groups.health(self._cloud, found))

    def set_security_policy(self, request: Any, call: Call) -> Any:
        return self._policy(request, call, "setSecurityPolicy", "securityPolicy")

    def set_edge_security_policy(self, request: Any, call: Call) -> Any:
        return self._policy(request, call, "setEdgeSecurityPolicy", "edgeSecurityPolicy")

    def _policy(self, request: Any, call: Call, verb: str, field: str) -> Any:
        given = request.security_policy_reference_resource.security_policy

        def change(body: Body) -> None:
            body.pop(field, None)
            if given:
                body[field] = given

        return self.amend(request, call, verb, change)


class UrlMaps(Writable):
    """URL maps."""

    def validate(self, request: Any, call: Call) -> Any:
        """What the given map would say under that name, with its tests run; nothing changes.

        There need not be such a map yet.
        """
        scope = self.scope(request)
        given = as_body(request.url_maps_validate_request_resource.resource)
        path = f"{self._path(scope)}/{request.url_map}"
        body = {**given, "name": request.url_map, "selfLink": f"{HOST}/{path}"}
        result: Body = {"loadSucceeded": True}
        try:
            resolve(self._cloud, SPECS["urlMaps"], body)
            tests = body.pop("tests", [])
            self._checked(body, None, scope)
            body["tests"] = tests
        except ApiError as error:
            return reply(call, {"result": {"loadSucceeded": False, "loadErrors": [error.message]}})
        failures = check_map(body)[1]
        result["testPassed"] = not failures
        if failures:
            result["testFailures"] = failures
        return reply(call, {"result": result})

    def invalidate_cache(self, request: Any, call: Call) -> Any:
        """Nothing is cached in front of an inference service; the operation just ends."""
        return self.amend(request, call, "invalidateCache", lambda _body: None)


class TargetProxies(Writable):
    """Target HTTP and HTTPS proxies."""

    def set_url_map(self, request: Any, call: Call) -> Any:
        given = request.url_map_reference_resource.url_map
        if not given:
            raise unset("urlMap")
        return self.amend(request, call, "setUrlMap", lambda body: body.update(urlMap=given))

    def set_ssl_certificates(self, request: Any, call: Call) -> Any:
        asked = request.target_https_proxies_set_ssl_certificates_request_resource
        links = list(asked.ssl_certificates)
        return self.amend(
            request, call, "setSslCertificates", lambda body: body.update(sslCertificates=links)
        )

    def set_quic_override(self, request: Any, call: Call) -> Any:
        given = request.target_https_proxies_set_quic_override_request_resource.quic_override
        if given not in ("NONE", "ENABLE", "DISABLE"):
            raise bad_value("quicOverride", given, "Must be NONE, ENABLE or DISABLE.")
        return self.amend(
            request, call, "setQuicOverride", lambda body: body.update(quicOverride=given)
        )


class ForwardingRules(Labelled):
    """Global forwarding rules."""

    def set_target(self, request: Any, call: Call) -> Any:
        given = request.target_reference_resource.target
        if not given:
            raise unset("target")
        return self.amend(request, call, "setTarget", lambda body: body.update(target=given))


class Reservations(Writable):
    """Reservations of a zone."""

    def resize(self, request: Any, call: Call) -> Any:
        """To another number of VMs."""
        count = request.reservations_resize_request_resource.specific_sku_count

        def change(body: Body) -> None:
            body["specificReservation"]["count"] = count

        return self.amend(request, call, "resize", change)


class SecurityPolicies(Labelled):
    """Security policies with their rules."""

    def add_rule(self, request: Any, call: Call) -> Any:
        given = as_body(request.security_policy_rule_resource)

        def change(body: Body) -> None:
            check_rule(given, "rule")
            if any(r["priority"] == given["priority"] for r in body["rules"]):
                raise refused("Cannot have rules with the same priorities.")
            body["rules"].append(given)

        return self.amend(request, call, "addRule", change)

    def patch_rule(self, request: Any, call: Call) -> Any:
        given = as_body(request.security_policy_rule_resource)
        priority = self._priority(request, given.get("priority"))

        def change(body: Body) -> None:
            rule = _rule(body, priority)
            match = given.get("match")
            if match:
                rule.pop("match")
            rule.update(given)

        return self.amend(request, call, "patchRule", change)

    def remove_rule(self, request: Any, call: Call) -> Any:
        priority = self._priority(request)

        def change(body: Body) -> None:
            if priority == 2_147_483_647:
                raise refused("The default rule cannot be removed.")
            body["rules"].remove(_rule(body, priority))

        return self.amend(request, call, "removeRule", change)

    def get_rule(self, request: Any, call: Call) -> Any:
        found = _rule(self.find(request, call), self._priority(request))
        instance = call.method.response()
        json_format.ParseDict(found, plain(instance))
        return instance

    def _priority(self, request: Any, other: int | None = None) -> int:
        if "priority" in request:
            return int(request.priority)
        if other is None:
            raise unset("priority")
        return other


def _rule(body: Body, priority: int) -> Body:
    found = next((r for r in body["rules"] if r["priority"] == priority), None)
    if found is None:
        raise bad_value("priority", priority, "The security policy has no rule of this priority.")
    return found
