"""Cloud Monitoring Dashboards v1."""

from __future__ import annotations

from emulator.apis.dashboards.api import DashboardsService
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service beside Monitoring's own, as on Google's host."""
    package = "google.cloud.monitoring_dashboard_v1.services.dashboards_service"
    return [Mount("/monitoring", f"{package}.transports", DashboardsService(cloud))]
