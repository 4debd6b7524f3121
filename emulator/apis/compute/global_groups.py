"""Handlers of global NEGs: servers outside the project, by name or address, as backends."""

from __future__ import annotations

from emulator.apis.compute.group_api import NetworkEndpointGroups
from emulator.apis.compute.model import Body
from emulator.apis.compute.refusals import bad_value, unset


class GlobalNetworkEndpointGroups(NetworkEndpointGroups):
    """NEGs of type INTERNET_FQDN_PORT and INTERNET_IP_PORT."""

    library_name = "global_network_endpoint_groups"

    def _endpoint(self, scope: str, body: Body, given: Body, index: int) -> Body:
        where = f"networkEndpoints[{index}]"
        if body["networkEndpointType"] != "INTERNET_FQDN_PORT":
            return super()._endpoint(scope, body, given, index)
        name = given.get("fqdn")
        if not name:
            raise unset(f"{where}.fqdn")
        if "." not in name.strip(".") or any(c.isspace() for c in name):
            raise bad_value(f"{where}.fqdn", name, "It is no fully qualified domain name.")
        given.setdefault("port", body.get("defaultPort", 443))
        if not 1 <= given["port"] <= 65535:
            raise bad_value(f"{where}.port", given["port"], "Must be between 1 and 65535.")
        return given
