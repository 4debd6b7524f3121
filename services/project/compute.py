"""Compute's networks, load balancer and policies, all by one table of its clients."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any, Final, cast

from core.cloud_resources import COMPUTE, CloudResource, owner_of, path_of
from core.errors import Invalid, NotFound
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.product import Found, Json

_TIMEOUT_S: Final = 30.0
_CAMEL: Final = re.compile(r"(?<=[a-z])([A-Z])")
_PACKAGE: Final = "google.cloud.compute_v1"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A collection: its client's module and class, and what one of it is called in requests."""

    module: str
    client: str
    noun: str


_GLOBAL: Final = {"addresses": "global_addresses", "forwardingRules": "global_forwarding_rules"}
_COLLECTIONS: Final = (
    "networks", "subnetworks", "firewalls", "resourcePolicies", "networkEndpointGroups",
    "healthChecks", "backendServices", "urlMaps", "sslCertificates", "targetHttpsProxies",
    "addresses", "forwardingRules",
)  # fmt: skip


def _kind(collection: str) -> _Kind:
    if collection not in _COLLECTIONS:
        raise Invalid(f"Compute's {collection} are not made from here", resource=collection)
    module = _GLOBAL.get(collection) or _CAMEL.sub(r"_\1", collection).lower()
    noun = _CAMEL.sub(r"_\1", collection).lower()
    if noun.endswith("ies"):
        noun = noun[:-3] + "y"
    else:
        noun = noun[:-2] if noun.endswith("sses") else noun[:-1]
    return _Kind(module, "".join(w.capitalize() for w in module.split("_")) + "Client", noun)


COMPUTE_SDKS: Final = (  # what is imported for all of it
    f"{_PACKAGE}.types.compute",
    *(f"{_PACKAGE}.services.{_kind(collection).module}" for collection in _COLLECTIONS),
    *(f"{_PACKAGE}.services.{scope}_operations" for scope in ("global", "region", "zone")),
)


@dataclass(frozen=True, slots=True)
class _Place:
    """A parsed name: projects/P/(global|regions/R|zones/Z)/COLLECTION/NAME."""

    scope: str
    where: str
    collection: str
    name: str

    @property
    def location(self) -> dict[str, str]:
        """The request's field that says where; none for what is global."""
        return {} if self.scope == "global" else {self.scope.removesuffix("s"): self.where}


def _place(name: str) -> _Place:
    parts = path_of(name).split("/")
    if parts[2] == "global":
        return _Place("global", "", parts[3], parts[4])
    return _Place(parts[2], parts[3], parts[4], parts[5])


class ComputeResources:
    """Through the REST clients of compute_v1; their own waiting is not used (it asks Google)."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get(self, name: str) -> Found | None:
        """The resource as it is."""
        place = _place(name)
        kind = _kind(place.collection)
        request = {"project": self._clients.project, kind.noun: place.name, **place.location}
        try:
            found: Any = self._call(kind, "get", request, name)
        except NotFound:
            return None
        with calls.converting(name):
            return _found(_json(found))

    def create(self, name: str, body: Json) -> str:
        """Begin to insert it."""
        place = _place(name)
        kind = _kind(place.collection)
        from google.protobuf.json_format import ParseDict

        types = importlib.import_module(f"{_PACKAGE}.types.compute")
        singular = "".join(w.capitalize() for w in kind.noun.split("_"))
        made = getattr(types, singular)()
        ParseDict({**body, "name": place.name}, type(made).pb(made))
        request = {
            "project": self._clients.project,
            f"{kind.noun}_resource": made,
            **place.location,
        }
        return self._begin(kind, "insert_unary", request, name)

    def delete(self, name: str) -> str:
        """Begin to delete it; "" when it is gone."""
        place = _place(name)
        kind = _kind(place.collection)
        request = {"project": self._clients.project, kind.noun: place.name, **place.location}
        try:
            return self._begin(kind, "delete_unary", request, name)
        except NotFound:
            return ""

    def _begin(self, kind: _Kind, method: str, request: dict[str, Any], name: str) -> str:
        started = self._call(kind, method, request, name, calls.ONCE)
        place = _place(name)
        where = "global" if place.scope == "global" else f"{place.scope}/{place.where}"
        return f"//{COMPUTE}/projects/{self._clients.project}/{where}/operations/{started.name}"

    def get_operation(self, name: str) -> OperationState:
        """An operation by its full name."""
        place = _place(name)
        scope = {"global": "global", "regions": "region", "zones": "zone"}[place.scope]
        kind = _Kind(f"{scope}_operations", f"{scope.capitalize()}OperationsClient", "operation")
        request = {"project": self._clients.project, "operation": place.name, **place.location}
        found = self._call(kind, "get", request, name)
        with calls.converting(name):
            status = str(found.status.name if hasattr(found.status, "name") else found.status)
            errors = [str(e.message or e.code) for e in found.error.errors]
            failed = "; ".join(errors) or str(found.http_error_message)
            over = status == "DONE"
            ratio = float(found.progress) / 100.0
            return OperationState(name, over, status, "", failed or None, ratio)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Of all collections, in the project's region and its zones."""
        found = calls.in_parallel(self._list, _COLLECTIONS)
        return tuple(resource for each in found for resource in each)

    def _list(self, collection: str) -> list[CloudResource]:
        kind = _kind(collection)
        project = self._clients.project
        region = self._clients.target.region
        resource = f"projects/{project}/{collection}"
        bodies: list[Json] = []
        if collection == "networkEndpointGroups":
            pager = self._call(kind, "aggregated_list", {"project": project}, resource)
            bodies = [_json(g) for _, in_zone in pager for g in in_zone.network_endpoint_groups]
        else:
            regional = collection in ("subnetworks", "resourcePolicies")
            request = {"project": project, **({"region": region} if regional else {})}
            bodies = [_json(i) for i in self._call(kind, "list", request, resource)]
        with calls.converting(resource):
            return [
                CloudResource(_full_name(str(body["selfLink"])), found.owner, found.status)
                for body in bodies
                if (found := _found(body)).owner is not None
            ]

    def _call(
        self,
        kind: _Kind,
        method: str,
        request: dict[str, Any],
        resource: str,
        policy: calls.RetryPolicy = calls.READ,
    ) -> Any:
        def run(timeout_s: float) -> Any:
            module = importlib.import_module(f"{_PACKAGE}.services.{kind.module}")
            client = self._clients.compute(kind.module, getattr(module, kind.client))
            answer = getattr(client, method)(request=request, timeout=timeout_s, retry=None)
            return list(answer) if method in ("list", "aggregated_list") else answer

        return self._clients.call(run, resource=resource, timeout_s=_TIMEOUT_S, policy=policy)


def _json(found: Any) -> Json:
    from google.protobuf.json_format import MessageToDict

    return cast(Json, MessageToDict(type(found).pb(found)))


def _found(body: Json) -> Found:
    labels = cast(dict[str, str], body.get("labels") or body.get("annotations") or {})
    return Found(body, owner_of(labels, str(body.get("description", ""))))


def _full_name(link: str) -> str:
    return f"//{COMPUTE}/projects/" + link.split("/projects/", 1)[1]
