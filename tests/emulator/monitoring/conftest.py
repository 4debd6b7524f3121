"""An emulator that these tests may change, Google's clients on it, and checked REST calls."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials

from tests.emulator.clients import HTTP
from tests.emulator.discovery import find_method, problems
from tests.processes import EmulatorProcess, start_emulator

P = "projects/heartwood-demo"
_CLIENTS = {
    "metric": ("google.cloud.monitoring_v3", "metric_service", "MetricService"),
    "policy": ("google.cloud.monitoring_v3", "alert_policy_service", "AlertPolicyService"),
    "channel": (
        "google.cloud.monitoring_v3", "notification_channel_service", "NotificationChannelService"
    ),
    "service": (
        "google.cloud.monitoring_v3", "service_monitoring_service", "ServiceMonitoringService"
    ),
    "dashboard": (
        "google.cloud.monitoring_dashboard_v1", "dashboards_service", "DashboardsService"
    ),
    "budget": ("google.cloud.billing.budgets_v1", "budget_service", "BudgetService"),
}  # fmt: skip
_PREFIXES = {"dashboard": "/monitoring", "budget": "/billingbudgets"}


@pytest.fixture(scope="package")
def own() -> Iterator[EmulatorProcess]:
    """One emulator for all tests of this folder."""
    running = start_emulator("normal", speed=600)
    yield running
    running.stop()


def make(name: str, emulator: EmulatorProcess, wire: str = "grpc") -> Any:
    """A client of Google's; dashboards and budgets have a REST transport too."""
    package, folder, service = _CLIENTS[name]
    client = getattr(importlib.import_module(f"{package}.services.{folder}"), f"{service}Client")
    if wire == "rest":
        options = ClientOptions(api_endpoint=emulator.rest_url + _PREFIXES[name])
        return client(credentials=AnonymousCredentials(), transport="rest", client_options=options)
    transports = importlib.import_module(f"{package}.services.{folder}.transports")
    channel = grpc.insecure_channel(
        emulator.grpc_target, options=[("grpc.max_receive_message_length", -1)]
    )
    return client(transport=getattr(transports, f"{service}GrpcTransport")(channel=channel))


@dataclass(frozen=True)
class Rest:
    """REST calls whose bodies hold to one of Google's discovery documents, both ways."""

    url: str
    document: str

    def __call__(
        self, verb: str, path: str, body: Any = None, status: int = 200, **query: Any
    ) -> Any:
        """The answer's JSON.

        Raises:
            AssertionError: another status, or a body that the document does not allow.
        """
        method = find_method(self.document, verb, path)
        assert method, f"{verb} {path} is no method of {self.document}"
        if body is not None and status == 200:
            assert problems(self.document, method["request"]["$ref"], body) == []
        answer = HTTP.request(verb, f"{self.url}/{path}", json=body, params=query)
        assert answer.status_code == status, answer.text
        found = answer.json()
        if status == 200:
            assert problems(self.document, method["response"]["$ref"], found) == []
        return found


@pytest.fixture(scope="package")
def rest(own: EmulatorProcess) -> Rest:
    """Cloud Monitoring v3 over REST."""
    return Rest(f"{own.rest_url}/monitoring", "monitoring.v3")
