"""Service Usage: which of the APIs are switched on. They are never switched off from here."""

from __future__ import annotations

from typing import Any, Final

from core.cloud_resources import SERVICES, CloudResource, path_of, short_name
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.product import Found, Json

_TIMEOUT_S: Final = 30.0


class ServiceSwitches:
    """A name is //serviceusage.googleapis.com/projects/P/services/API."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def _client(self) -> Any:
        from google.cloud.service_usage_v1.services.service_usage import ServiceUsageClient
        from google.cloud.service_usage_v1.services.service_usage.transports import (
            ServiceUsageGrpcTransport,
        )

        return self._clients.grpc("service_usage", ServiceUsageClient, ServiceUsageGrpcTransport)

    def get(self, name: str) -> Found | None:
        """An API that is on; None: it is off."""
        path = path_of(name)
        found: Any = self._clients.call(
            lambda t: self._client().get_service(request={"name": path}, timeout=t, retry=None),
            resource=path,
            timeout_s=_TIMEOUT_S,
        )
        with calls.converting(path):
            return Found({}, None) if found.state.name == "ENABLED" else None

    def create(self, name: str, body: Json) -> str:
        """Begin to switch it on."""
        path = path_of(name)
        started: Any = self._clients.call(
            lambda t: self._client().enable_service(request={"name": path}, timeout=t, retry=None),
            resource=path,
            timeout_s=_TIMEOUT_S,
            policy=calls.ONCE,
        )
        return f"//{SERVICES}/{started.operation.name}"

    def delete(self, name: str) -> str:
        """Nothing: an API that is on costs nothing, and others may rely on it."""
        del name
        return ""

    def get_operation(self, name: str) -> OperationState:
        """An operation by its full name."""
        path = path_of(name)
        found: Any = self._clients.call(
            lambda t: self._client().transport.operations_client.get_operation(path, timeout=t),
            resource=path,
            timeout_s=_TIMEOUT_S,
        )
        error = str(found.error.message) if found.HasField("error") else None
        status = "DONE" if found.done else "RUNNING"
        return OperationState(name, bool(found.done), status, short_name(path), error, None)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """None: they are the project's."""
        return ()
