"""Changes of the load balancer: weights in a URL map, capacity of backends; their operations.

What is there is read by `load_balancer.py`; which values to write is planned in `core`. Every write
carries the fingerprint of what it was made from, so that it never overwrites somebody else's.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from core.errors import Conflict, NotFound
from core.load_balancer import BackendService, LoadBalancer, Shares, UrlMap
from core.traffic_rules import Place
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.load_balancer import LoadBalancers, convert_url_map, group_of

_TIMEOUT_S: Final = 30.0


class LoadBalancerWrites:
    """Writes URL maps and backend services, and follows what was begun."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._reads = LoadBalancers(clients)

    def read_load_balancer(self) -> LoadBalancer:
        """All of it, as `LoadBalancers.read_load_balancer`."""
        return self._reads.read_load_balancer()

    def get_url_map(self, name: str) -> UrlMap:
        """A URL map as it is now; NotFound: it is gone."""
        resource = self._name("urlMaps", name)
        with calls.converting(resource):
            return convert_url_map(self._raw_map(name))

    def get_backend_service(self, name: str) -> BackendService:
        """A backend service with its backends as they are now.

        Raises:
            NotFound: it is gone.
        """
        for service in self._reads.read_load_balancer().backend_services:
            if service.name == name:
                return service
        raise NotFound("The backend service is gone.", resource=self._name("backendServices", name))

    def apply_weights(self, found: UrlMap, wanted: Mapping[Place, Shares]) -> str:
        """Begin to write weights at places of a URL map, the rest left as it is.

        Args:
            found: the map that the weights were planned on.
            wanted: weights by place; a service with 0 is left out.

        Returns:
            The operation's name.

        Raises:
            Conflict: the map changed since `found` was read, or a place is gone.
        """
        resource = self._name("urlMaps", found.name)
        raw = self._raw_map(found.name)
        _check_fingerprint(raw, found.fingerprint, resource)
        with calls.converting(resource):
            for place, shares in wanted.items():
                node, prefix = _node(raw, place, resource)
                _write_shares(node, prefix, {s: w for s, w in shares if w}, self._service_link)

        def write(timeout_s: float, request_id: str) -> Any:
            from google.cloud.compute_v1.types.compute import UpdateUrlMapRequest

            request = UpdateUrlMapRequest(
                project=self._clients.project,
                url_map=found.name,
                url_map_resource=raw,
                request_id=request_id,
            )
            return self._clients.url_maps().update_unary(request, timeout=timeout_s, retry=None)

        return self._begin(write, resource)

    def apply_capacity(self, found: BackendService, wanted: Mapping[str, float]) -> str:
        """Begin to set the capacity ratio (0, or 0.1 to 1) of backends, by group.

        Returns:
            The operation's name.

        Raises:
            Conflict: the service changed since `found` was read, or has no such group.
        """
        resource = self._name("backendServices", found.name)
        raw = self._get(
            lambda t: self._clients.backend_services().get(
                project=self._clients.project, backend_service=found.name, timeout=t, retry=None
            ),
            resource,
        )
        _check_fingerprint(raw, found.fingerprint, resource)
        with calls.converting(resource):
            there = {group_of(b): b for b in raw.backends}
        for group, ratio in wanted.items():
            if group not in there:
                raise Conflict(f"{found.name} has no backend {group} any more.", resource=resource)
            there[group].capacity_scaler = ratio

        def write(timeout_s: float, request_id: str) -> Any:
            from google.cloud.compute_v1.types.compute import (
                BackendService as Body,
            )
            from google.cloud.compute_v1.types.compute import (
                PatchBackendServiceRequest,
            )

            body = Body(backends=list(raw.backends), fingerprint=raw.fingerprint)
            request = PatchBackendServiceRequest(
                project=self._clients.project,
                backend_service=found.name,
                backend_service_resource=body,
                request_id=request_id,
            )
            client = self._clients.backend_services()
            return client.patch_unary(request, timeout=timeout_s, retry=None)

        return self._begin(write, resource)

    def find_operation(self, collection: str, name: str) -> str:
        """The operation that runs on a global resource now; "" when there is none.

        For who asked for a change and never got the answer.
        """
        resource = self._name("operations", "")

        def read(timeout_s: float) -> list[Any]:
            from google.cloud.compute_v1.types.compute import ListGlobalOperationsRequest

            request = ListGlobalOperationsRequest(
                project=self._clients.project, filter='status != "DONE"'
            )
            client = self._clients.global_operations()
            return list(client.list(request, timeout=timeout_s, retry=None))

        found = self._get(read, resource)
        tail = f"/global/{collection}/{name}"
        with calls.converting(resource):
            running = [str(o.name) for o in found if str(o.target_link).endswith(tail)]
        return running[-1] if running else ""

    def get_operation(self, name: str) -> OperationState:
        """A global operation as it stands."""
        resource = self._name("operations", name)
        found = self._get(
            lambda t: self._clients.global_operations().get(
                project=self._clients.project, operation=name, timeout=t, retry=None
            ),
            resource,
        )
        with calls.converting(resource):
            errors = [str(e.message or e.code) for e in found.error.errors]
            failed = "; ".join(errors) or str(found.http_error_message)
            status = str(found.status.name)
            return OperationState(
                name=resource,
                done=status == "DONE",
                status=status,
                detail=str(found.status_message),
                error=failed or None,
                progress_ratio=int(found.progress) / 100,
            )

    def _raw_map(self, name: str) -> Any:
        return self._get(
            lambda t: self._clients.url_maps().get(
                project=self._clients.project, url_map=name, timeout=t, retry=None
            ),
            self._name("urlMaps", name),
        )

    def _get(self, read: Callable[[float], Any], resource: str) -> Any:
        return self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)

    def _begin(self, write: Callable[[float, str], Any], resource: str) -> str:
        """The name of the operation that a write began.

        One request id for all attempts: Compute answers a repeated one with the same operation, so
        a lost answer is safely asked for again.
        """
        request_id = str(uuid.uuid4())
        started = self._clients.call(
            lambda t: write(t, request_id), resource=resource, timeout_s=_TIMEOUT_S
        )
        return str(started.name)

    def _name(self, collection: str, name: str) -> str:
        return f"projects/{self._clients.project}/global/{collection}/{name}"

    def _service_link(self, name: str) -> str:
        path = self._name("backendServices", name)
        return f"https://www.googleapis.com/compute/v1/{path}"


