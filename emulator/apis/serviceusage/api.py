"""Handlers of google.api.serviceusage.v1.ServiceUsage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from google.cloud.service_usage_v1.types import resources
from google.cloud.service_usage_v1.types import serviceusage as types
from google.longrunning import operations_pb2
from google.rpc import error_details_pb2

from emulator.apis.serviceusage.model import OFFERS, Services
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.longrunning import LongRunning, operation_message
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_SERVICE: Final = "serviceusage.googleapis.com"
_STATE_FILTER: Final = re.compile(r"\s*state\s*[:=]\s*(ENABLED|DISABLED)\s*")
_MOST_ENABLED, _MOST_READ = 20, 30


class ServiceUsage(LongRunning):
    """The project's services."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._services = cloud.store(Services, lambda: Services(cloud))

    def list_services(
        self, request: types.ListServicesRequest, call: Call
    ) -> types.ListServicesResponse:
        self._check(request.parent)
        wanted = None
        if request.filter:
            found = _STATE_FILTER.fullmatch(request.filter)
            if found is None:
                raise invalid(
                    f"Invalid filter '{request.filter}': the allowed filters are state:ENABLED "
                    "and state:DISABLED.",
                    field="filter",
                )
            wanted = found[1] == "ENABLED"
        with self._cloud.lock:
            enabled = set(self._services.enabled)
        names = [s for s in sorted(OFFERS) if wanted is None or (s in enabled) == wanted]
        shown, token = page(
            names, request.page_size, request.page_token,
            scope=f"{request.parent} {request.filter}", default=50, most=200,
        )  # fmt: skip
        return types.ListServicesResponse(
            services=[self._message(s) for s in shown], next_page_token=token
        )

    def get_service(self, request: types.GetServiceRequest, call: Call) -> resources.Service:
        return self._message(self._known([request.name])[0])

    def batch_get_services(
        self, request: types.BatchGetServicesRequest, call: Call
    ) -> types.BatchGetServicesResponse:
        self._check(request.parent)
        if not 0 < len(request.names) <= _MOST_READ:
            raise invalid(f"Between 1 and {_MOST_READ} names must be given.", field="names")
        names = self._known(request.names)
        return types.BatchGetServicesResponse(services=[self._message(s) for s in names])

    def enable_service(
        self, request: types.EnableServiceRequest, call: Call
    ) -> operations_pb2.Operation:
        (name,) = self._known([request.name])
        return self._enable(
            [name], lambda: types.EnableServiceResponse(service=self._message(name))
        )

    def batch_enable_services(
        self, request: types.BatchEnableServicesRequest, call: Call
    ) -> operations_pb2.Operation:
        self._check(request.parent)
        if not 0 < len(request.service_ids) <= _MOST_ENABLED:
            raise invalid(
                f"Between 1 and {_MOST_ENABLED} services must be given.", field="service_ids"
            )
        names = self._known([f"{request.parent}/services/{s}" for s in request.service_ids])
        return self._enable(
            names,
            lambda: types.BatchEnableServicesResponse(services=[self._message(s) for s in names]),
        )

    def disable_service(
        self, request: types.DisableServiceRequest, call: Call
    ) -> operations_pb2.Operation:
        (name,) = self._known([request.name])
        services = self._services
        with self._cloud.lock:
            if name not in services.enabled:
                raise failed_precondition(
                    f"Service {name} is not enabled for consumer "
                    f"projects/{self._cloud.project.number}.",
                    reason="SU_SERVICE_NOT_ENABLED",
                    domain=_SERVICE,
                    metadata={"services": name},
                )
            dependents = services.dependents(name)
            if dependents and not request.disable_dependent_services:
                raise _has_dependents(name, dependents)
            check = types.DisableServiceRequest.CheckIfServiceHasUsage.CHECK
            if request.check_if_service_has_usage == check:
                self._check_usage([*dependents, name])
            data = {
                "metadata": self._metadata([*dependents, name]),
                "response": lambda: types.DisableServiceResponse(service=self._message(name)),
            }
            return operation_message(services.change([*dependents, name], data, enable=False))

    def _enable(self, names: list[str], response: object) -> operations_pb2.Operation:
        services = self._services
        with self._cloud.lock:
            wanted = [s for s in services.with_needs(names) if s not in services.enabled]
            data = {"metadata": self._metadata(wanted), "response": response}
            job = services.change(wanted, data, enable=True) if wanted else services.done(data)
            return operation_message(job)

    def _check_usage(self, names: Sequence[str]) -> None:
        used = [s for s in names if self._services.in_use(s)]
        if used:
            raise failed_precondition(
                f"The services {', '.join(used)} have usage in the last 30 days or was enabled in "
                "the past 3 days. Please specify check_if_service_has_usage=SKIP if you want to "
                "proceed with disabling all services.",
                reason="COMMON_SU_SERVICE_HAS_USAGE",
                domain=_SERVICE,
                metadata={"services": ",".join(used)},
            )

    def _check(self, parent: str) -> None:
        project = parse_name("projects/{project}", parent, field="parent")["project"]
        check_project(self._cloud.project, project, service=_SERVICE)

    def _known(self, asked: Sequence[str]) -> list[str]:
        """The services' own names; refuses malformed ones and those that nobody offers."""
        names: list[str] = []
        for name in asked:
            parts = parse_name("projects/{project}/services/{service}", name)
            check_project(self._cloud.project, parts["project"], service=_SERVICE)
            names.append(parts["service"])
        if unknown := [s for s in names if s not in OFFERS]:
            raise _not_offered(unknown)
        return names

    def _metadata(self, names: Sequence[str]) -> resources.OperationMetadata:
        return resources.OperationMetadata(resource_names=[self._name(s) for s in names])

    def _name(self, service: str) -> str:
        return f"projects/{self._cloud.project.number}/services/{service}"

    def _message(self, service: str) -> resources.Service:
        enabled = service in self._services.enabled
        return resources.Service(
            name=self._name(service),
            parent=f"projects/{self._cloud.project.number}",
            config=resources.ServiceConfig(name=service, title=OFFERS[service].title),
            state=resources.State.ENABLED if enabled else resources.State.DISABLED,
        )


def _not_offered(names: Sequence[str]) -> ApiError:
    text = f"Not found or permission denied for service(s): {', '.join(names)}."
    violation = error_details_pb2.PreconditionFailure.Violation(
        type="googleapis.com", subject=",".join(names), description=text
    )
    return ApiError(
        "PERMISSION_DENIED",
        text,
        reason="SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED",
        domain=_SERVICE,
        metadata={"services": ",".join(names)},
        details=[error_details_pb2.PreconditionFailure(violations=[violation])],
    )


def _has_dependents(name: str, dependents: Sequence[str]) -> ApiError:
    return failed_precondition(
        f"The service {name} is depended on by the following active service(s): "
        f"{','.join(dependents)} ; Please specify disable_dependent_services=true if you want to "
        "proceed with disabling all services.",
        reason="COMMON_SU_SERVICE_HAS_DEPENDENT_SERVICES",
        domain=_SERVICE,
        metadata={"services": name, "dependents": ",".join(dependents)},
    )
