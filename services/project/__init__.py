"""Making, reading and deleting the resources that a tier consists of, each by its full name.

One module per product; `ProjectResources` sends each name to its product. What a tier needs and in
which order is `core/chain/`'s; records for pages come from the other adapters of `services/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.cloud_resources import (
    AIPLATFORM,
    BIGQUERY,
    BUDGETS,
    COMPUTE,
    CONTAINER,
    IAM,
    KUBERNETES,
    LOGGING,
    MONITORING,
    PROJECTS,
    SERVICES,
    TPU,
    CloudResource,
    service_of,
)
from core.errors import Invalid
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.budgets import BudgetResources
from services.project.compute import COMPUTE_SDKS, ComputeResources
from services.project.containers import ContainerResources
from services.project.datasets import DatasetResources
from services.project.grants import Grants, ServiceAccounts
from services.project.objects import KubeObjects
from services.project.observability import Observability
from services.project.product import Found, Json, ProductResources
from services.project.sinks import SinkResources
from services.project.switches import ServiceSwitches
from services.project.tpus import TpuResources
from services.project.url_rules import RULES, UrlRules
from services.project.vertex import VertexResources
from services.sdk_imports import import_modules

_SDKS: Final = (
    "google.cloud.container_v1",
    "kubernetes.client",
    "google.cloud.iam_admin_v1.services.iam",
    "google.cloud.resourcemanager_v3.services.projects",
    "google.cloud.service_usage_v1.services.service_usage",
    "google.cloud.monitoring_v3",
    "google.cloud.monitoring_dashboard_v1",
    "google.cloud.logging_v2.services.config_service_v2",
    "google.cloud.bigquery",
    "google.cloud.billing.budgets_v1",
    "google.cloud.tpu_v2",
    "google.cloud.aiplatform_v1.services.endpoint_service",
    "google.cloud.aiplatform_v1.services.model_service",
)

__all__ = ["Found", "Json", "ProductResources", "ProjectResources"]


class ProjectResources:
    """All products as one."""

    def __init__(self, clients: Clients) -> None:
        self._imported = False
        self._objects, self._rules = KubeObjects(clients), UrlRules(clients)
        self._products: Mapping[str, ProductResources] = {
            COMPUTE: ComputeResources(clients),
            CONTAINER: ContainerResources(clients),
            IAM: ServiceAccounts(clients),
            PROJECTS: Grants(clients),
            SERVICES: ServiceSwitches(clients),
            MONITORING: Observability(clients),
            LOGGING: SinkResources(clients),
            BIGQUERY: DatasetResources(clients),
            BUDGETS: BudgetResources(clients),
            TPU: TpuResources(clients),
            AIPLATFORM: VertexResources(clients),
        }

    def get(self, name: str) -> Found | None:
        """What exists under that full name; None: nothing does."""
        return self._product(name).get(name)

    def create(self, name: str, body: Json) -> str:
        """Begin to make it; the operation's full name, "" when it is made already."""
        return self._product(name).create(name, body)

    def delete(self, name: str) -> str:
        """Begin to delete it; the operation's full name, "" when there is none to wait for."""
        return self._product(name).delete(name)

    def get_operation(self, name: str) -> OperationState:
        """An operation by the full name that `create` or `delete` gave."""
        return self._product(name).get_operation(name)

    def list_present(self, names: tuple[str, ...]) -> Mapping[str, CloudResource]:
        """Those of these names that exist, read in parallel."""

        def read(name: str) -> CloudResource | None:
            found = self.get(name)
            if found is None:
                return None
            return CloudResource(name, found.owner, found.status, bool(found.failed) or found.half)

        answers = calls.in_parallel(read, names, workers=12)
        return {found.name: found for found in answers if found is not None}

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Everything in the project that is ours, of the kinds that the products know."""
        self._import()
        products = (*self._products.values(), self._objects)
        lists = calls.in_parallel(lambda p: p.list_ours(), products, workers=12)
        return tuple(resource for found in lists for resource in found)

    def _product(self, name: str) -> ProductResources:
        self._import()
        if KUBERNETES in name:
            return self._objects
        if RULES.fullmatch(name):
            return self._rules
        found = self._products.get(service_of(name))
        if found is None:
            raise Invalid(f"no product makes {service_of(name)}", resource=name)
        return found

    def _import(self) -> None:
        """Import the SDKs before several threads would do so at once."""
        if not self._imported:
            import_modules((*_SDKS, *COMPUTE_SDKS))
            self._imported = True