def _check_fingerprint(raw: Any, known: str, resource: str) -> None:
    if known and str(raw.fingerprint) != known:
        raise Conflict("It changed since it was read.", resource=resource)


def _node(raw: Any, place: Place, resource: str) -> tuple[Any, str]:
    """The message that holds a place's target, and what its fields' names begin with."""
    if not place.matcher:
        return raw, "default_"
    for matcher in raw.path_matchers:
        if matcher.name != place.matcher:
            continue
        if not place.path:
            return matcher, "default_"
        for rule in matcher.path_rules:
            if place.path in rule.paths:
                return rule, ""
    raise Conflict(f"The URL map has no {place.name} any more.", resource=resource)


def _write_shares(
    node: Any, prefix: str, shares: Mapping[str, int], link: Callable[[str], str]
) -> None:
    """Set the weighted services of a node; one alone becomes its plain service.

    Other fields of a route action (time-outs, rewrites, headers of one service) stay.
    """
    from google.cloud.compute_v1.types.compute import WeightedBackendService

    action = getattr(node, f"{prefix}route_action")
    others = {field.name for field, _ in action._pb.ListFields()} - {"weighted_backend_services"}
    if len(shares) == 1:
        action.weighted_backend_services = []
        setattr(node, f"{prefix}route_action", action if others else None)
        setattr(node, f"{prefix}service", link(next(iter(shares))))
        return
    kept = {str(w.backend_service).rsplit("/", 1)[-1]: w for w in action.weighted_backend_services}
    weighted: list[Any] = []
    for name, weight in shares.items():
        entry = kept.get(name) or WeightedBackendService(backend_service=link(name))
        entry.weight = weight
        weighted.append(entry)
    action.weighted_backend_services = weighted
    setattr(node, f"{prefix}route_action", action)
    setattr(node, f"{prefix}service", None)
