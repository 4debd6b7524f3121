"""google.monitoring.dashboard.v1.DashboardsService: list and get."""

from __future__ import annotations

from typing import Any

from google.cloud import monitoring_dashboard_v1

from emulator.apis.dashboards.model import dashboard
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page


class DashboardsService:
    """Reads."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _check(self, project: str) -> None:
        check_project(self._cloud.project, project, service="monitoring.googleapis.com")

    def list_dashboards(self, request: Any, call: Call) -> Any:
        """All dashboards; an empty project has none."""
        self._check(parse_name("projects/{project}", request.parent, field="parent")["project"])
        found = [dashboard(self._cloud.project)] if self._cloud.scenario.tiers else []
        items, token = page(
            found, request.page_size, request.page_token, scope="dashboards", default=100, most=1000
        )
        return monitoring_dashboard_v1.ListDashboardsResponse(
            dashboards=items, next_page_token=token
        )

    def get_dashboard(self, request: Any, call: Call) -> Any:
        """One dashboard."""
        names = parse_name("projects/{project}/dashboards/{dashboard}", request.name)
        self._check(names["project"])
        found = dashboard(self._cloud.project)
        if found.name.rsplit("/", 1)[1] != names["dashboard"] or not self._cloud.scenario.tiers:
            raise ApiError("NOT_FOUND", f"Requested entity was not found: {request.name}")
        return found
