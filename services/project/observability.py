"""Cloud Monitoring's alert policies and dashboards, each found by its display name and label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from core.cloud_resources import MONITORING, CloudResource, owner_of, path_of
from core.errors import NotFound
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.asking import ask
from services.project.product import Found, Json, done

_TIMEOUT_S: Final = 20.0


class Observability:
    """A name is //monitoring.googleapis.com/projects/P/(alertPolicies|dashboards)/DISPLAY NAME.

    The service gives resources names of its own; a display name is what a plan can know before.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get(self, name: str) -> Found | None:
        """The one of that display name."""
        found = self._find(name)
        if found is None:
            return None
        return Found({"name": str(found.name)}, owner_of(_labels(found)))

    def create(self, name: str, body: Json) -> str:
        """Make it."""
        from google.protobuf.json_format import ParseDict

        collection, shown = _split(name)
        made = self._type(collection)()
        ParseDict({**body, "displayName": shown}, type(made).pb(made))
        parent = f"projects/{self._clients.project}"
        if collection == "dashboards":
            request: dict[str, Any] = {"parent": parent, "dashboard": made}
            self._call(name, lambda: self._dashboards().create_dashboard, request, calls.ONCE)
        else:
            request = {"name": parent, "alert_policy": made}
            self._call(name, lambda: self._policies().create_alert_policy, request, calls.ONCE)
        return ""

    def delete(self, name: str) -> str:
        """Delete it."""
        found = self._find(name)
        if found is None:
            return ""
        request = {"name": str(found.name)}
        dashboards = _split(name)[0] == "dashboards"
        try:
            if dashboards:
                self._call(name, lambda: self._dashboards().delete_dashboard, request, calls.ONCE)
            else:
                self._call(name, lambda: self._policies().delete_alert_policy, request, calls.ONCE)
        except NotFound:
            return ""
        return ""

    def get_operation(self, name: str) -> OperationState:
        """Monitoring has none."""
        return done(name)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Policies and dashboards with our label."""
        found: list[CloudResource] = []
        for collection in ("alertPolicies", "dashboards"):
            for item in self._list(collection):
                owner = owner_of(_labels(item))
                if owner is not None:
                    found.append(CloudResource(self._name(collection, item.display_name), owner))
        return tuple(found)

    def _name(self, collection: str, shown: str) -> str:
        path = f"projects/{self._clients.project}/{collection}/{quote(shown, safe='')}"
        return f"//{MONITORING}/{path}"

    def _find(self, name: str) -> Any:
        collection, shown = _split(name)
        return next((i for i in self._list(collection) if i.display_name == shown), None)

    def _list(self, collection: str) -> list[Any]:
        parent = f"projects/{self._clients.project}"
        if collection == "dashboards":
            request = {"parent": parent}
            return self._call(parent, lambda: self._dashboards().list_dashboards, request)
        return self._call(parent, lambda: self._policies().list_alert_policies, {"name": parent})

    def _call(
        self,
        resource: str,
        method: Callable[[], Any],
        request: Mapping[str, Any],
        policy: calls.RetryPolicy = calls.READ,
    ) -> Any:
        return ask(self._clients, resource, method, dict(request), _TIMEOUT_S, policy)

    def _type(self, collection: str) -> Any:
        if collection == "dashboards":
            from google.cloud.monitoring_dashboard_v1 import Dashboard

            return Dashboard
        from google.cloud.monitoring_v3 import AlertPolicy

        return AlertPolicy

    def _policies(self) -> Any:
        from google.cloud.monitoring_v3.services.alert_policy_service import (
            AlertPolicyServiceClient,
        )
        from google.cloud.monitoring_v3.services.alert_policy_service.transports import (
            AlertPolicyServiceGrpcTransport,
        )

        return self._clients.grpc(
            "alert_policies", AlertPolicyServiceClient, AlertPolicyServiceGrpcTransport
        )

    def _dashboards(self) -> Any:
        from google.cloud.monitoring_dashboard_v1.services.dashboards_service import (
            DashboardsServiceClient,
        )
        from google.cloud.monitoring_dashboard_v1.services.dashboards_service.transports import (
            DashboardsServiceGrpcTransport,
        )

        return self._clients.grpc(
            "dashboards", DashboardsServiceClient, DashboardsServiceGrpcTransport
        )


def _labels(found: Any) -> Mapping[str, str]:
    labels = found.user_labels if hasattr(found, "user_labels") else found.labels
    return cast(Mapping[str, str], dict(labels))


def _split(name: str) -> tuple[str, str]:
    _, _, collection, shown = path_of(name).split("/", 3)
    return collection, unquote(shown)
