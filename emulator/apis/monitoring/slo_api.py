"""google.monitoring.v3.ServiceMonitoringService: services and their objectives."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.types import service
from google.protobuf import empty_pb2

from emulator.apis.monitoring.listing import paged, select, tree_of
from emulator.apis.monitoring.model import MonitoringState, canonical, project_of
from emulator.apis.monitoring.series import SeriesReader
from emulator.apis.monitoring.slo_checks import (
    OBJECTIVE_ID,
    SERVICE_ID,
    check_objective,
    check_service,
)
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid
from emulator.wire.masks import merge

_SERVICE: Final = "projects/{project}/services/{service}"
_OBJECTIVE: Final = _SERVICE + "/serviceLevelObjectives/{objective}"
_MOST_OBJECTIVES: Final = 500
T = TypeVar("T")


class ServiceMonitoring:
    """Services and objectives."""

    def __init__(self, cloud: Cloud, state: MonitoringState, reader: SeriesReader) -> None:
        self._cloud = cloud
        self._state = state
        self._reader = reader

    def create_service(self, request: Any, call: Call) -> Any:
        """Keeps a service under the id given or one of Monitoring's choosing."""
        project = project_of(self._cloud, request.parent, field="parent")
        short = request.service_id
        if short and SERVICE_ID.fullmatch(short) is None:
            raise invalid("Field service_id must match [a-z0-9-]{1,63}.", field="service_id")
        with self._cloud.lock:
            found = _copy(request.service, service.Service())
            check_service(found)
            short = short or self._state.new_id(self._cloud.seed, "service")
            found.name = f"{project}/services/{short}"
            if found.name in self._state.services:
                raise ApiError("ALREADY_EXISTS", f"Service {found.name} already exists.")
            return self._keep_service(found, "created")

    def _keep_service(self, found: service.Service, verb: str) -> service.Service:
        found.telemetry.resource_name = found.telemetry.resource_name or ""
        self._state.services[found.name] = found
        self._cloud.changed(f"monitoring.service.{verb}", found.name, "")
        return found

    def get_service(self, request: Any, call: Call) -> Any:
        """One service."""
        return self._service(request.name)

    def list_services(self, request: Any, call: Call) -> Any:
        """Services that match a filter (identifier_case, the identifiers' fields, labels)."""
        project_of(self._cloud, request.parent, field="parent")
        with self._cloud.lock:
            services = [s for _, s in sorted(self._state.services.items())]
        found = select(services, request.filter, "", _service_tree)
        items, token = paged(request, found, scope=f"services {request.filter}", default=1000)
        return monitoring_v3.ListServicesResponse(services=items, next_page_token=token)

    def update_service(self, request: Any, call: Call) -> Any:
        """Changes the masked fields, or all of them without a mask."""
        given, mask = request.service, request.update_mask
        with self._cloud.lock:
            known = self._service(given.name)
            found = merge(given, mask, known) if mask.paths else _copy(given, service.Service())
            found.name = known.name
            check_service(found)
            return self._keep_service(found, "updated")

    def delete_service(self, request: Any, call: Call) -> Any:
        """Deletes a service with its objectives."""
        with self._cloud.lock:
            found = self._service(request.name)
            del self._state.services[found.name]
            for name in [n for n in self._state.objectives if n.startswith(found.name + "/")]:
                del self._state.objectives[name]
            self._cloud.changed("monitoring.service.deleted", found.name, "")
        return empty_pb2.Empty()

    def create_service_level_objective(self, request: Any, call: Call) -> Any:
        """Keeps an objective of a service."""
        short = request.service_level_objective_id
        if short and OBJECTIVE_ID.fullmatch(short) is None:
            raise invalid(
                "Field service_level_objective_id must match [a-zA-Z0-9-_:.]{1,63}.",
                field="service_level_objective_id",
            )
        with self._cloud.lock:
            parent = self._service(request.parent)
            found = _copy(request.service_level_objective, service.ServiceLevelObjective())
            check_objective(found, parent, self._reader)
            own = [n for n in self._state.objectives if n.startswith(parent.name + "/")]
            if len(own) >= _MOST_OBJECTIVES:
                raise ApiError(
                    "RESOURCE_EXHAUSTED", f"A service has at most {_MOST_OBJECTIVES} objectives."
                )
            short = short or self._state.new_id(self._cloud.seed, "objective")
            found.name = f"{parent.name}/serviceLevelObjectives/{short}"
            if found.name in self._state.objectives:
                raise ApiError("ALREADY_EXISTS", f"{found.name} already exists.")
            return self._keep_objective(found, "created")

    def _keep_objective(
        self, found: service.ServiceLevelObjective, verb: str
    ) -> service.ServiceLevelObjective:
        self._state.objectives[found.name] = found
        self._cloud.changed(f"monitoring.objective.{verb}", found.name, "")
        return found

    def get_service_level_objective(self, request: Any, call: Call) -> Any:
        """One objective."""
        return self._objective(request.name)

    def list_service_level_objectives(self, request: Any, call: Call) -> Any:
        """A service's objectives that match a filter."""
        with self._cloud.lock:
            parent = self._service(request.parent)
            every = sorted(self._state.objectives.items())
            own = [o for name, o in every if name.startswith(parent.name + "/")]
        found = select(own, request.filter, "")
        items, token = paged(request, found, scope=f"{parent.name} {request.filter}", default=1000)
        return monitoring_v3.ListServiceLevelObjectivesResponse(
            service_level_objectives=items, next_page_token=token
        )

    def update_service_level_objective(self, request: Any, call: Call) -> Any:
        """Changes the masked fields, or all of them without a mask."""
        given, mask = request.service_level_objective, request.update_mask
        with self._cloud.lock:
            known = self._objective(given.name)
            if mask.paths:
                found = merge(given, mask, known)
            else:
                found = _copy(given, service.ServiceLevelObjective())
            found.name = known.name
            parent = self._service(known.name.split("/serviceLevelObjectives/")[0])
            check_objective(found, parent, self._reader)
            return self._keep_objective(found, "updated")

    def delete_service_level_objective(self, request: Any, call: Call) -> Any:
        """Deletes an objective."""
        with self._cloud.lock:
            found = self._objective(request.name)
            del self._state.objectives[found.name]
            self._cloud.changed("monitoring.objective.deleted", found.name, "")
        return empty_pb2.Empty()

    def _service(self, asked: str) -> service.Service:
        found = self._state.services.get(canonical(self._cloud, _SERVICE, asked))
        if found is None:
            raise ApiError("NOT_FOUND", f"Service '{asked}' was not found.")
        return found

    def _objective(self, asked: str) -> service.ServiceLevelObjective:
        found = self._state.objectives.get(canonical(self._cloud, _OBJECTIVE, asked))
        if found is None:
            raise ApiError("NOT_FOUND", f"Service level objective '{asked}' was not found.")
        return found


def _service_tree(found: service.Service) -> dict[str, Any]:
    case = service.Service.pb(found).WhichOneof("identifier") or "basic_service"
    return {**tree_of(found), "identifierCase": case.upper()}


def _copy(given: Any, found: T) -> T:
    plain(found).CopyFrom(plain(given))
    return found
