"""google.monitoring.dashboard.v1.DashboardsService: the life cycle of dashboards."""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

from google.cloud import monitoring_dashboard_v1
from google.protobuf import empty_pb2

from emulator.apis.dashboards.checks import check_dashboard
from emulator.apis.dashboards.model import dashboard_state, sealed
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid
from emulator.wire.etags import check_etag
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_NAME: Final = "projects/{project}/dashboards/{dashboard}"
_ID: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}")
_MOST_DASHBOARDS: Final = 1000


class DashboardsService:
    """Dashboards of the project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = dashboard_state(cloud)

    def create_dashboard(self, request: Any, call: Call) -> Any:
        """Keeps a dashboard, under the id that its name gives or one of Monitoring's choosing."""
        self._check_parent(request.parent)
        found = _copy(request.dashboard)
        check_dashboard(found)
        with self._cloud.lock:
            short = self._short(found.name, field="dashboard.name") if found.name else ""
            if short and _ID.fullmatch(short) is None:
                raise invalid(f"Invalid dashboard id '{short}'.", field="dashboard.name")
            if short in self._state.dashboards:
                raise ApiError("ALREADY_EXISTS", f"Dashboard {found.name} already exists.")
            if len(self._state.dashboards) >= _MOST_DASHBOARDS:
                raise ApiError(
                    "RESOURCE_EXHAUSTED", f"A project has at most {_MOST_DASHBOARDS} dashboards."
                )
            if not request.validate_only and not short:
                self._state.made += 1
            short = short or self._number()
            return self._keep(found, short, "created", stored=not request.validate_only)

    def list_dashboards(self, request: Any, call: Call) -> Any:
        """All dashboards by name."""
        self._check_parent(request.parent)
        with self._cloud.lock:
            found = [d for _, d in sorted(self._state.dashboards.items())]
        items, token = page(
            found, request.page_size, request.page_token, scope="dashboards", default=100, most=1000
        )
        return monitoring_dashboard_v1.ListDashboardsResponse(
            dashboards=items, next_page_token=token
        )

    def get_dashboard(self, request: Any, call: Call) -> Any:
        """One dashboard."""
        return self._find(request.name)

    def update_dashboard(self, request: Any, call: Call) -> Any:
        """Replaces a dashboard; a given etag must be the current one."""
        found = _copy(request.dashboard)
        with self._cloud.lock:
            known = self._find(found.name)
            check_etag(found.etag, known.etag)
            check_dashboard(found)
            short = known.name.rsplit("/", 1)[1]
            return self._keep(found, short, "updated", stored=not request.validate_only)

    def delete_dashboard(self, request: Any, call: Call) -> Any:
        """Deletes a dashboard."""
        with self._cloud.lock:
            found = self._find(request.name)
            del self._state.dashboards[found.name.rsplit("/", 1)[1]]
            self._cloud.changed("monitoring.dashboard.deleted", found.name, "")
        return empty_pb2.Empty()

    def _keep(self, found: Any, short: str, verb: str, *, stored: bool) -> Any:
        found.name = f"projects/{self._cloud.project.number}/dashboards/{short}"
        sealed(found)
        if stored:
            self._state.dashboards[short] = found
            self._cloud.changed(f"monitoring.dashboard.{verb}", found.name, "")
        return found

    def _number(self) -> str:
        where = f"{self._cloud.seed}/{self._cloud.project.number}/{self._state.made}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"dashboards/{where}"))

    def _find(self, name: str) -> Any:
        found = self._state.dashboards.get(self._short(name))
        if found is None:
            raise ApiError("NOT_FOUND", f"Requested entity was not found: {name}")
        return found

    def _short(self, name: str, *, field: str = "name") -> str:
        parts = parse_name(_NAME, name, field=field)
        self._check(parts["project"])
        return parts["dashboard"]

    def _check_parent(self, parent: str) -> None:
        self._check(parse_name("projects/{project}", parent, field="parent")["project"])

    def _check(self, project: str) -> None:
        check_project(self._cloud.project, project, service="monitoring.googleapis.com")


def _copy(given: Any) -> Any:
    found = monitoring_dashboard_v1.Dashboard()
    plain(found).CopyFrom(plain(given))
    return found
